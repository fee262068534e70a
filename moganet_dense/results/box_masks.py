"""Masks of objects that are small in a large image, stored as crops."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np


class Part(NamedTuple):
    """A mask in its box.

    Attributes:
        left: column of the image that the first of ``mask`` is.
        top: row, likewise.
        mask: (h, w) bool.
    """

    left: int
    top: int
    mask: np.ndarray


class BoxMasks:
    """Stands for an array (N, H, W) bool, which of a large image would not fit into memory.

    ``masks[3]`` is a whole mask (H, W), ``masks[:3]`` and ``masks[kept]`` are BoxMasks, and
    ``np.asarray(masks)`` is the array.

    Args:
        parts: one for each object, within the image.
        size: height and width of the image.
    """

    def __init__(self, parts: list[Part], size: tuple[int, int]) -> None:
        self.parts, self.size = parts, size

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the array."""
        return len(self.parts), *self.size

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, (int, np.integer)):
            left, top, part = self.parts[which]
            mask = np.zeros(self.size, bool)
            mask[top : top + part.shape[0], left : left + part.shape[1]] = part
            return mask
        chosen = np.arange(len(self.parts))[which]
        return BoxMasks([self.parts[i] for i in chosen], self.size)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        stack = np.zeros(self.shape, bool)
        for whole, (left, top, part) in zip(stack, self.parts, strict=True):
            whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        return stack if dtype is None else stack.astype(dtype)


def part_of(masks: np.ndarray | BoxMasks, i: int) -> Part:
    """One of several masks, without the rows and columns around it."""
    left, top, mask = masks.parts[i] if isinstance(masks, BoxMasks) else (0, 0, masks[i])
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    if not len(rows):
        return Part(left, top, mask[:0, :0])
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Part(left + int(columns[0]), top + int(rows[0]), inner)
