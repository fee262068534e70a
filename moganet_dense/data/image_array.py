"""Converts a path, an array or a PIL image to the array that models take."""

import os
from typing import Any

import cv2
import numpy as np

from ..utils.errors import UserError
from .image_io import decode

ORDERS = ('rgb', 'bgr')


def as_bgr(image: Any, order: str | None = None) -> np.ndarray:
    """An image as (H, W, 3) uint8, BGR.

    Args:
        image: path of a file, or a PIL image, both rotated by their EXIF tag; or an array,
            (H, W, 3) uint8 in the given order, or (H, W) uint8, grey.
        order: channel order of an array, 'rgb' or 'bgr'; required for colour arrays.

    Raises:
        UserError: the file cannot be read, the array has another shape or dtype, or the order is
            missing.
    """
    if order not in (None, *ORDERS):
        raise UserError(f"order: expected 'rgb' or 'bgr', found {order!r}")
    if isinstance(image, (str, os.PathLike)):
        return decode(os.fspath(image))
    if isinstance(image, np.ndarray):
        return _from_array(image, order)
    if hasattr(image, 'getexif'):
        return _from_pil(image)
    raise UserError(f'expected a path, a NumPy array or a PIL image, found {type(image).__name__}')


def as_read(image: Any, order: str | None = None, color_type: str = 'color') -> np.ndarray:
    """An image as a loader with that ``color_type`` reads it from a file.

    Args:
        image: see :func:`as_bgr`; for 'unchanged' an array has the channels of the files.
        order: see :func:`as_bgr`.
        color_type: a key of :data:`~moganet_dense.data.image_io.COLOR_TYPES`.

    Raises:
        UserError: as :func:`as_bgr`.
    """
    if isinstance(image, (str, os.PathLike)):
        return decode(os.fspath(image), color_type)
    if color_type == 'unchanged' and isinstance(image, np.ndarray):
        swapped = order == 'rgb' and image.ndim == 3 and image.shape[2] == 3
        return np.ascontiguousarray(image[..., ::-1] if swapped else image)
    if color_type == 'unchanged' and hasattr(image, 'getexif'):
        pixels = np.asarray(image)
        turned = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(pixels.shape[-1]) if pixels.ndim == 3 else None
        return np.ascontiguousarray(pixels[..., turned] if turned else pixels)
    if color_type == 'grayscale' and isinstance(image, np.ndarray) and image.ndim == 2:
        return image
    found = as_bgr(image, order)
    return cv2.cvtColor(found, cv2.COLOR_BGR2GRAY) if color_type == 'grayscale' else found


def visible(image: np.ndarray) -> np.ndarray:
    """An image of any channels and depth as (H, W, 3) uint8, to be drawn on: the first three
    channels, or the first one as grey."""
    shown = image[..., None] if image.ndim == 2 else image
    shown = shown[..., :3] if shown.shape[2] >= 3 else np.repeat(shown[..., :1], 3, axis=2)
    if shown.dtype != np.uint8:
        low, high = float(shown.min()), float(shown.max())
        shown = (shown - low) * (255 / max(high - low, 1e-12))
    return np.ascontiguousarray(shown.astype(np.uint8))


def _from_array(image: np.ndarray, order: str | None) -> np.ndarray:
    fits = image.dtype == np.uint8 and image.size and image.ndim in (2, 3)
    if not fits or (image.ndim == 3 and image.shape[2] != 3):
        raise UserError(
            f'expected an array of (H, W, 3) or (H, W) uint8, found {image.shape} {image.dtype}'
        )
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    if order is None:
        raise UserError("expected the channel order of the array; pass order='rgb' or 'bgr'")
    return np.ascontiguousarray(image[..., ::-1] if order == 'rgb' else image)


def _from_pil(image: Any) -> np.ndarray:
    from PIL import ImageOps  # a PIL image implies that PIL is installed

    if image.mode.startswith(('I', 'F')):
        raise UserError(f'expected an image of 8 bits per channel, found PIL mode {image.mode}')
    try:
        rgb = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    except (OSError, SyntaxError) as error:  # PIL decodes lazily, only here
        raise UserError(f'the PIL image cannot be read ({error})') from None
    return np.ascontiguousarray(rgb[..., ::-1])
