"""``--img-size``: changes the training size, and all dependent sizes of a config."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from ..utils.errors import UserError
from .mini_config import shrunk
from .schedules import changed

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_MULTIPLE = {'mmpose': 32, 'mmseg': 32}
"""Sizes are rounded to multiples where maps of the coarsest stride have to fit in."""


def trained_size(cfg: Config) -> tuple[int, int]:
    """Width and height that images are fitted into or cut to.

    Raises:
        UserError: the config does not say.
    """
    if cfg.default_scope == 'mmpose' and 'input_size' in cfg.get('codec', {}):
        return tuple(cfg.codec.input_size)
    size = (cfg.model.get('data_preprocessor') or {}).get('size')
    if cfg.default_scope == 'mmseg' and size:
        return tuple(size)[::-1]
    name = {'mmdet': 'Resize', 'mmpretrain': 'CenterCrop'}.get(cfg.default_scope)
    for step in (cfg.get('test_dataloader') or {}).get('dataset', {}).get('pipeline', []):
        found = step.get('scale') or step.get('crop_size')
        if step.get('type') == name and found:
            return tuple(found) if isinstance(found, Sequence) else (found, found)
    raise UserError('--img-size: the config names no size that images are fitted into')


def set_image_size(cfg: Config, side: int) -> str:
    """Makes ``side`` the longer side of what is trained on; all sizes go along, in proportion.

    Args:
        cfg: changed in place.
        side: pixels.

    Returns:
        a line about it.

    Raises:
        UserError: the task has none, or the size does not fit the strides.
    """
    if cfg.default_scope == 'mmengine':
        raise UserError('--img-size: video has the size of its frames')
    before = trained_size(cfg)
    unit = _MULTIPLE.get(cfg.default_scope, 1)
    factor, after = side / max(before), _in_proportion(before, side)
    if wrong := _unfit(after, unit):
        fits = ' or '.join(f'--img-size {n}' for n in _nearest(before, side, unit))
        raise UserError(
            f'--img-size {side}: expected multiples of {unit}, from 32, for {before[0]} x '
            f'{before[1]} in proportion, found {wrong[0]}; nearest: {fits}'
        )
    for name in _LOADERS:
        if cfg.get(name):
            cfg[name] = resized(cfg[name], factor)
    for part in ('data_preprocessor', 'head'):
        if part in cfg.model:
            cfg.model[part] = resized(cfg.model[part], factor)
    if 'codec' in cfg:
        cfg.codec = resized(cfg.codec, factor)
    sizes = (f'{size[0]} x {size[1]}' for size in (after, before))
    return f'--img-size {side}: {changed(*sizes)}'


def _in_proportion(before: Sequence[int], side: int) -> tuple[int, ...]:
    longer = max(before)
    return tuple(side if n == longer else round(n * side / longer) for n in before)


def _unfit(size: Sequence[int], unit: int) -> list[int]:
    return [n for n in size if n % unit or n < 32]


def _nearest(before: Sequence[int], side: int, unit: int) -> list[int]:
    """The sides that fit next below and above, of those up to four times the size."""
    sides = range(unit, max(4 * max(before), 2 * side) + 1, unit)
    fit = [n for n in sides if not _unfit(_in_proportion(before, n), unit)]
    below, above = [n for n in fit if n < side], [n for n in fit if n > side]
    return [*below[-1:], *above[:1]]


def resized(node: Any, factor: float) -> Any:
    """A copy with sizes multiplied, also the blobs of heatmaps and borders of crops."""
    return _along(shrunk(node, factor), factor)


def _along(node: Any, factor: float) -> Any:
    if isinstance(node, dict):
        found = ConfigDict({key: _along(value, factor) for key, value in node.items()})
        if found.get('type') == 'MSRAHeatmap' and 'sigma' in found:
            found.sigma = round(found.sigma * factor, 2)
        if found.get('border'):
            found.border = tuple(round(n * factor) for n in found.border)
        return found
    if isinstance(node, (list, tuple)):
        return type(node)(_along(item, factor) for item in node)
    return node
