"""The description of keypoints that mmpose reads: names, swaps when flipped, sigmas."""

from ..config.config_text import without_placeholders
from ..data.converters.dataset import DataSet

SIGMA = 0.05
"""Default sigma: between COCO's eyes (0.025) and hips (0.107)."""

_COCO = dict(
    nose=0.026, eye=0.025, ear=0.035, shoulder=0.079, elbow=0.072, wrist=0.062, hip=0.107,
    knee=0.087, ankle=0.089,
)  # fmt: skip
_LOWER = ('hip', 'knee', 'ankle', 'foot', 'toe', 'heel')
_SIDES = (('left', 'right'), ('l', 'r'))


def swaps_of(names: list[str]) -> list[int]:
    """Index of the keypoint that each becomes when the image is flipped, by left and right in
    the names: left_eye and right_eye, eye-L and eye-R."""
    lower = [name.lower() for name in names]
    found = list(range(len(names)))
    for i, name in enumerate(lower):
        words = _words(name)
        for left, right in _SIDES:
            swapped = [{left: right, right: left}.get(word, word) for word in words]
            partners = [k for k, other in enumerate(lower) if _words(other) == swapped]
            if swapped != words and len(partners) == 1:
                found[i] = partners[0]
                break
    return found


def _words(name: str) -> list[str]:
    spaced = ''.join(c if c.isalnum() else ' ' for c in name)
    for side in ('left', 'right'):
        spaced = spaced.replace(side, f' {side} ')
    return spaced.split()


def keypoint_info(data: DataSet, name: str) -> str:
    """The text of the file."""
    swaps = data.swaps or swaps_of(data.keypoints)
    sigmas = [_COCO.get(_words(k.lower())[-1] if _words(k) else '', SIGMA) for k in data.keypoints]
    points = [
        f'        {i}: keypoint({i}, {key!r}, {_part(key)!r}, swap={_swap(data, swaps, i)!r}),'
        for i, key in enumerate(data.keypoints)
    ]
    links = [
        f'        {i}: dict(link=({data.keypoints[a]!r}, {data.keypoints[b]!r}), id={i}, '
        'color=[0, 255, 0]),'
        for i, (a, b) in enumerate(data.skeleton)
    ]
    table = '\n'.join(['    keypoint_info={', *points, '    },'])
    drawn = '\n'.join(
        ['    skeleton_info={', *links, '    },'] if links else ['    skeleton_info={},']
    )
    text = f'''"""Keypoints of {name}. Written by `moganet-dense init`; edit it freely.

swap: the keypoint that it becomes when the image is flipped; '' if it is not swapped.
sigmas: the spread of annotations of the keypoint, relative to the object size (COCO's are from
0.025, eyes, to 0.107, hips); used by the metric.
"""


def keypoint(i, name, part, swap=''):
    return dict(id=i, name=name, type=part, swap=swap, color=[255, 128, 0])


dataset_info = dict(
    dataset_name={name!r},
{table}
{drawn}
    joint_weights={[1.0] * len(data.keypoints)},
    sigmas={sigmas},
)
'''
    return without_placeholders(text)


def _swap(data: DataSet, swaps: list[int], i: int) -> str:
    return '' if swaps[i] == i else data.keypoints[swaps[i]]


def _part(name: str) -> str:
    return 'lower' if any(word in name.lower() for word in _LOWER) else 'upper'
