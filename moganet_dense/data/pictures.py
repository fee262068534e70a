"""Whether a picture file is whole, and what the toolboxes would read from it.

They decode with OpenCV, which fills the rest of a picture that breaks off with grey and goes on.
Here that is an error. What is accepted, and how it is read, is in docs/reliability.md.
"""

from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError


def read_whole(file: str | Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        UserError: it is missing, empty or breaks off; names it in one line.
    """
    try:
        content = Path(file).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise UserError(f'expected a picture at {file}, found none ({reason})') from None
    if not content:
        raise UserError(f'{file}: expected a picture, found an empty file; copy it again')
    if breaks_off(content):
        raise UserError(f'{file}: the picture breaks off; copy it again or leave it out')
    return content


def breaks_off(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end, which decoders forgive.

    In the data of a JPEG, 0xFF is followed by zero: the end marker after the last start of
    data is a true one.
    """
    if content.startswith(b'\xff\xd8'):
        return content.rfind(b'\xff\xd9') < content.rfind(b'\xff\xda')
    return content.startswith(b'\x89PNG') and b'IEND' not in content[-1024:]


def decode(file: str | Path) -> np.ndarray:
    """A picture as the toolboxes see it: uint8 of (height, width, 3), turned by its EXIF tag.

    Raises:
        UserError: as :func:`read_whole`; or it is no picture that OpenCV reads.
    """
    content = read_whole(file)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than it takes, among others
        reason = ' '.join(str(error.err or error).split())
        raise UserError(f'{file}: the picture cannot be read ({reason})') from None
    if image is None:
        raise UserError(f'{file}: expected a picture that OpenCV reads, found none')
    return image
