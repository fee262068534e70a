"""The preprocessing of the test pipeline, from the metadata of the file."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..data.image_io import require_resizable


@dataclass(frozen=True)
class Fitted:
    """A resized image.

    Attributes:
        pixels: (H, W, 3) uint8, BGR, resized, not padded.
        scale: resize factors of x and y; 1 if it was cropped.
        size: height and width of the input image.
    """

    pixels: np.ndarray
    scale: tuple[float, float]
    size: tuple[int, int]


class Preparation:
    """Resizing, normalising and padding.

    Args:
        notes: metadata of the file, see docs/ship.md.
    """

    def __init__(self, notes: dict[str, Any]) -> None:
        self.resize, self.shape = notes['resize'], notes['shape']
        self.divisor, self.pad_value = notes['pad']['divisor'], notes['pad']['value']
        self.fill = notes['task'] == 'segmentation'  # padding would be labelled
        self.flip = notes['order'] == 'rgb'
        self.mean, self.std = (
            np.array(notes[key], np.float32).reshape(-1, 1, 1) for key in ('mean', 'std')
        )

    def fit(self, image: np.ndarray) -> Fitted:
        """The image at the input size of the network.

        Args:
            image: (H, W, 3) uint8, BGR.
        """
        height, width = image.shape[:2]
        if short := self.resize.get('short'):
            return Fitted(self._middle(image, short), (1.0, 1.0), (height, width))
        to_width, to_height = self._target(width, height)
        pixels = cv2.resize(image, (to_width, to_height), interpolation=cv2.INTER_LINEAR)
        if multiple := self.resize.get('multiple'):
            to_width, to_height = (-(-n // multiple) * multiple for n in (to_width, to_height))
            pixels = cv2.resize(pixels, (to_width, to_height), interpolation=cv2.INTER_LINEAR)
        scale = to_width / width, to_height / height
        return Fitted(self._padded(pixels), scale, (height, width))

    def tensor(self, pixels: np.ndarray) -> np.ndarray:
        """A resized image, normalised and padded, (1, 3, H, W) float32."""
        channels = pixels[..., ::-1] if self.flip else pixels
        channels = channels.reshape(*pixels.shape[:2], -1)  # grey has no axis of channels
        normalised = (channels.transpose(2, 0, 1).astype(np.float32) - self.mean) / self.std
        height, width = pixels.shape[:2]
        full = self.shape or [-(-n // self.divisor) * self.divisor for n in (height, width)]
        margins = (0, 0), (0, full[0] - height), (0, full[1] - width)
        return np.pad(normalised, margins, constant_values=self.pad_value)[None]

    def _padded(self, pixels: np.ndarray) -> np.ndarray:
        """An image on a canvas of a fixed size, if the config has one, at its upper left."""
        if not self.resize.get('pad_to'):
            return pixels
        to_width, to_height = self.resize['pad_to']
        height, width = pixels.shape[:2]
        canvas = np.empty((max(to_height, height), max(to_width, width), 3), np.uint8)
        canvas[:] = self.resize['pad_with']
        canvas[:height, :width] = pixels
        return canvas

    def _target(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the first resizing."""
        scale = self.resize['scale']
        if self.shape and (self.fill or not self.resize['keep_ratio']):
            return self.shape[1], self.shape[0]
        if not self.resize['keep_ratio']:
            return scale[0], scale[1]
        if self.shape:
            factor = min(self.shape[1] / width, self.shape[0] / height)
        else:
            factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
        return max(1, int(width * factor + 0.5)), max(1, int(height * factor + 0.5))

    def _middle(self, image: np.ndarray, short: int) -> np.ndarray:
        """The centre crop of an image whose shorter side is resized to ``short``."""
        height, width = image.shape[:2]
        require_resizable((height, width), short)
        least = min(height, width)
        to_width, to_height = int(short * width / least), int(short * height / least)
        across, down = self.resize['middle']
        left, top = (max(0, round((n - m) / 2)) for n, m in ((to_width, across), (to_height, down)))
        window = left, top, min(to_width, left + across), min(to_height, top + down)
        return _bicubic(image, to_width, to_height, window)


def _bicubic(
    image: np.ndarray, width: int, height: int, window: tuple[int, int, int, int]
) -> np.ndarray:
    """The ``window``, left, top, right, bottom, of an image resized by Pillow, as in the test of
    classifiers. OpenCV's bicubic does not widen its filter when downscaling."""
    from PIL import Image  # only classifiers need it

    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop(window))
