"""Detects videos by their content, and opens videos, cameras and streams."""

import os
from pathlib import Path

import cv2

from ..utils.errors import UserError
from ..utils.file_kinds import has_image_content, has_video_content, head_of
from .remote import TIMEOUT, check

VIDEOS = {'.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg'}
"""Suffixes of the videos read from a folder; a file passed by name may have any."""


def is_video(file: str | Path) -> bool:
    """Whether a file is a video: by its first bytes, else by its ending."""
    head = head_of(file)
    if has_video_content(head):
        return True
    return Path(file).suffix.lower() in VIDEOS and not has_image_content(head)


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
