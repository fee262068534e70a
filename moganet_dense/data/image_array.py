"""Images as people hold them, path, array or PIL, as the array that models start from."""

import os
from typing import Any

import numpy as np

from ..utils.errors import UserError
from .image_io import decode

ORDERS = ('rgb', 'bgr')


def as_bgr(image: Any, order: str | None = None) -> np.ndarray:
    """An image as (H, W, 3) uint8, BGR.

    Args:
        image: path of a file, turned as its EXIF tag says; a PIL image, likewise; an array,
            (H, W, 3) uint8 in the given order, or (H, W) uint8, grey.
        order: of an array's channels, 'rgb' or 'bgr'. It has to be said: which it is, the
            array does not tell.

    Raises:
        UserError: the file cannot be read, the array is another one, or its order was not said.
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
        raise UserError("an array does not tell its channels' order; say order='rgb' or 'bgr'")
    return np.ascontiguousarray(image[..., ::-1] if order == 'rgb' else image)


def _from_pil(image: Any) -> np.ndarray:
    from PIL import ImageOps  # whoever has a PIL image has PIL

    if image.mode.startswith(('I', 'F')):
        raise UserError(f'expected an image of 8 bits a channel, found PIL mode {image.mode}')
    try:
        rgb = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    except (OSError, SyntaxError) as error:  # PIL reads a file's pixels only now
        raise UserError(f'the PIL image cannot be read ({error})') from None
    return np.ascontiguousarray(rgb[..., ::-1])
