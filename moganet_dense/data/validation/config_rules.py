"""Parts of a config that contradict each other, found before anything is built."""

from collections.abc import Iterator, Sequence
from typing import Any

from ...utils.suggest import did_you_mean
from ..layouts import innermost
from .common import part_of
from .unknown_keys import unknown_keys

_POOLING = {
    'UPerHead', 'DeviceUPerHead', 'PSPHead', 'ASPPHead', 'DepthwiseSeparableASPPHead',
}  # fmt: skip
"""Heads that pool to 1 x 1, where batch norm gets one value per channel from one image."""

_HEADS = ('bbox_head', 'roi_head.bbox_head', 'decode_head', 'auxiliary_head')
_LOSSES = ('loss_cls', 'loss_decode')


def contradictions(cfg: Any, splits: Sequence[str]) -> Iterator[str]:
    """All contradictions, one line each.

    Args:
        cfg: the config.
        splits: which of train, val and test are about to run.
    """
    yield from wrappers(cfg, splits)
    if 'train' in splits:
        yield from lengths(cfg.get('train_cfg') or {})
        yield from endless_epochs(cfg)
        yield from single_values(cfg)
    yield from one_class(cfg.get('model') or {})
    yield from class_weights(cfg.get('model') or {})
    yield from unknown_keys(cfg)


def lengths(train_cfg: dict) -> Iterator[str]:
    """A schedule of no step, or an interval that divides by zero after an epoch."""
    for key in ('max_epochs', 'max_iters', 'val_interval'):
        found = train_cfg.get(key)
        if found is not None and not (isinstance(found, (int, float)) and found >= 1):
            none = 'val_dataloader=None, val_evaluator=None, val_cfg=None'
            hint = f'; for no validation set {none}' if key == 'val_interval' else ''
            yield f'expected train_cfg.{key} to be 1 or more, found {found!r}{hint}'


def wrappers(cfg: Any, splits: Sequence[str]) -> Iterator[str]:
    """A wrapper that was merged into the base's data set, instead of replacing it."""
    for split in splits:
        loader = cfg.get(f'{split}_dataloader') or {}
        outer = loader.get('dataset') or {}
        inner = list(innermost(outer))
        if inner == [outer] or all('type' in part for part in inner):
            continue
        path = f'{split}_dataloader.dataset'
        yield (
            f'expected a data set of its own, with its type, inside {outer.get("type")} of {path}, '
            'found one without: it was merged into the data set of the base config; write '
            f'{path}=dict(_delete_=True, type={outer.get("type")!r}, ..., dataset=dict(type=..., '
            'ann_file=..., pipeline=..., ...)), the inner one with all of its options'
        )


def endless_epochs(cfg: Any) -> Iterator[str]:
    """An epoch-based loop with a sampler that never ends an epoch."""
    loop = cfg.get('train_cfg') or {}
    counts = loop.get('type') == 'EpochBasedTrainLoop' or (
        'type' not in loop and loop.get('by_epoch', True) and 'max_epochs' in loop
    )
    sampler = ((cfg.get('train_dataloader') or {}).get('sampler') or {}).get('type')
    if counts and sampler == 'InfiniteSampler':
        yield (
            'expected a sampler that ends, as train_cfg counts epochs, found InfiniteSampler: the '
            "first epoch would never end; set train_dataloader.sampler=dict(type='DefaultSampler', "
            'shuffle=True)'
        )


def single_values(cfg: Any) -> Iterator[str]:
    """Batch norm after pooling to 1 x 1, with a batch of one image."""
    batch = (cfg.get('train_dataloader') or {}).get('batch_size')
    if batch == 1 and cfg.get('launcher', 'none') == 'none' and (head := pooling_head(cfg.model)):
        yield (
            f'expected train_dataloader.batch_size of 2 or more, found 1: {head} pools to one '
            'value per channel, of which batch norm needs two; set it to 2'
        )


def pooling_head(model: dict) -> str:
    """The type of a head with batch norm after pooling to 1 x 1, or ''."""
    for path in ('decode_head', 'auxiliary_head'):
        heads = part_of(model, path)
        for head in heads if isinstance(heads, (list, tuple)) else [heads]:
            norm = (head.get('norm_cfg') or {}).get('type')
            if head.get('type') in _POOLING and norm in ('BN', 'BN2d', 'SyncBN'):
                return head['type']
    return ''


def last_batch(cfg: Any, samples: int) -> Iterator[str]:
    """The same for the last batch of an epoch."""
    loader = cfg.get('train_dataloader') or {}
    batch, sampler = loader.get('batch_size') or 1, (loader.get('sampler') or {}).get('type')
    odd = batch > 1 and samples % batch == 1 and not loader.get('drop_last')
    if odd and sampler == 'DefaultSampler' and (head := pooling_head(cfg.model)):
        yield (
            f'expected batches of 2 images or more, found a last batch of 1 ({samples} images, '
            f'batch_size={batch}): {head} pools to one value per channel, of which batch norm '
            'needs two; set train_dataloader.drop_last=True'
        )


def one_class(model: dict) -> Iterator[str]:
    """One class and softmax: its probability is always 1."""
    head = part_of(model, 'decode_head')
    for one in head if isinstance(head, (list, tuple)) else [head]:
        losses = one.get('loss_decode') or {}
        losses = losses if isinstance(losses, (list, tuple)) else [losses]
        sigmoid = any(loss.get('use_sigmoid') for loss in losses)
        if one.get('num_classes') == 1 and not sigmoid:
            yield (
                'expected two classes or more for softmax, found model.decode_head.num_classes=1: '
                'there is nothing to learn; name the background, too: '
                "metainfo=dict(classes=('background', ...)), reduce_zero_label=False, "
                'num_classes=2 in all heads; or, with these two classes, also out_channels=1 and '
                'loss_decode=dict(use_sigmoid=True)'
            )


def class_weights(model: dict) -> Iterator[str]:
    """``class_weight`` needs a number per class, and in detectors with softmax one more, of the
    background."""
    for path in _HEADS:
        heads = part_of(model, path)
        for head in heads if isinstance(heads, (list, tuple)) else [heads]:
            for key in _LOSSES:
                losses = head.get(key) or {}
                for loss in losses if isinstance(losses, (list, tuple)) else [losses]:
                    yield from _weights(head, loss, f'model.{path}.{key}')


def _weights(head: dict, loss: dict, path: str) -> Iterator[str]:
    weights, classes = loss.get('class_weight'), head.get('num_classes')
    if not isinstance(weights, (list, tuple)) or not isinstance(classes, int):
        return
    background = path.endswith('loss_cls') and not loss.get('use_sigmoid')
    expected = classes + background
    if len(weights) != expected:
        what = f'{classes} classes' + ' and the background, last' * background
        yield (
            f'expected {path}.class_weight of {expected} numbers, of {what}, found '
            f'{len(weights)}; write one per class'
        )


def keypoint_swaps(info: dict, file: str) -> Iterator[str]:
    """Swaps, skeleton and indices of keypoints that contradict each other.

    Args:
        info: ``dataset_info`` of mmpose.
        file: its path.
    """
    points = list((info.get('keypoint_info') or {}).values())
    names = [point.get('name') for point in points]
    swaps = {point.get('name'): point.get('swap') or '' for point in points}
    if repeated := sorted({n for n in names if names.count(n) > 1}):
        yield f'{file}: expected each keypoint name once, found {repeated[0]!r} twice'
    for name, swap in swaps.items():
        if swap and swap not in swaps:
            yield (
                f'{file}: expected swap of keypoint {name!r} to be a keypoint, found {swap!r}'
                f"{did_you_mean(swap, names)}; write its name, or '' if it is not swapped"
            )
        elif swap and swaps[swap] != name:
            other = swaps[swap]
            paired = other and swaps.get(other) == swap
            yield (
                f'{file}: expected swaps in both directions, found {name!r} to {swap!r} and '
                f'{swap!r} to {other!r}; set swap={("" if paired else name)!r} of '
                f'{(name if paired else swap)!r}{", or its real partner" * bool(paired)}'
            )
    for link in (info.get('skeleton_info') or {}).values():
        for end in link.get('link') or ():
            if end not in swaps:
                yield (
                    f'{file}: expected links of skeleton_info between keypoints, found {end!r}'
                    f'{did_you_mean(end, names)}; write a name of keypoint_info'
                )
