"""Masks as the texts and outlines of other formats: run lengths of COCO, polygons."""

from typing import Any

import cv2
import numpy as np


def run_lengths(
    mask: np.ndarray, corner: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """A mask as COCO's compressed run lengths.

    Runs go down the columns, from background on. From the fourth on, each is written as its
    difference to the last but one; numbers are five bits a character, lowest first, with a sixth
    for "more follows" (pycocotools, maskApi.c, rleToString).

    Args:
        mask: (h, w) bool, a part of the image.
        corner: column and row of the image where it begins.
        size: height and width of the image; None: the mask is the whole.
    """
    size = tuple(map(int, mask.shape if size is None else size))
    padded = np.pad(mask, ((1, 1), (0, 0))).astype(np.int8)
    columns, rows = np.diff(padded, axis=0).T.nonzero()  # where runs of a column begin and end
    edges = (corner[0] + columns.astype(np.int64)) * size[0] + corner[1] + rows
    starts, ends = edges[0::2], edges[1::2]
    apart = np.ones(len(edges), bool)  # a run continues from the end of a column to the next one
    if len(starts):
        touching = ends[:-1] == starts[1:]
        apart[2::2], apart[1:-1:2] = ~touching, ~touching
    runs = np.diff(np.concatenate([[0], edges[apart], [size[0] * size[1]]]))
    runs = runs[:-1] if len(runs) > 1 and not runs[-1] else runs  # the image may end with the mask
    first = runs.copy()
    runs[3:] -= first[1:-2]
    return dict(size=list(size), counts=''.join(map(_in_five_bits, runs.tolist())))


def _in_five_bits(number: int) -> str:
    text, more = '', True
    while more:
        bits, number = number & 31, number >> 5
        more = number != (-1 if bits & 16 else 0)
        text += chr(bits + 32 * more + 48)
    return text


def polygons(mask: np.ndarray, corner: tuple[int, int] = (0, 0)) -> list[list[float]]:
    """The outlines of a mask, each x y x y ... in pixels: one for every connected region.

    They run a quarter of a pixel inside the mask's edge, so that whoever fills them by pixels'
    centres gets the mask back; holes in a region are filled.

    Args:
        mask: (h, w) bool, a part of the image.
        corner: column and row of the image where it begins.
    """
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
    twice = part.repeat(2, axis=0).repeat(2, axis=1)  # in whole pixels an outline loses its rim
    outlines, _ = cv2.findContours(twice, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    start = np.array([corner[0] + left, corner[1] + top])
    return [((each[:, 0] + 0.5) / 2 + start).ravel().tolist() for each in outlines]
