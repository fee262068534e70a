"""Images as people hold them, path, URL, bytes, array, tensor or PIL, as the array that models
start from."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..utils.errors import UserError
from .image_io import decode, decode_bytes
from .remote import IMAGE_BYTES, fetched, is_url

ORDERS = ('rgb', 'bgr')
KINDS = 'a path, an https:// URL, bytes, a NumPy array, a tensor or a PIL image'


def as_bgr(image: Any, order: str | None = None) -> np.ndarray:
    """An image as (H, W, 3) uint8, BGR.

    Args:
        image: path of a file, or an https:// URL, rotated by its EXIF tag; the bytes of a file,
            or an open one (BytesIO), likewise; a PIL image, likewise; an array, (H, W, 3) or, with
            an alpha channel that is left out, (H, W, 4), uint8 in the given order, or (H, W) or
            (H, W, 1) uint8, grey; a tensor as torchvision has them, (3, H, W) or (1, H, W), uint8
            or float from 0 to 1, RGB unless ``order`` says otherwise.
        order: of an array's channels, 'rgb' or 'bgr'. Required: an array does
            not have it.

    Raises:
        UserError: the file cannot be read, the array has another shape or dtype, or the order is
            missing.
    """
    if order not in (None, *ORDERS):
        raise UserError(f"order: expected 'rgb' or 'bgr', found {order!r}")
    if isinstance(image, (str, os.PathLike)):
        return _from_path(os.fspath(image))
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode_bytes(bytes(image))
    if isinstance(image, np.ndarray):
        return _from_array(image, order)
    if hasattr(image, 'getexif'):
        return _from_pil(image)
    if hasattr(image, 'is_floating_point'):
        return _from_tensor(image, order)
    if (content := _content(image)) is not None:
        return decode_bytes(content)
    raise UserError(f'expected {KINDS}, found {type(image).__name__}')


def _content(image: Any) -> bytes | None:
    """The bytes of an open file from its beginning, as Pillow reads it; None: it is none."""
    if not hasattr(image, 'read'):
        return None
    if hasattr(image, 'seekable') and image.seekable():
        image.seek(0)
    content = image.read()
    return content if isinstance(content, bytes) else None


def _from_path(file: str, color_type: str = 'color') -> np.ndarray:
    if not is_url(file) or Path(file).exists():
        return decode(file, color_type)
    with fetched(file, limit=IMAGE_BYTES) as path:
        try:
            return decode(path, color_type)
        except UserError as error:
            raise UserError(str(error).replace(str(path), file)) from None


def as_read(image: Any, order: str | None = None, color_type: str = 'color') -> np.ndarray:
    """An image as a loader with that ``color_type`` reads it from a file.

    Args:
        image: see :func:`as_bgr`; for 'unchanged' an array has the channels of the files.
        order: see :func:`as_bgr`.
        color_type: a key of :data:`~moganet_dense.data.image_io.COLOR_TYPES`.

    Raises:
        UserError: as :func:`as_bgr`.
    """
    if color_type == 'color':
        return as_bgr(image, order)
    if isinstance(image, (str, os.PathLike)):
        return _from_path(os.fspath(image), color_type)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return decode_bytes(bytes(image), color_type)
    if (content := _content(image)) is not None:
        return decode_bytes(content, color_type)
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
    return np.ascontiguousarray(shown.astype(np.uint8, copy=False))


def _from_array(image: np.ndarray, order: str | None) -> np.ndarray:
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    fits = image.dtype == np.uint8 and image.size and image.ndim in (2, 3)
    if not fits or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise UserError(
            'expected an array of (H, W, 3), (H, W, 4) or (H, W) uint8, found '
            f'{image.shape} {image.dtype}'
        )
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    if order is None:
        raise UserError("expected the channel order of the array; pass order='rgb' or 'bgr'")
    image = image[..., :3]
    return np.ascontiguousarray(image[..., ::-1] if order == 'rgb' else image)


def _from_tensor(image: Any, order: str | None) -> np.ndarray:
    array = image.detach().cpu()
    floating = array.is_floating_point()
    array = (array.float() if floating else array).numpy()
    fits = array.ndim == 3 and array.shape[0] in (1, 3) and array.size
    if not fits or not (floating or array.dtype == np.uint8):
        raise UserError(
            'expected a tensor of (3, H, W) or (1, H, W), uint8 or float from 0 to 1, found '
            f'{array.shape} {image.dtype}; a batch goes as list(batch)'
        )
    if floating:
        if not (array.min() >= 0 and array.max() <= 1):
            raise UserError(
                'expected a tensor of floats from 0 to 1, not normalised, found '
                f'{array.min():.3g} to {array.max():.3g}'
            )
        array = (array * 255).round().astype(np.uint8)
    array = array.transpose(1, 2, 0)
    return _from_array(array[..., 0] if array.shape[2] == 1 else array, order or 'rgb')


def _from_pil(image: Any) -> np.ndarray:
    from PIL import ImageOps  # a PIL image implies that PIL is installed

    if image.mode.startswith(('I', 'F')):
        raise UserError(f'expected an image of 8 bits per channel, found PIL mode {image.mode}')
    try:
        rgb = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    except (OSError, SyntaxError) as error:  # PIL decodes lazily, only here
        raise UserError(f'the PIL image cannot be read ({error})') from None
    return np.ascontiguousarray(rgb[..., ::-1])
