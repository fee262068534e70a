"""Metrics of the toolboxes by the names that people use."""

import re
from collections.abc import Mapping

_NAMES = {
    'mAP': 'AP',
    'mAP_50': 'AP50',
    'mAP_75': 'AP75',
    'mAP_s': 'AP small',
    'mAP_m': 'AP medium',
    'mAP_l': 'AP large',
    'AP': 'AP',
    'AP .5': 'AP50',
    'AP .75': 'AP75',
    'AP (M)': 'AP medium',
    'AP (L)': 'AP large',
    'AR': 'AR',
    'AR .5': 'AR50',
    'AR .75': 'AR75',
    'AR (M)': 'AR medium',
    'AR (L)': 'AR large',
    'mIoU': 'mean IoU',
    'mAcc': 'mean class accuracy',
    'aAcc': 'pixel accuracy',
    'mDice': 'mean Dice',
    'mFscore': 'mean F1',
    'mPrecision': 'mean precision',
    'mRecall': 'mean recall',
    'top1': 'top-1 accuracy',
    'top5': 'top-5 accuracy',
    'PCK': 'PCK',
    'AUC': 'AUC',
    'EPE': 'end-point error',
    'NME': 'normalised mean error',
}
_PERCENT = {'mIoU', 'mAcc', 'aAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall', 'top1', 'top5'}
_KINDS = {'bbox': 'boxes', 'segm': 'masks', 'proposal': 'proposals'}
_SKIPPED = {'time', 'data_time', 'validated_iter'}


def plain_name(key: str) -> str:
    """What a metric is called in words: ``coco/bbox_mAP_50`` is 'AP50 of boxes'.

    Names that are not known stay as they are.
    """
    kind, name = split_name(key)
    return f'{name} of {kind}' if kind else name


def split_name(key: str) -> tuple[str, str]:
    """What is measured ('boxes', 'masks' or '') and by what, of a metric's key."""
    last = key.rpartition('/')[2]
    kind, found, name = last.partition('_')
    if not found or kind not in _KINDS or name not in _NAMES:
        kind, name = '', last
    words = _NAMES.get(name, key if name == last else name)
    return _KINDS.get(kind, ''), words + ' %' * (name in _PERCENT)


def table(metrics: Mapping[str, float], most: int = 7) -> list[list[str]]:
    """Rows of text, the first with the names: one row for boxes, one for masks.

    Args:
        metrics: by the toolboxes' keys; other things than numbers, and -1, which COCO has for
            what does not occur, are shown as '-'.
        most: columns; metrics of single classes come last and are left out first.
    """
    rows: dict[str, dict[str, str]] = {}
    for key, value in metrics.items():
        if key not in _SKIPPED:
            kind, name = split_name(key)
            rows.setdefault(kind, {})[name] = _figure(value)
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))[:most]
    if not columns:
        return []
    head = [*([''] if any(rows) else []), *columns]
    return [head, *([*([kind] if any(rows) else []), *(row.get(name, '-') for name in columns)]
                    for kind, row in rows.items())]  # fmt: skip


def _figure(value: float) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return re.sub(r'\s+', ' ', str(value))[:20]
    return '-' if number in (-1, float('nan')) or number != number else f'{number:.4g}'


def aligned(rows: list[list[str]]) -> list[str]:
    """The rows as lines, columns aligned to the right, the first to the left if it has words."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = rows[0][0] == ''
    return [
        '  '.join(
            cell.ljust(width) if left and i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
