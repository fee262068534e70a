"""Inputs of ``predict`` as a stream of images: files, folders, globs and videos."""

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
"""Suffixes of the images read from a folder; a file passed by name may have any."""
PRODUCTS = ('drawn', 'labels', 'palette')
"""Folders of images among the results."""


@dataclass(frozen=True)
class Source:
    """An input file.

    Attributes:
        file: its path, as given or found.
        name: name of its results: its path relative to the given folder, without suffix, and
            with a number if it is not unique.
    """

    file: str
    name: str

    @property
    def is_video(self) -> bool:
        return Path(self.file).suffix.lower() in VIDEOS

    def __len__(self) -> int:
        """Number of images in it, according to its header."""
        return (
            max(1, int(_capture(self.file).get(cv2.CAP_PROP_FRAME_COUNT))) if self.is_video else 1
        )


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a source.

    Attributes:
        source: its source.
        image: (H, W, 3) uint8, BGR.
        index: its index in a video, from 0; None: not a video.
        fps: frames per second of the video.
    """

    source: Source
    image: np.ndarray
    index: int | None = None
    fps: float = 0.0


@dataclass(frozen=True)
class Fault:
    """A source that cannot be read, and the reason: one line that names it."""

    source: Source
    reason: str


def find(inputs: Sequence[str], results: Path | None = None) -> list[Source]:
    """The files of the inputs, in order, each once; files of a folder and its subfolders sorted by
    name.

    Args:
        inputs: files, folders and globs. A missing file is listed, too; reading it
            fails.
        results: folder that results go to: results in it are skipped, unless they are
            passed by name.

    Raises:
        UserError: an input is empty, or contains NUL.
    """
    found: dict[str, tuple[str, str]] = {}  # by absolute path: file and name
    for given in inputs:
        if not given or '\0' in given:
            what = 'a NUL character (from find -print0?)' if given else 'an empty text'
            raise UserError(f'expected a file, folder or glob, found {what}')
        for file, name in _meant_by(given, _products(results)):
            found.setdefault(os.path.abspath(file), (file, name))
    names: set[str] = set()
    return [Source(file, _unique(name, names)) for file, name in found.values()]


def endings(inputs: Sequence[str]) -> str:
    """The suffixes of the files in folders without images, for the message."""
    files = (path for given in inputs for path in Path(given).rglob('*') if path.is_file())
    found = sorted({path.suffix or 'none' for path in islice(files, 10_000)})
    return ', '.join(found)


def _meant_by(given: str, products: list[Path]) -> Iterator[tuple[str, str]]:
    """Files, and the names of their results."""
    named = os.path.exists(given)
    matches = [] if named else sorted(glob.glob(given, recursive=True))
    for path in map(Path, matches or [given]):
        if path.is_dir():
            for file in _within(path, products):
                yield str(file), file.relative_to(path).with_suffix('').as_posix()
        elif named or not _is_among(path, products):
            yield str(path), path.stem


def _products(results: Path | None) -> list[Path]:
    """Folders of drawings and label maps, see :class:`~moganet_dense.writer.Writer`."""
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
    rate, index = capture.get(cv2.CAP_PROP_FPS), 0
    fps = rate if 0.1 <= rate <= 1000 else 25.0  # headers without a rate have other values
    while True:
        done, image = capture.read()
        if not done:
            break
        yield Frame(source, image, index, fps)
        index += 1
    if index == 0:
        raise UserError(f'{source.file}: expected a video that OpenCV reads, found none')
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if index < 0.9 * count - 2:  # headers may be estimates
        raise UserError(
            f'{source.file}: the video is truncated after {index} of {count:.0f} frames; '
            'copy it again'
        )


def _capture(file: str) -> cv2.VideoCapture:
    """The reader of a video. It is empty for a name that is not UTF-8, on which OpenCV crashes, and
    for anything but a regular file: a FIFO would block."""
    named = file.encode(errors='replace').decode() == file
    return cv2.VideoCapture(file) if named and os.path.isfile(file) else cv2.VideoCapture()
