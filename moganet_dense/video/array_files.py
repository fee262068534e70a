"""Reads arrays of numbers from files of video data sets, without code and within their own size.

The header of an array, or of a compressed file, may declare any size. It is compared with the size
of the file before memory is allocated.
"""

import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..utils.errors import UserError, reason_of
from ..utils.regular_files import megabytes, open_regular, read_regular, require_memory

RATIO = 100
"""Maximum ratio of the unpacked size to the size of the file; digits have 5, traffic 15."""
SLACK = 1 << 24
"""Bytes that a file may unpack to in any case."""
LARGEST_GZIP = 1 << 28


def read_idx_images(path: Path) -> np.ndarray:
    """Images (N, H, W), uint8, of a gzipped file in MNIST's format.

    Format: http://yann.lecun.com/exdb/mnist/: magic number 2051, N, H, W as big-endian int32, then
    the pixels.

    Raises:
        UserError: the file is missing, or of another format or length.
    """
    expected = f'{path}: expected a gzipped file of images in MNIST format'
    try:
        content = read_regular(present(path), LARGEST_GZIP)
        unpacking = zlib.decompressobj(31)  # gzip alone
        shape = _idx_shape(unpacking.decompress(content, 16))
        if shape is None:
            raise UserError(expected)
        size = math.prod(shape)
        _require_ratio(path, size, len(content))
        pixels = unpacking.decompress(unpacking.unconsumed_tail, size + 1)
    except (OSError, zlib.error) as error:
        raise UserError(f'{expected} ({_cause(error)})') from None
    if len(pixels) != size or not unpacking.eof or unpacking.unused_data:
        raise UserError(f'{path}: expected {size} pixels, found another number; download it again')
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def _idx_shape(header: bytes) -> tuple[int, int, int] | None:
    if len(header) < 16:
        return None
    magic, *shape = struct.unpack('>4i', header)
    return tuple(shape) if magic == 2051 and min(shape) > 0 else None


def map_array(path: Path) -> np.ndarray:
    """An array that np.save wrote, read from the file as it is needed.

    Raises:
        UserError: the file is missing, or not such an array.
    """
    try:
        with open_regular(present(path)) as file:
            _header(file)  # np.load reads archives and pickles, too
        return np.load(path, mmap_mode='r', allow_pickle=False)
    except Exception as error:  # of malformed headers: NumPy raises many kinds
        raise UserError(
            f'{path}: expected an array of numbers written by np.save ({_cause(error)})'
        ) from None


def read_arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of an archive that np.savez or np.savez_compressed wrote.

    Raises:
        UserError: the file is missing, is no such archive, or lacks an array of this name.
    """
    try:
        with open_regular(present(path)) as file, zipfile.ZipFile(file) as archive:
            size = path.stat().st_size
            return [_member(path, archive, f'{name}.npy', size) for name in names]
    except UserError:
        raise
    except Exception as error:  # of malformed archives: zipfile and NumPy raise many kinds
        raise UserError(
            f'{path}: expected arrays {" and ".join(names)} written by np.savez ({_cause(error)})'
        ) from None


def _member(path: Path, archive: zipfile.ZipFile, name: str, size: int) -> np.ndarray:
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError('another compression, which is unpacked without a limit')
    with archive.open(name) as member:
        shape, dtype, by_column = _header(member)
        count = math.prod(shape)
        _require_ratio(path, count * dtype.itemsize, size)
        require_memory(path, count * dtype.itemsize)
        content = member.read(count * dtype.itemsize)
        if len(content) < count * dtype.itemsize or member.read(1):
            raise ValueError(f'{name} has another number of bytes than it declares')
    return np.frombuffer(content, dtype).reshape(shape, order='F' if by_column else 'C')


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, type and order of an array, from its header.

    Raises:
        ValueError: there is no header, or the values are not numbers.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f'version {version} of the format')
    readers = (np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0)
    shape, by_column, dtype = readers[version[0] - 1](file)
    if dtype.kind not in 'buif':
        raise ValueError(f'values of type {dtype}')
    if any(side < 0 for side in shape):
        raise ValueError(f'the shape {shape}')
    return shape, dtype, by_column


def _require_ratio(path: Path, unpacked: int, size: int) -> None:
    if unpacked > max(SLACK, RATIO * size):
        raise UserError(
            f'{path} is refused: it declares {megabytes(unpacked)} in a file of {megabytes(size)}; '
            'download it again'
        )


def _cause(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or reason_of(error)


def present(path: Path) -> Path:
    """The same path, which exists.

    Raises:
        UserError: it does not exist.
    """
    if not path.exists():
        raise UserError(
            f'data not found: {path}; docs/video.md has the download. '
            'The configs of Moving MNIST also run on drawn data: add --mini'
        )
    return path
