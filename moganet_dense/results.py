"""What a model answers about one image, in NumPy: shared by all that runs models.

Places are in pixels of the image that was given, as it is shown (a photograph that its EXIF tag
turns is turned): x to the right and y down, both from 0 at the upper left corner's outer edge.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .utils.errors import UserError
from .utils.suggest import closest


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects in an image, the most certain first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels.
        scores: (N,) float32, 0 to 1.
        labels: (N,) int64, indices into ``names``.
        names: all classes that the model knows.
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
        """Those of at least ``score``, and of the class ``name`` unless that is None.

        Raises:
            UserError: the model knows no class of this name.
        """
        kept = self.scores >= score
        if name is not None and name not in self.names:
            close = ', '.join(closest(name, self.names))
            raise UserError(f'the model knows no class {name!r}; did you mean {close}?')
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
        names: all classes that the model knows.
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
        boxes: (N, 4) float32, x1 y1 x2 y2: where people were looked for.
        names: of the K keypoints.
        skeleton: pairs of keypoints, as indices, that a line joins.
        box_scores: (N,) float32, how certain each box is; None: it was not said.
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
    """What an image shows.

    Attributes:
        scores: (C,) float32, probability of each class.
        label: index of the highest.
        name: its class.
        names: all classes that the model knows.
    """

    scores: np.ndarray
    label: int
    name: str
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Maps of the backbone's stages.

    Attributes:
        maps: (C_i, h_i, w_i) float32 each.
        strides: of each, in pixels of what the network saw.
        channels: C_i of each.
        input_size: height and width of what the network saw: the image resized and padded.
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
        UserError: they are no boxes.
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
        raise UserError('boxes: expected x1 < x2 and y1 < y2 in pixels, found others')
    return array
