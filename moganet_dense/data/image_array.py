"""Converts a path, an array or a PIL image to the array that models take."""

import os
from typing import Any

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
