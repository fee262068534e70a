"""How far a float16 file agrees with the float32 file it was made from, in words."""

from collections.abc import Sequence

import numpy as np

from ..utils.errors import UserError

ALIKE = 0.9
"""Overlap (IoU) of boxes that are the same."""


Pairs = Sequence[tuple[list[np.ndarray], list[np.ndarray]]]


def compared(task: str, pairs: Pairs) -> str:
    """How far two files agree, in words.

    Args:
        task: of the metadata, such as 'detection'.
        pairs: outputs of the float32 and of the float16 file, of some inputs, at one score
            threshold.

    Raises:
        UserError: outputs in float16 are not finite.
    """
    if not all(np.isfinite(part).all() for _, found in pairs for part in found):
        raise UserError(
            'the float16 file returns values that are not finite: the network leaves the range of '
            'float16 (65504); nothing was written; export without --fp16'
        )
    if task in ('detection', 'instance segmentation'):
        same = [_matches(wanted, found) for wanted, found in pairs]
        count = sum(len(wanted[0]) for wanted, _ in pairs)
        worst = max((score for own in same for score in own), default=0.0)
        return (
            f'{sum(map(len, same))} of {count} boxes have a match of the same label with an IoU of '
            f'{ALIKE} or more, whose score differs by at most {worst:.1e}'
        )
    if task == 'segmentation':
        equal = np.mean([(wanted[0] == found[0]).mean() for wanted, found in pairs])
        return f'{equal:.3%} of the pixels have the same label'
    if task in ('backbone', 'classification'):
        what = 'scores' if task == 'classification' else 'maps'
        worst = max(
            np.abs(a - b).max() / np.abs(a).max()
            for pair in pairs
            for a, b in zip(*pair, strict=True)
        )
        return f'{what} differ by at most {worst:.1e} of the largest'
    distances = np.concatenate([np.abs(a[0] - b[0]).max(2).ravel() for a, b in pairs])
    near = (distances <= 1).mean()
    return (
        f'{near:.1%} of the keypoints lie within a pixel, half of them within '
        f'{np.median(distances):.2g}'
    )


def _matches(wanted: list[np.ndarray], found: list[np.ndarray]) -> list[float]:
    """Differences of the scores of matching boxes; each box has one match at most."""
    free, differences = set(range(len(found[0]))), []
    for box, score, label, image in zip(*wanted[:4], strict=True):
        candidates = [i for i in free if found[2][i] == label and found[3][i] == image]
        overlaps = [_iou(box, found[0][i]) for i in candidates]
        if overlaps and max(overlaps) >= ALIKE:
            best = candidates[int(np.argmax(overlaps))]
            free.remove(best)
            differences.append(abs(float(score) - float(found[1][best])))
    return differences


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    extent = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    common = extent.prod()
    return float(common / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common))
