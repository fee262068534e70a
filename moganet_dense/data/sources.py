"""What people point a model at, as images one after another: files, folders, globs, videos, URLs,
streams and cameras."""

import contextlib
import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from ..utils.errors import UserError
from . import remote
from .image_io import decode
from .video_files import VIDEOS, is_video, open_file, open_stream

IMAGE_SUFFIXES = {
    '.jpg', '.jpeg', '.png', '.bmp', '.webp', '.avif', '.tif', '.tiff', '.ppm', '.pgm',
}  # fmt: skip
"""Suffixes of the images that are read from a folder; a named file may have any suffix."""
UNREAD_IMAGES = {
    '.gif', '.heic', '.heif', '.jp2', '.jxl', '.jfif', '.dng', '.exr', '.dcm', '.svg',
}  # fmt: skip
"""Suffixes of other images, which are left out of a folder."""
PRODUCTS = ('drawn', 'labels', 'palette', 'panoptic')
"""Folders of images among the results."""


@dataclass(frozen=True)
class Source:
    """A file, a URL, or a camera.

    Attributes:
        file: its path, as given or found; a URL; the number of a camera.
        name: what its results are called: its path below the folder that was given, without
            its ending, and with a number if another has the same.
        folder: that it was found in, if one was given; of several folders the one around them.
        allow_private: whether it may be at an address of a private network.
    """

    file: str
    name: str
    folder: str | None = None
    allow_private: bool = False

    @property
    def is_remote(self) -> bool:
        """Whether it is a URL or a camera."""
        return self.is_stream or remote.is_url(self.file)

    @property
    def is_stream(self) -> bool:
        """Whether it is a camera, or a stream that has no end of its own."""
        return remote.is_stream(self.file) and not os.path.exists(self.file)

    @property
    def is_video(self) -> bool:
        """Whether it is a video file, by its content."""
        return not self.is_remote and is_video(self.file)

    @property
    def relative(self) -> str:
        """Its path below ``folder``, if it was found in one; else as it was given."""
        if self.folder is None:
            return self.file
        return Path(os.path.relpath(self.file, self.folder)).as_posix()

    def __len__(self) -> int:
        """Images in it, by its header."""
        if not self.is_video:
            return 1
        return max(1, int(open_file(self.file).get(cv2.CAP_PROP_FRAME_COUNT)))


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

    @property
    def file_name(self) -> str:
        """What it is called among results: the file below the folder that was given; of a video
        ``NAME.frames/NUMBER.jpg``, from 0."""
        if self.index is None:
            return self.source.relative
        return f'{self.source.name}.frames/{self.index:06d}.jpg'


@dataclass(frozen=True)
class Fault:
    """A source that cannot be read, and the reason: one line that names it."""

    source: Source
    reason: str


def find(
    inputs: Sequence[str], results: Path | None = None, allow_private: bool = False
) -> list[Source]:
    """The files of the inputs, in their order, each once; those of a folder, and of the folders
    in it, sorted by name.

    Args:
        inputs: files, folders, globs, URLs, and numbers of cameras. A missing file is listed, too;
            reading it reports the error.
        results: output folder: results in it are left out, unless they are named.
        allow_private: whether URLs may lead to private networks, and be http.

    Raises:
        UserError: an input is empty, or contains NUL.
    """
    found: dict[str, tuple[str, str, str | None]] = {}  # by absolute path: file, name, folder
    for given in inputs:
        if not given or '\0' in given:
            what = 'a NUL character (from find -print0?)' if given else 'an empty text'
            raise UserError(f'expected a file, folder or glob, found {what}')
        if not os.path.exists(given) and (remote.is_url(given) or given.isdecimal()):
            found.setdefault(given, (given, _remote_name(given), None))
            continue
        for file, name, folder in _meant_by(given, _products(results)):
            found.setdefault(os.path.abspath(file), (file, name, folder))
    around, names = _around({row[2] for row in found.values()} - {None}), set()
    return [
        Source(file, _unique(name, names), folder and around, allow_private)
        for file, name, folder in found.values()
    ]


def _around(folders: set[str]) -> str | None:
    """The folder around all folders that were given."""
    if len(folders) < 2:
        return next(iter(folders), None)
    return os.path.commonpath([os.path.abspath(folder) for folder in folders])


def _remote_name(text: str) -> str:
    if text.isdecimal():
        return f'camera_{text}'
    path = re.split('[?#]', text.partition('://')[2])[0].rstrip('/')
    stem = os.path.splitext(path.rpartition('/')[2])[0] if '/' in path else path
    return re.sub(r'[^\w.-]', '_', stem)[-100:].lstrip('.') or 'url'


def endings(inputs: Sequence[str]) -> str:
    """The suffixes of the files in folders without images, for the message."""
    files = (path for given in inputs for path in Path(given).rglob('*') if path.is_file())
    found = sorted({path.suffix or 'none' for path in islice(files, 10_000)})
    return ', '.join(found)


def unread_images(inputs: Sequence[str]) -> Counter[str]:
    """The number of images in folders that are not read, by their suffix."""
    folders = (Path(given) for given in inputs if os.path.isdir(given))
    found = (path.suffix.lower() for folder in folders for path in folder.rglob('*'))
    return Counter(suffix for suffix in found if suffix in UNREAD_IMAGES)


def further_images(file: str) -> int:
    """The images of a file after its first, which is what is read: frames of an animated GIF, WebP
    or PNG, pages of a TIFF."""
    with contextlib.suppress(Exception):
        from PIL import Image

        with Image.open(file) as image:
            return getattr(image, 'n_frames', 1) - 1
    return 0


def _meant_by(given: str, products: list[Path]) -> Iterator[tuple[str, str, str | None]]:
    """Files, what their results are called, and the folder that was given."""
    named = os.path.exists(given)
    matches = [] if named else sorted(glob.glob(given, recursive=True))
    fixed = None if named or not matches else _fixed_part(given)
    for path in map(Path, matches or [given]):
        if path.is_dir():
            for file in _within(path, products):
                name = file.relative_to(path).with_suffix('').as_posix()
                yield str(file), name, fixed or str(path)
        elif named or not _is_among(path, products):
            yield str(path), path.stem, fixed


def _fixed_part(pattern: str) -> str:
    """The folder of a glob, before its first placeholder."""
    parts = Path(pattern).parts
    count = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return str(Path(*parts[:count])) if count else '.'


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


def frames(sources: Sequence[Source], color_type: str = 'color') -> Iterator[Frame | Fault]:
    """The images of all sources; a fault in place of a source that cannot be read."""
    for source in sources:
        try:
            yield from _frames_of(source, color_type)
        except UserError as error:
            yield Fault(source, str(error))


def _frames_of(source: Source, color_type: str) -> Iterator[Frame]:
    if source.is_stream:
        capture = open_stream(source.file, source.allow_private)
        yield from _read(source, capture)
        return
    if not source.is_remote:
        yield from _of_file(source, source.file, color_type)
        return
    with remote.fetched(source.file, source.allow_private) as path, _named(source, path):
        yield from _of_file(source, str(path), color_type)


@contextlib.contextmanager
def _named(source: Source, path: Path) -> Iterator[None]:
    """Names the URL in errors that name the temporary file."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(str(path), source.file)) from None


def _of_file(source: Source, file: str, color_type: str) -> Iterator[Frame]:
    if not is_video(file):
        yield Frame(source, decode(file, color_type))
        return
    if not os.path.isfile(file):
        raise UserError(f'expected a video at {file}, found none')
    capture, count = open_file(file), 0
    for frame in _read(source, capture):
        count += 1
        yield frame
    if count == 0:
        raise UserError(f'{file}: expected a video that OpenCV reads, found none')
    stated = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if count < 0.9 * stated - 2:  # headers may be estimates
        raise UserError(
            f'{file}: the video is truncated after {count} of {stated:.0f} frames; copy it again'
        )


def _read(source: Source, capture: cv2.VideoCapture) -> Iterator[Frame]:
    rate, index = capture.get(cv2.CAP_PROP_FPS), 0
    fps = rate if 0.1 <= rate <= 1000 else 25.0  # headers without a rate have other values
    while True:
        whole, image = capture.read()
        if not whole:
            return
        yield Frame(source, image, index, fps)
        index += 1
