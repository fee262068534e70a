"""Layer-wise learning-rate decay for MogaNet, as an optimizer constructor.

The deeper a layer, the higher its rate: ``lr * decay_rate ** (13 - id)``, with ids from 0
(stem) to 12 in the backbone and 13 for the modules after it (and, as published, for the norms
at the end of the stages). Source of the published rule:
detection of https://github.com/Westlake-AI/MogaNet, used there for Cascade Mask R-CNN with
MogaNet-B and -L.
"""

import re
from collections.abc import Sequence

import torch.nn as nn
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS

from ..models.moganet import MogaNet
from .optim_groups import GroupedOptimWrapperConstructor

LAYERS = 12  # ids of the backbone after the stem
RULES = ('published', 'corrected')
_PART = re.compile(r'backbone\.(patch_embed|blocks|norm)(\d)(?:\.(\d+))?')


def layer_id(name: str, depths: Sequence[int], rule: str = 'published') -> int:
    """Id of the layer that a parameter belongs to, from 0 (stem) to 13 (neck and heads).

    Args:
        name: of the parameter in the whole model, ``backbone.blocks3.7.mlp.fc1.weight``.
        depths: blocks of each of the four stages.
        rule: 'published' repeats the published table unchanged: the first blocks of stage 3
            (id 3) learn slower than the patch embed before them (4), id 1 is unused,
            the norms at the end of the stages learn as fast as the heads, and in long stages all
            blocks from the 17th on share id 11. 'corrected' follows the order in which the
            layers compute: all blocks are spread evenly over ids 1 to 12, a patch embed has
            the id of the first block after it, a norm that of the last block before it.
    """
    part = _PART.match(name)
    if part is None:
        return LAYERS + 1
    kind, stage, block = part[1], int(part[2]), int(part[3] or 0)
    if rule == 'published':
        return _published(kind, stage, block)
    if kind == 'patch_embed' and stage == 1:
        return 0
    block = {'patch_embed': 0, 'norm': depths[stage - 1] - 1}.get(kind, block)
    return 1 + (sum(depths[: stage - 1]) + block) * LAYERS // sum(depths)


def _published(kind: str, stage: int, block: int) -> int:
    if kind == 'norm':
        return LAYERS + 1
    if kind == 'blocks' and stage == 3:
        return min(3 + block // 2, LAYERS - 1)
    return {
        'patch_embed': (0, 3, 4, LAYERS),
        'blocks': (2, 3, 3, LAYERS),
    }[kind][stage - 1]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MogaNetLayerDecay(GroupedOptimWrapperConstructor):
    """Parameter groups with a rate by layer; biases and vectors are not decayed.

    Not decayed are names that end in ``.bias`` and tensors with one axis longer than 1: norms,
    layer scales, the sigmas and the one-row ``decompose`` weights.

    Args:
        optim_wrapper_cfg: as for mmengine's default constructor; the optimizer needs lr and
            weight_decay.
        paramwise_cfg: ``decay_rate``, 0 < rate <= 1, and ``rule``, one of :data:`RULES` (see
            :func:`layer_id`).

    Raises:
        ValueError: an option that is unknown, missing or out of range.
    """

    def _validate_cfg(self) -> None:
        options = dict(self.paramwise_cfg)
        rate, rule = options.pop('decay_rate', None), options.pop('rule', None)
        if options:
            raise ValueError(
                f'paramwise_cfg: unknown {sorted(options)}; valid: decay_rate, rule '
                '(set _delete_=True to drop the options of a base config)'
            )
        if rule not in RULES:
            raise ValueError(
                f'paramwise_cfg: expected a rule of {", ".join(RULES)}, found {rule!r}'
            )
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise ValueError(f'paramwise_cfg: expected 0 < decay_rate <= 1, found {rate!r}')
        if self.base_lr is None or self.base_wd is None:
            raise ValueError('layer decay needs optimizer.lr and optimizer.weight_decay')
        self.decay_rate, self.rule = rate, rule

    def add_params(self, params: list[dict], module: nn.Module) -> None:
        """Adds the groups of a model's trained parameters to ``params``.

        Raises:
            TypeError: the backbone of the model is not a MogaNet.
        """
        backbone = getattr(module, 'backbone', None)
        if not isinstance(backbone, MogaNet):
            raise TypeError(
                f'{type(self).__name__} needs a MogaNet backbone, found {type(backbone).__name__}'
            )
        depths = [len(backbone.stage(i)[1]) for i in range(4)]
        groups = {}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            layer = layer_id(name, depths, self.rule)
            decayed = parameter.squeeze().ndim > 1 and not name.endswith('.bias')
            group = groups.setdefault((layer, decayed), dict(params=[], param_names=[]))
            group['params'].append(parameter)
            group['param_names'].append(name)
        for (layer, decayed), group in sorted(groups.items()):
            group['lr'] = self.base_lr * self.decay_rate ** (LAYERS + 1 - layer)
            group['weight_decay'] = self.base_wd if decayed else 0.0
            params.append(group)
