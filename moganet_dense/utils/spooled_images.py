"""Decoded images of hundreds of megabytes in a temporary file: the pages of a mapped file can be
given back while the image is in use, those of an array cannot."""

import mmap
import tempfile
from typing import Any

import numpy as np

LARGE = 250_000_000
"""Bytes from which an image is spooled."""
_BLOCK = 1 << 24


def spooled(image: np.ndarray) -> np.ndarray:
    """A large image as a read-only array mapped to a temporary file without a name, in TMPDIR; a
    small one, or one that the disk has no room for, as it is."""
    if image.nbytes < LARGE or _mapping_of(image) is not None:
        return image
    rows = max(1, _BLOCK // max(1, image[0].nbytes))
    try:
        with tempfile.TemporaryFile(prefix='moganet_dense_') as file:
            for top in range(0, len(image), rows):
                file.write(np.ascontiguousarray(image[top : top + rows]).data)
            file.flush()
            return np.memmap(file, image.dtype, 'r', shape=image.shape)
    except OSError:
        return image


def release(image: np.ndarray) -> None:
    """Gives the memory of a spooled image back; its content is read again when it is used."""
    mapping = _mapping_of(image)
    if mapping is not None and hasattr(mmap, 'MADV_DONTNEED'):
        mapping.madvise(mmap.MADV_DONTNEED)


def _mapping_of(image: Any) -> mmap.mmap | None:
    """The mapping that an array is a view of; None: it is in memory."""
    while image is not None and not isinstance(image, mmap.mmap):
        image = getattr(image, 'base', None)
    return image
