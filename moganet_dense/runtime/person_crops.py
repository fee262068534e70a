"""Crops of people for a pose estimator, and the inverse mapping of their keypoints."""

from typing import Any, NamedTuple

import cv2
import numpy as np


class Crop(NamedTuple):
    """The region of a crop.

    Attributes:
        centre: x and y of its centre, in pixels of the image.
        extent: its width and height in pixels of the image.
    """

    centre: np.ndarray
    extent: np.ndarray


class Cutter:
    """Crops boxes at the input size of the network, as mmpose's TopdownAffine does.

    Args:
        notes: metadata ``crop`` of the file: size (width, height), padding, udp.
    """

    def __init__(self, notes: dict[str, Any]) -> None:
        self.size, self.padding, self.udp = tuple(notes['size']), notes['padding'], notes['udp']

    def cut(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Crop]:
        """Pixels (height, width, 3) of a box, x1 y1 x2 y2, and its region."""
        width, height = self.size
        centre = (box[2:] + box[:2]) * np.float32(0.5)
        w, h = (box[2:] - box[:2]) * np.float32(self.padding)
        aspect = width / height
        extent = np.array([w, w / aspect] if w > h * aspect else [h * aspect, h], np.float32)
        matrix = self._matrix(centre, extent)
        return cv2.warpAffine(image, matrix, self.size, flags=cv2.INTER_LINEAR), Crop(
            centre, extent
        )

    def place(self, keypoints: np.ndarray, crop: Crop) -> np.ndarray:
        """Maps keypoints (K, 2) of the crop to pixels of the image."""
        return keypoints / np.array(self.size) * crop.extent + crop.centre - 0.5 * crop.extent

    def _matrix(self, centre: np.ndarray, extent: np.ndarray) -> np.ndarray:
        """(2, 3): from the image to the crop. With UDP the corners of the pixel grids are
        aligned."""
        if self.udp:
            factor = (np.array(self.size) - 1) / extent
            shift = factor * (0.5 * extent - centre)
            return np.array([[factor[0], 0, shift[0]], [0, factor[1], shift[1]]], np.float32)
        width, height = self.size
        left = centre - [extent[0] * 0.5, 0]
        source = np.array([centre, left, left + [0, extent[0] * 0.5]], np.float32)
        middle = [width * 0.5, height * 0.5]
        target = np.array([middle, [0, middle[1]], [0, middle[1] + width * 0.5]], np.float32)
        return cv2.getAffineTransform(source, target)
