"""Whether a picture file is whole, and what the toolboxes would read from it.

They decode with OpenCV, which fills the rest of a picture that breaks off with grey and goes on.
Here that is an error. What is accepted, and how it is read, is in docs/reliability.md.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import UserError

_LOADERS = {'LoadImageFromFile', 'LoadImage', 'LoadAnnotations'}


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


class LoadWhole:
    """A toolbox's transform that loads a picture or label map, and names the file it fails on.

    A picture that breaks off is an error, see :func:`read_whole`.
    """

    def __init__(self, load: Callable[[dict], dict | None]) -> None:
        self.load = load

    def __call__(self, results: dict) -> dict | None:
        """As the transform.

        Raises:
            UserError: the file cannot be read.
        """
        key = 'seg_map_path' if 'LoadAnnotations' in type(self.load).__name__ else 'img_path'
        file = results.get(key)
        if not file or '://' in str(file):
            return self.load(results)
        read_whole(file)
        try:
            return self.load(results)
        except Exception as error:
            reason = ' '.join(str(error).split())[:200] or type(error).__name__
            raise UserError(f'{file}: the picture cannot be read ({reason})') from error

    def __repr__(self) -> str:
        return repr(self.load)


def load_whole(dataset: Any) -> None:
    """Puts :class:`LoadWhole` around what loads files in a data set, wrappers included."""
    for inner in [*getattr(dataset, 'datasets', []), getattr(dataset, 'dataset', None)]:
        if inner is not None:
            load_whole(inner)
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    for i, step in enumerate(steps):
        if type(step).__name__ in _LOADERS:
            steps[i] = LoadWhole(step)
