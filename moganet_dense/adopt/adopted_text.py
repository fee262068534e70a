"""The config that ``adopt`` writes: a config of a toolbox, and what MogaNet changes in it."""

import math
import re
from keyword import iskeyword
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config.config_text import without_placeholders
from ..utils.printable import printable
from .backbone_swap import Swap

RUN_HOOKS = 'moganet_dense::_base_/run_hooks.py'
"""Base with the runner and its hooks."""

OPTIMIZERS = {
    'mmdet': (1e-4, 0.05, 16),
    'mmseg': (1e-4, 0.01, 16),
    'mmpose': (1e-3, 0.05, 256),
    'mmpretrain': (1e-3, 0.05, 1024),
}
"""AdamW's rate, weight decay and images of a step in MogaNet's published recipes (pose: Adam's)."""

REPLACED = ('SGD', 'RMSprop')
"""Optimizers whose recipes are of convolutional backbones; those of other recipes stay."""

LOOPS = {
    'EpochBasedTrainLoop': 'ResumableEpochLoop',
    'IterBasedTrainLoop': 'ResumableIterLoop',
}


def adopted_text(name: str, cfg: Config, swap: Swap, out: Path, base: str | None = None) -> str:
    """The whole config.

    Args:
        name: of the toolbox's config, as ``mmdet::dino/...``.
        cfg: that config.
        swap: what MogaNet changes.
        out: where it will be; the header names it.
        base: the first base, if other than ``name``.
    """
    arch = swap.model['backbone']['arch']
    rate, changes, notes = optimizer_changes(cfg, name)
    body = dict(optim_wrapper=changes, train_cfg=_loop(cfg))
    if schedule := scaled_schedule(cfg, rate):
        body['param_scheduler'] = schedule
    model: dict[str, Any] = dict(swap.model)
    if swap.preprocessor and cfg.model.get('data_preprocessor'):
        model['data_preprocessor'] = swap.preprocessor
    elif swap.preprocessor:
        body['data_preprocessor'] = swap.preprocessor
    if 'load_from' in cfg and cfg.load_from:
        body['load_from'] = None
        notes.append('Weights that the whole model would start from are left out.')
    said = ''.join(f'{note}\n' for note in [*notes, *swap.notes])
    lines = '\n'.join(f'{key} = {code(value)}' for key, value in body.items() if value)
    stem = Path(name.partition('::')[2] or name).stem
    title, shown, said, into = map(_in_docstring, (stem, name, said, out.name))
    return without_placeholders(f'''"""{title} with MogaNet-{arch.upper()}; not run at scale.

Written by `moganet-dense adopt {shown} --arch {arch}`.
{said}
train      moganet-dense train {into}
test       moganet-dense test {into} CHECKPOINT
"""

_base_ = [{base or name!r}, {RUN_HOOKS!r}]
custom_imports = dict(imports=['moganet_dense'], allow_failed_imports=False)
default_hooks = dict(**_base_.run_hooks, checkpoint=dict(type='AtomicCheckpointHook'))
model = {code(model)}
{lines}
''')


def _in_docstring(text: str) -> str:
    """A text that ends no string: the name of a file may have quotes."""
    lines = (printable(line) for line in text.split('\n'))
    return '\n'.join(line.replace('\\', '\\\\').replace('"', '\\"') for line in lines)


def optimizer_changes(cfg: Config, name: str) -> tuple[float, dict[str, Any], list[str]]:
    """Factor of the learning rate, changes of the optimizer, and what is to be said about them.

    A recipe with an adaptive optimizer keeps it, rate and all. SGD's is replaced by the AdamW of
    MogaNet's published recipe, its rate by the square root of the ratio of batches (Malladi et al.
    2022, https://arxiv.org/abs/2205.10287).
    """
    wrapper = cfg.optim_wrapper.to_dict()
    changes: dict[str, Any] = dict(constructor='BackboneDecayConstructor')
    given = wrapper['optimizer']
    notes = []
    if wrapper.get('constructor', 'DefaultOptimWrapperConstructor') != (
        'DefaultOptimWrapperConstructor'
    ):
        changes['paramwise_cfg'] = dict(_delete_=True)
        notes.append(
            f"The recipe's {wrapper['constructor']} knows the layers of its own backbone and is "
            'left out.'
        )
    if given['type'] not in REPLACED:
        notes.insert(0, f"Learning rate {given['lr']:g} and {given['type']} are the recipe's own.")
        return 1.0, changes, notes
    rate, decay, base = OPTIMIZERS[cfg.default_scope]
    batch = _batch_size(cfg, name)
    lr = float(f'{rate * math.sqrt(batch / base):.2g}')
    changes['optimizer'] = dict(_delete_=True, type='AdamW', lr=lr, weight_decay=decay)
    notes.insert(
        0,
        f"{given['type']} is replaced by AdamW as in MogaNet's published recipe: {rate:g} for "
        f'{base} images, {lr:g} for {batch}.',
    )
    return lr / given['lr'], changes, notes


def _batch_size(cfg: Config, name: str) -> int:
    """Images of a step in the recipe: as its name (8xb2) or auto_scale_lr says."""
    if found := re.search(r'(\d+)xb(\d+)', name):
        return int(found[1]) * int(found[2])
    return (cfg.get('auto_scale_lr') or {}).get('base_batch_size') or OPTIMIZERS[cfg.default_scope][
        2
    ]


def scaled_schedule(cfg: Config, factor: float) -> list[dict[str, Any]] | None:
    """The schedule with its absolute rates times ``factor``; None if that changes nothing."""
    given = cfg.get('param_scheduler') or []
    steps = [dict(s) for s in (given if isinstance(given, list) else [given])]
    absolute = [(s, k) for s in steps for k in ('eta_min', 'eta_max') if s.get(k)]
    if factor == 1.0 or not absolute:
        return None
    for step, key in absolute:
        step[key] = float(f'{step[key] * factor:.2g}')
    return [{k: v for k, v in step.items() if k != '_scope_'} for step in steps]


def _loop(cfg: Config) -> dict[str, Any]:
    """The training loop that resumes exactly, as long as the recipe's; {} for other kinds."""
    given = {k: v for k, v in cfg.train_cfg.to_dict().items() if k != '_scope_'}
    if given.get('type') in LOOPS:
        return dict(type=LOOPS[given['type']])
    if 'type' in given:
        return {}
    by_epoch = given.pop('by_epoch', 'max_epochs' in given)
    return dict(
        _delete_=True, type='ResumableEpochLoop' if by_epoch else 'ResumableIterLoop', **given
    )


def code(value: Any, indent: int = 0) -> str:
    """A value as Python, dicts by keyword, what is long over several lines."""
    short = _one_line(value)
    if len(short) + indent <= 84 or not isinstance(value, (dict, list)):
        return short
    pad = ' ' * (indent + 4)
    if isinstance(value, dict):
        if not all(map(_is_keyword, value)):
            rows = [f'{pad}{k!r}: {code(v, indent + 4)},\n' for k, v in value.items()]
            return f'{{\n{"".join(rows)}{" " * indent}}}'
        rows = [f'{pad}{k}={code(v, indent + 4)},\n' for k, v in value.items()]
        return f'dict(\n{"".join(rows)}{" " * indent})'
    rows = [f'{pad}{code(v, indent + 4)},\n' for v in value]
    return f'[\n{"".join(rows)}{" " * indent}]'


def _one_line(value: Any) -> str:
    if isinstance(value, dict) and all(map(_is_keyword, value)):
        return 'dict(' + ', '.join(f'{k}={_one_line(v)}' for k, v in value.items()) + ')'
    if isinstance(value, list):
        return '[' + ', '.join(map(_one_line, value)) + ']'
    if isinstance(value, float) and not math.isfinite(value):
        return f'float({str(value)!r})'
    return repr(value)


def _is_keyword(key: Any) -> bool:
    return isinstance(key, str) and key.isidentifier() and not iskeyword(key)
