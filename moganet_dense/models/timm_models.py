"""MogaNet as models of timm: ``timm.create_model('moganet_small')``, once ``moganet_dense`` is
imported together with timm (https://huggingface.co/docs/timm)."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn as nn
from mmengine.logging import print_log

from ..weights.conversion import model_state
from ..weights.download import locate
from ..weights.loading import load_strictly, read_checkpoint
from .create import (
    PRETRAINED_CFG,
    Backbone,
    FeatureInfo,
    adapt_channels,
    create_backbone,
    pretrained_init,
)
from .moganet import MogaNet

NAMES = dict(
    moganet_xtiny='xt', moganet_tiny='t', moganet_small='s', moganet_base='b', moganet_large='l',
    moganet_xlarge='xl',
)  # fmt: skip
CLASSES = 1000
"""Of ImageNet-1K, in the published weights."""


class Classifier(nn.Module):
    """A MogaNet with a linear classifier on the mean of its last map, with timm's methods.

    Args:
        net: the backbone.
        num_classes: outputs; 0: the mean itself, (B, num_features).
        drop_rate: dropout before the classifier, in training.
        global_pool: 'avg', or '' for no pooling and no classifier.
    """

    def __init__(
        self, net: MogaNet, num_classes: int, drop_rate: float = 0.0, global_pool: str = 'avg'
    ) -> None:
        super().__init__()
        self.net, self.drop = net, nn.Dropout(drop_rate)
        self.num_features = self.head_hidden_size = net.channels[-1]
        self.pretrained_cfg = self.default_cfg = dict(PRETRAINED_CFG, num_classes=CLASSES)
        self.feature_info = FeatureInfo(
            dict(num_chs=channels, reduction=stride, module=f'net.norm{i + 1}')
            for i, channels, stride in zip(net.out_indices, net.channels, net.strides, strict=True)
        )
        self.reset_classifier(num_classes, global_pool)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new classifier for other classes.

        Raises:
            ValueError: a pooling other than 'avg' or ''.
        """
        if global_pool not in (None, '', 'avg'):
            raise ValueError(f"global_pool: expected 'avg' or '', found {global_pool!r}")
        self.num_classes = num_classes
        if global_pool is not None:
            self.global_pool = global_pool
        linear = num_classes > 0 and self.global_pool
        self.head = nn.Linear(self.num_features, num_classes) if linear else nn.Identity()

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """The last map, (B, C, h, w)."""
        return self.net(x)[-1]

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Logits (B, num_classes) of the last map; ``pre_logits``: its mean."""
        if self.global_pool:
            x = self.drop(x.mean((2, 3)))
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


def create(
    arch: str,
    pretrained: bool | str = False,
    *,
    num_classes: int = CLASSES,
    in_chans: int = 3,
    features_only: bool = False,
    out_indices: Any = (0, 1, 2, 3),
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    global_pool: str = 'avg',
    checkpoint_path: str = '',
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: Any = None,
    cache_dir: Any = None,
) -> Classifier | Backbone:
    """A model as ``timm.create_model`` makes it.

    Args:
        arch: of :data:`NAMES`' values.
        pretrained: True for the published weights, with their classifier if it has as many classes;
            a name, path or URL of others.
        num_classes: outputs of the classifier; 0: none.
        in_chans: channels of the images, see :func:`~moganet_dense.models.create.adapt_channels`.
        features_only: return the maps of ``out_indices``.
        out_indices: see :func:`~moganet_dense.models.create.create_backbone`.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth.
        global_pool: 'avg', or '' for none.
        checkpoint_path: timm loads it afterwards.
        pretrained_cfg: timm's, which lists none of these weights.
        pretrained_cfg_overlay: likewise.
        cache_dir: likewise; weights go into PyTorch's cache.
    """
    if features_only:
        return create_backbone(
            arch, pretrained=pretrained, out_indices=out_indices, in_chans=in_chans,
            drop_path_rate=drop_path_rate,
        )  # fmt: skip
    if not pretrained:
        net = MogaNet(arch, in_chans, drop_path_rate=drop_path_rate)
        return Classifier(net, num_classes, drop_rate, global_pool)
    init_cfg = pretrained_init(arch, pretrained)
    net = MogaNet(arch, init_cfg=init_cfg, drop_path_rate=drop_path_rate)
    state = model_state(read_checkpoint(locate(init_cfg['checkpoint'])))
    start = 'backbone.'
    inner = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    load_strictly(net, inner)
    if in_chans != 3:
        target = MogaNet(arch, in_chans, gate=net.gate, drop_path_rate=drop_path_rate)
        net = adapt_channels(net, in_chans, target)
    model = Classifier(net, num_classes, drop_rate, global_pool)
    _fill_head(model.head, state)
    return model


def _fill_head(head: nn.Module, state: dict[str, torch.Tensor]) -> None:
    weights = {k: state[f'head.fc.{k}'] for k in ('weight', 'bias') if f'head.fc.{k}' in state}
    if not isinstance(head, nn.Linear):
        return
    if len(weights) == 2 and weights['weight'].shape == head.weight.shape:
        load_strictly(head, weights)
    else:
        print_log('the classifier is new: the weights have none of this size', 'current')


def register_in_timm() -> None:
    """Makes :data:`NAMES` known to ``timm.create_model``; once."""
    import timm

    known = set(timm.list_models('moganet_*'))
    for name, arch in NAMES.items():
        if name not in known:
            timm.models.register_model(_entry(name, arch))


def _entry(name: str, arch: str) -> Callable[..., nn.Module]:
    def entry(pretrained: bool = False, **options: Any) -> nn.Module:
        return create(arch, pretrained, **options)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f'MogaNet of size {arch}, see :func:`create`.'
    return entry
