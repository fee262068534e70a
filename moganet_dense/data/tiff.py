"""TIFF images of more than four channels, which neither OpenCV nor Pillow reads; tifffile does, as
mmcv's loader with ``imdecode_backend='tifffile'``."""

import logging
import math
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..utils.errors import UserError, reason_of
from ..utils.regular_files import open_regular

_MAGIC = (b'II*\x00', b'MM\x00*', b'II+\x00', b'MM\x00+')
MOST = 4
"""Channels that OpenCV reads."""

LARGEST = 2**30
"""Numbers of an image, as OpenCV's limit of pixels."""

_SEPARATE = 2


def is_tiff(content: bytes) -> bool:
    """Whether a file starts as TIFF or BigTIFF."""
    return content.startswith(_MAGIC)


def has_many_channels(content: bytes) -> bool:
    """Whether it is a TIFF of more than four channels; False if tifffile cannot read it."""
    if not is_tiff(content):
        return False
    try:
        with _opened(BytesIO(content), 'TIFF') as tiff:
            return tiff.pages[0].samplesperpixel > MOST
    except Exception:  # tifffile raises many kinds; OpenCV then reports what it is
        return False


def read_tiff(content: bytes, name: str) -> np.ndarray:
    """The first image, (height, width, channels) in the depth of the file.

    Raises:
        UserError: tifffile is missing or cannot read it, or its channels are stored one by one.
    """
    with _opened(BytesIO(content), name) as tiff:
        numbers = math.prod(tiff.pages[0].shape)
        if numbers > LARGEST:
            raise UserError(
                f'{name}: expected up to {LARGEST} numbers in an image, found {numbers}; cut it '
                'into parts'
            )
        if tiff.pages[0].planarconfig == _SEPARATE:
            raise UserError(
                f'{name}: expected the channels of a pixel side by side, found one channel after '
                "the other; write the file with planarconfig='contig'"
            )
        try:
            return tiff.pages[0].asarray()
        except Exception as error:  # tifffile raises many kinds
            reason = reason_of(error)
            raise UserError(f'{name}: the image cannot be read ({reason})') from None


def tiff_size(file: Path) -> tuple[int, int] | None:
    """Width and height, from the header; None: it is no TIFF.

    Raises:
        UserError: as :func:`read_tiff`.
    """
    try:
        with open_regular(file) as stream:
            if not is_tiff(stream.read(4)):
                return None
            stream.seek(0)
            with _opened(stream, str(file)) as tiff:
                return tiff.pages[0].imagewidth, tiff.pages[0].imagelength
    except UserError:
        raise
    except Exception:  # tifffile raises many kinds
        return None


def _opened(stream: BinaryIO, name: str) -> Any:
    logging.getLogger('tifffile').setLevel(logging.CRITICAL)  # what it logs is raised, too
    try:
        from tifffile import TiffFile
    except ImportError:
        raise UserError(
            f'{name}: images of more than four channels need tifffile; pip install tifffile'
        ) from None
    try:
        return TiffFile(stream)
    except Exception as error:  # tifffile raises many kinds
        raise UserError(f'{name}: the image cannot be read ({reason_of(error)})') from None
