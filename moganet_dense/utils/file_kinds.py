"""What a file is, by its first bytes: for messages that name what was found in place of what was
expected, and where its name does not decide."""

import os
from pathlib import Path

from .regular_files import open_regular, require_regular

HEAD = 600
"""Bytes that are read: three packets of an MPEG transport stream."""

_STILL = (b'avif', b'avis', b'heic', b'heix', b'mif1', b'msf1')
"""Brands of ISO media files that are images."""
_IMAGES = (b'\xff\xd8\xff', b'\x89PNG', b'GIF8', b'II*\0', b'MM\0*', b'v/1\x01', b'#?RADIANCE')
_VIDEOS = (b'\x1aE\xdf\xa3', b'\0\0\1\xba', b'\0\0\1\xb3', b'FLV\1', b'OggS', b'0&\xb2u')
"""Matroska and WebM, MPEG, Flash, Ogg, ASF."""
_LEGACY = b'\x80\x02\x8a\nl\xfc\x9cF'  # torch before 1.6: a pickle of a magic number
_ARCHIVE = b'PK\x03\x04'
_OTHERS = {
    **{bytes([0x80, protocol]): 'a pickle file' for protocol in range(2, 6)},
    _ARCHIVE: 'a ZIP archive',
    b'\x1f\x8b': 'a gzip archive',
    b'%PDF': 'a PDF',
    b'\x93NUMPY': 'a NumPy array',
    b'MATLAB': 'a MATLAB file',
    b'\x89HDF': 'an HDF5 file',
}
CHECKPOINT = 'a checkpoint'
EXPORTED = 'an exported file'
IMAGE = 'an image'
VIDEO = 'a video'
EMPTY = 'an empty file'
JSON = 'a JSON file'
UNKNOWN = 'a file of another kind'


def head_of(path: str | os.PathLike) -> bytes:
    """The first bytes of a regular file; b'' of anything else."""
    try:
        with open_regular(path) as file:
            return file.read(HEAD)
    except (OSError, ValueError):
        return b''


def kind_of(path: str | os.PathLike) -> str:
    """What is at a path, with its article: 'a folder', 'an image', 'nothing', ..."""
    try:
        size = require_regular(path).st_size
    except (FileNotFoundError, NotADirectoryError, ValueError):  # NUL in the path
        return 'nothing'
    except OSError as error:
        return (error.strerror or type(error).__name__).removeprefix('it is ')
    return kind_of_content(head_of(path), Path(path).suffix.lower()) if size else EMPTY


def kind_of_content(head: bytes, suffix: str = '') -> str:
    """What a file is, by its first bytes.

    Args:
        head: the first :data:`HEAD` bytes, or all.
        suffix: of its name, in lower case, which tells texts apart.
    """
    if not head:
        return EMPTY
    if has_image_content(head):
        return IMAGE
    if has_video_content(head):
        return VIDEO
    if _is_checkpoint(head):
        return CHECKPOINT
    if head[0] == 8 and head[1:2] < b'\x14' and head[2:3] in (b'\x12', b'\x1a', b'"', b':', b'B'):
        return EXPORTED  # the first fields of ONNX's ModelProto: ir_version, then a message
    for start, kind in _OTHERS.items():
        if head.startswith(start):
            return kind
    return _kind_of_text(head, suffix)


def has_image_content(head: bytes) -> bool:
    """Whether first bytes are those of an image."""
    if head[4:8] == b'ftyp':
        return head[8:12] in _STILL
    if head.startswith(b'BM'):
        return head[6:10] == bytes(4)
    if head[:2] in (b'P5', b'P6'):
        return head[2:3].isspace()
    is_webp = head.startswith(b'RIFF') and head[8:12] == b'WEBP'
    return is_webp or head.startswith(_IMAGES) or head[4:8] in (b'jP  ', b'JXL ')


def has_video_content(head: bytes) -> bool:
    """Whether first bytes are those of a video."""
    if head[4:8] == b'ftyp':  # ISO base media: MP4, MOV, and AVIF and HEIC, which are images
        return head[8:12] not in _STILL
    if head.startswith(_VIDEOS):
        return True
    if head.startswith(b'RIFF'):
        return head[8:12] == b'AVI '
    # MPEG transport stream: packets of 188 bytes
    return head.startswith(b'\x47') and head[188:189] == head[376:377] == b'\x47'


def _is_checkpoint(head: bytes) -> bool:
    """Of torch, as an archive or as pickles, or of safetensors."""
    if head.startswith(_ARCHIVE):
        return b'/data.pkl' in head[:300]
    if head.startswith(_LEGACY):
        return True
    length = int.from_bytes(head[:8], 'little')  # of the header, which is JSON
    return 0 < length < 1 << 27 and head[8:10] in (b'{"', b'{ ', b'{}')


def _kind_of_text(head: bytes, suffix: str) -> str:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else the last character was cut
            return UNKNOWN
        text = head[: error.start].decode()
    if '\0' in text:
        return UNKNOWN
    start = text.lstrip('\ufeff \t\r\n')[:20].lower()
    if start.startswith(('<!doctype html', '<html')):
        return 'an HTML page'
    if start.startswith('<'):
        return 'an XML file'
    if suffix == '.py':
        return 'a Python file'
    return JSON if start.startswith(('{', '[')) else 'a text file'
