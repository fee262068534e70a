"""What people point a model at, as images one after another: files, folders, globs, videos."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from ..utils.errors import UserError
from .image_io import decode

IMAGE_SUFFIXES = {
    '.jpg', '.jpeg', '.png', '.bmp', '.webp', '.avif', '.tif', '.tiff', '.ppm', '.pgm',
}  # fmt: skip
VIDEOS = {'.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg'}
"""Endings of what is taken from a folder; a file that is named may have any."""
PRODUCTS = ('drawn', 'labels', 'palette')
"""Folders of images among results."""


@dataclass(frozen=True)
class Source:
    """A file to look at.

    Attributes:
        file: its path, as given or found.
        name: what its results are called: its path below the folder that was given, without
            its ending, and with a number if another has the same.
    """

    file: str
    name: str

    @property
    def is_video(self) -> bool:
        return Path(self.file).suffix.lower() in VIDEOS

    def __len__(self) -> int:
        """Images in it, as far as its header tells."""
        return (
            max(1, int(_capture(self.file).get(cv2.CAP_PROP_FRAME_COUNT))) if self.is_video else 1
        )


@dataclass(frozen=True, eq=False)
class Frame:
    """An image out of a source.

    Attributes:
        source: where it is from.
        image: (H, W, 3) uint8, BGR.
        index: its place in a video, from 0; None: it is no video.
        fps: frames a second of the video.
    """

    source: Source
    image: np.ndarray
    index: int | None = None
    fps: float = 0.0


@dataclass(frozen=True)
class Fault:
    """A source that cannot be read, and why: one line that names it."""

    source: Source
    reason: str


def find(inputs: Sequence[str], results: Path | None = None) -> list[Source]:
    """The files that inputs stand for, in their order, each once; those of a folder, and of the
    folders in it, by name.

    Args:
        inputs: files, folders and globs. A file that is not there is listed, too: reading it
            tells.
        results: folder that results go to: images in it that are results are left out, unless
            they are named.

    Raises:
        UserError: an input is empty, or holds NUL.
    """
    found: dict[str, tuple[str, str]] = {}  # by absolute path: file and name
    for given in inputs:
        if not given or '\0' in given:
            what = 'NUL in it (of find -print0?)' if given else 'an empty text'
            raise UserError(f'expected a file, folder or glob to look at, found {what}')
        for file, name in _meant_by(given, _products(results)):
            found.setdefault(os.path.abspath(file), (file, name))
    names: set[str] = set()
    return [Source(file, _unique(name, names)) for file, name in found.values()]


def endings(inputs: Sequence[str]) -> str:
    """The endings of what lies in folders, for who looked there for images in vain."""
    files = (path for given in inputs for path in Path(given).rglob('*') if path.is_file())
    found = sorted({path.suffix or 'none' for path in islice(files, 10_000)})
    return ', '.join(found)


def _meant_by(given: str, products: list[Path]) -> Iterator[tuple[str, str]]:
    """Files, and what their results are called."""
    named = os.path.exists(given)
    matches = [] if named else sorted(glob.glob(given, recursive=True))
    for path in map(Path, matches or [given]):
        if path.is_dir():
            for file in _within(path, products):
                yield str(file), file.relative_to(path).with_suffix('').as_posix()
        elif named or not _is_among(path, products):
            yield str(path), path.stem


def _products(results: Path | None) -> list[Path]:
    """Where drawings and label maps go, see :class:`~moganet_dense.writer.Writer`."""
    return [results.resolve() / name for name in PRODUCTS] if results else []


def _is_among(path: Path, folders: list[Path]) -> bool:
    return bool(folders) and not set(folders).isdisjoint(path.resolve().parents)


def _within(folder: Path, products: list[Path]) -> Iterator[Path]:
    for path in sorted(folder.rglob('*')):
        hidden = any(part.startswith('.') for part in path.relative_to(folder).parts)
        wanted = path.suffix.lower() in IMAGE_SUFFIXES | VIDEOS and not hidden
        if wanted and path.is_file() and not _is_among(path, products):
            yield path


def _unique(name: str, taken: set[str]) -> str:
    number, wanted = 2, name
    while name in taken:
        name, number = f'{wanted}_{number}', number + 1
    taken.add(name)
    return name


def frames(sources: Sequence[Source]) -> Iterator[Frame | Fault]:
    """The images of all sources; a fault in place of a source that cannot be read."""
    for source in sources:
        try:
            if source.is_video:
                yield from _video(source)
            else:
                yield Frame(source, decode(source.file))
        except UserError as error:
            yield Fault(source, str(error))


def _video(source: Source) -> Iterator[Frame]:
    if not os.path.isfile(source.file):
        raise UserError(f'expected a video at {source.file}, found none')
    capture = _capture(source.file)
    told, index = capture.get(cv2.CAP_PROP_FPS), 0
    fps = told if 0.1 <= told <= 1000 else 25.0  # headers without one hold others
    while True:
        whole, image = capture.read()
        if not whole:
            break
        yield Frame(source, image, index, fps)
        index += 1
    if index == 0:
        raise UserError(f'{source.file}: expected a video that OpenCV reads, found none')
    told = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if index < 0.9 * told - 2:  # headers may estimate it
        raise UserError(
            f'{source.file}: the video breaks off after {index} of {told:.0f} images; copy it again'
        )


def _capture(file: str) -> cv2.VideoCapture:
    """What reads a video. Of a name that is not UTF-8 it reads nothing: OpenCV would crash; nor of
    what is no file: it would wait for a FIFO."""
    named = file.encode(errors='replace').decode() == file
    return cv2.VideoCapture(file) if named and os.path.isfile(file) else cv2.VideoCapture()
