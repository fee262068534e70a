"""Accepted uploads: checked before decoding, and downscaled afterwards."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from ..utils.errors import UserError

FORMATS = ('JPEG', 'PNG', 'WEBP')
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000  # three bytes each, one image at a time
MAX_SCANS = 100  # of a progressive JPEG, each a pass over the image; cameras write 10
_START_OF_SCAN = b'\xff\xda'  # within a scan, 0xFF is followed by zero
MAX_SIDE = 1600  # of the model input: score maps per class and pixel are large


def open_image(content: bytes) -> tuple[np.ndarray, tuple[int, int]]:
    """Decodes the model input from the bytes of a file.

    Returns:
        (H, W, 3) uint8, RGB, rotated by EXIF, downscaled to at most MAX_SIDE along its longer side;
        and the original width and height.

    Raises:
        UserError: it is not one of FORMATS, has more than MAX_PIXELS, MAX_SCANS or 8 bits per
            channel, or is truncated.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                'ignore', Image.DecompressionBombWarning
            )  # our limit is lower than Pillow's
            image = Image.open(io.BytesIO(content), formats=FORMATS)  # reads only the header
    except Image.DecompressionBombError:
        raise UserError(_too_many('far more')) from None
    except Exception:  # Pillow's readers raise many types
        raise UserError('expected a JPEG, PNG or WebP image, found another file') from None
    if image.width * image.height > MAX_PIXELS:
        raise UserError(_too_many(f'{image.width} x {image.height}'))
    if image.mode.startswith(('I', 'F')):
        raise UserError(f'expected 8 bits per channel, found an image of mode {image.mode}')
    if image.format == 'JPEG' and content.count(_START_OF_SCAN) > MAX_SCANS:
        raise UserError(f'expected a JPEG of at most {MAX_SCANS} scans, found more')
    stored = image.size
    try:
        image.draft('RGB', (MAX_SIDE, MAX_SIDE))  # a JPEG is decoded at a half, fourth or eighth
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # onto its side
        image = ImageOps.exif_transpose(image).convert('RGB')
        image.thumbnail((MAX_SIDE, MAX_SIDE))
    except Exception:
        raise UserError('the image is damaged and cannot be read') from None
    return np.asarray(image), stored[::-1] if turned else stored


def _too_many(found: str) -> str:
    return f'expected at most {MAX_PIXELS // 10**6} million pixels, found {found}'
