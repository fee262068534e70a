"""Results of a model for one image, in NumPy; shared by all runtimes.

Coordinates are in pixels of the input image after its EXIF rotation: x to the right and y down,
with 0 at the outer edge of the upper left corner.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .utils.errors import UserError
from .utils.suggest import closest


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects in an image, the most confident first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels.
        scores: (N,) float32, 0 to 1.
        labels: (N,) int64, indices into ``names``.
        names: all classes of the model.
        masks: (N, H, W) bool, of the image's size; None: the model has no masks.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    masks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def where(self, score: float = 0.0, name: str | None = None) -> 'Detections':
        """The objects with at least ``score``, and of class ``name`` unless it is None.

        Raises:
            UserError: the model has no class of this name.
        """
        kept = self.scores >= score
        if name is not None and name not in self.names:
            close = ', '.join(closest(name, self.names))
            raise UserError(f'the model has no class {name!r}; did you mean {close}?')
        if name is not None:
            kept &= self.labels == self.names.index(name)
        masks = None if self.masks is None else self.masks[kept]
        return replace(
            self,
            boxes=self.boxes[kept],
            scores=self.scores[kept],
            labels=self.labels[kept],
            masks=masks,
        )


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A class for every pixel.

    Attributes:
        labels: (H, W) int64, indices into ``names``, of the image's size.
        names: all classes of the model.
        palette: (C, 3) uint8, a colour for each class, RGB.
        scores: (H, W) float32, probability of each pixel's class; None: not computed.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    palette: np.ndarray
    scores: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Poses:
    """Keypoints of the people in an image.

    Attributes:
        keypoints: (N, K, 2) float32, x y in pixels.
        scores: (N, K) float32, height of each keypoint's peak, about 0 to 1.
        boxes: (N, 4) float32, x1 y1 x2 y2: the input boxes of people.
        names: of the K keypoints.
        skeleton: pairs of keypoints, as indices, that a line joins.
        box_scores: (N,) float32, confidence of each box; None: unknown.
        category: class of the objects, such as 'person'.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]
    box_scores: np.ndarray | None = None
    category: str = 'person'

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, eq=False)
class Classification:
    """The class of an image.

    Attributes:
        scores: (C,) float32, probability of each class.
        label: index of the highest.
        name: its class.
        names: all classes of the model.
    """

    scores: np.ndarray
    label: int
    name: str
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Feature maps of the backbone's stages.

    Attributes:
        maps: (C_i, h_i, w_i) float32 each.
        strides: of each, in pixels of the network input.
        channels: C_i of each.
        input_size: height and width of the network input: the image resized and padded.
    """

    maps: tuple[np.ndarray, ...]
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    input_size: tuple[int, int]


Result = Detections | Segmentation | Poses | Classification


def boxes_of(given: Any, image: np.ndarray) -> np.ndarray:
    """Boxes of people, (N, 4) float32, x1 y1 x2 y2 in pixels of the image.

    Args:
        given: an array, Detections, or None: the whole image is one.
        image: (H, W, 3).

    Raises:
        UserError: they are not boxes.
    """
    if given is None:
        height, width = image.shape[:2]
        return np.array([[0, 0, width, height]], np.float32)
    try:
        array = np.asarray(getattr(given, 'boxes', given), np.float32)
    except (TypeError, ValueError):
        raise UserError(
            f'boxes: expected (N, 4), x1 y1 x2 y2, or None for the whole image, found {given!r}'
        ) from None
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise UserError(f'boxes: expected (N, 4), x1 y1 x2 y2, found {array.shape}')
    if not np.isfinite(array).all() or (array[:, 2:] <= array[:, :2]).any():
        raise UserError('boxes: expected x1 < x2 and y1 < y2 in pixels, found other values')
    return array
