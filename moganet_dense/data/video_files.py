"""Detects videos by their content, and opens videos, cameras and streams."""

import os
from pathlib import Path

import cv2

from ..utils.errors import UserError
from ..utils.regular_files import open_regular
from .remote import TIMEOUT, check

VIDEOS = {'.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg'}
"""Suffixes of the videos read from a folder; a file passed by name may have any."""

_STILL = (b'avif', b'avis', b'heic', b'heix', b'mif1', b'msf1')
"""Brands of ISO media files that are images."""
_IMAGES = (b'\xff\xd8\xff', b'\x89PNG', b'BM', b'II*\0', b'MM\0*', b'P5', b'P6')


def is_video(file: str | Path) -> bool:
    """Whether a file is a video: by its first bytes, else by its ending."""
    try:
        with open_regular(file) as stream:
            head = stream.read(600)
    except (OSError, ValueError):
        head = b''
    if head[4:8] == b'ftyp':  # ISO base media: MP4, MOV, and AVIF and HEIC, which are images
        return head[8:12] not in _STILL
    if head.startswith((b'\x1a\x45\xdf\xa3', b'\0\0\1\xba', b'\0\0\1\xb3', b'FLV\1', b'OggS',
                        b'\x30\x26\xb2\x75')):  # fmt: skip
        return True  # Matroska and WebM, MPEG, Flash, Ogg, ASF
    if head.startswith(b'RIFF'):
        return head[8:12] == b'AVI '
    if head.startswith(b'\x47') and head[188:189] == head[376:377] == b'\x47':
        return True  # MPEG transport stream: packets of 188 bytes
    return Path(file).suffix.lower() in VIDEOS and not head.startswith(_IMAGES)


def open_file(file: str) -> cv2.VideoCapture:
    """The reader of a video. It is empty for a name that is not UTF-8, on which OpenCV crashes, and
    for anything but a regular file: a FIFO would block."""
    named = file.encode(errors='replace').decode() == file
    return cv2.VideoCapture(file) if named and os.path.isfile(file) else cv2.VideoCapture()


def open_stream(text: str, allow_private: bool) -> cv2.VideoCapture:
    """The reader of a camera, by its number, or of a stream, by its URL.

    Raises:
        UserError: it is refused, see :func:`~moganet_dense.data.remote.check`, or cannot be
            opened.
    """
    if not text.isdecimal():
        check(text, allow_private)
    log = getattr(cv2.utils, 'logging', cv2)  # OpenCV 5, and 4
    before = log.getLogLevel()
    log.setLogLevel(0)  # OpenCV prints why it fails in several lines, for every backend
    try:
        if text.isdecimal():
            capture, what = cv2.VideoCapture(int(text)), f'camera {text}'
        else:
            wait = int(1000 * TIMEOUT)
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, wait, cv2.CAP_PROP_READ_TIMEOUT_MSEC, wait]
            capture, what = cv2.VideoCapture(text, cv2.CAP_FFMPEG, limits), text
    finally:
        log.setLogLevel(before)
    if not capture.isOpened():
        raise UserError(f'{what} cannot be opened; is it connected, and not in use?')
    return capture
