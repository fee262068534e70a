"""Reads images and annotations as the toolboxes do, and rejects truncated or malformed ones.

The toolboxes decode with OpenCV, which silently fills the missing part of a truncated image with
grey. Here that is an error, as is a label map that does not match its image or its classes.
docs/reliability.md lists the accepted files and how each is read.
"""

import contextlib
import math
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..utils.errors import UserError, reason_of
from ..utils.file_kinds import HEAD, IMAGE, UNKNOWN, kind_of_content
from ..utils.regular_files import read_regular
from .annotations import is_far, mask
from .tiff import has_many_channels, is_tiff, read_tiff

IGNORED = 255
"""The label of pixels without a class."""

_MARKER = re.compile(rb'\xff([\x02-\xcf\xd9-\xfe])')
"""A marker of a JPEG; not one inside of a scan (zero, restart), fill, nor another start."""
LARGEST_RESIZED = 2**28
"""Pixels of an image after resizing: 0.8 GB."""
LARGE_FILE = 4_000_000
"""Bytes from which a JPEG or a PNG is decoded by its path: see ``_decoded_in_place``."""
IN_PLACE = b'\xff\xd8', b'\x89PNG'
_LOADERS = {'LoadImageFromFile', 'LoadImage', 'LoadAnnotations'}


def read_whole(file: str | Path) -> bytes:
    """The bytes of an image file.

    Raises:
        UserError: it is missing, empty or truncated; one line with its path.
    """
    try:
        content = read_regular(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise UserError(f'expected an image at {file}, found none ({reason})') from None
    _require_whole(content, str(file), 'copy it again or leave it out')
    return content


def _require_whole(content: bytes, name: str, advice: str) -> None:
    if not content:
        raise UserError(f'{name}: expected an image, found an empty file; {advice}')
    if is_truncated(content):
        raise UserError(f'{name}: the image is truncated; {advice}')


def is_truncated(content: bytes) -> bool:
    """Whether the end of a JPEG or PNG is missing, which decoders ignore.

    Data after the end of a JPEG, such as the video of a motion photo, is ignored.
    """
    if content.startswith(b'\xff\xd8'):
        return not _has_jpeg_end(content)
    return content.startswith(b'\x89PNG') and b'IEND' not in content[-1024:]


def _has_jpeg_end(content: bytes) -> bool:
    """Walks from marker to marker (ITU-T T.81, annex B): over segments, which state their length,
    and through the data that follow a start of scan, in which 0xFF is followed by zero."""
    at = 2
    while found := _MARKER.search(content, at):
        if found[1] == b'\xd9':
            return True
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2], 'big')
    return False


COLOR_TYPES = {
    'color': cv2.IMREAD_COLOR,
    'grayscale': cv2.IMREAD_GRAYSCALE,
    'unchanged': cv2.IMREAD_UNCHANGED,
}
"""``color_type`` of the toolboxes' loaders, as OpenCV reads it."""


def decode(file: str | Path, color_type: str = 'color') -> np.ndarray:
    """An image as the toolboxes see it.

    Args:
        file: its path.
        color_type: 'color': (height, width, 3) uint8, BGR, rotated by its EXIF tag; 'grayscale':
            (height, width) uint8; 'unchanged': as many channels and bits as the file has.

    Raises:
        UserError: as :func:`read_whole`; or OpenCV cannot read it.
    """
    content = read_whole(file)
    if len(content) >= LARGE_FILE and content.startswith(IN_PLACE):
        del content  # beside the image it would take memory, too
        image = _decoded_in_place(file, color_type)
        if image is not None:
            return image
        content = read_whole(file)
    return _decoded(content, str(file), color_type)


def _decoded_in_place(file: str | Path, color_type: str) -> np.ndarray | None:
    """A large image without the second copy that OpenCV's bindings make of a returned image: they
    write into an argument instead, of :func:`cv2.imread` alone and from OpenCV 4.11 on.

    Returns:
        the image; None: this OpenCV cannot, or it cannot read the file.
    """
    try:
        return cv2.imread(str(file), None, COLOR_TYPES[color_type])
    except (cv2.error, TypeError):
        return None


def decode_bytes(content: bytes, color_type: str = 'color') -> np.ndarray:
    """An encoded image, as a file holds it, likewise.

    Raises:
        UserError: it is truncated, or no image that OpenCV reads.
    """
    _require_whole(content, f'{len(content)} bytes', 'read them again')
    return _decoded(content, f'{len(content)} bytes', color_type)


def _decoded(content: bytes, name: str, color_type: str) -> np.ndarray:
    if has_many_channels(content):  # before OpenCV, which prints to the screen
        return _of_many_channels(content, name, color_type)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), COLOR_TYPES[color_type])
    except cv2.error as error:  # more pixels than its limit, among others
        reason = ' '.join(str(error.err or error).split())
        raise UserError(f'{name}: the image cannot be read ({reason})') from None
    if image is None:
        more = _why_not(content) if is_tiff(content) else ''
        kind = kind_of_content(content[:HEAD], Path(name).suffix.lower())
        found = 'none' if kind in (IMAGE, UNKNOWN) else kind
        raise UserError(f'{name}: expected an image that OpenCV reads, found {found}{more}')
    return image


def _why_not(content: bytes) -> str:
    """Why OpenCV does not read a TIFF, and what to do."""
    with contextlib.suppress(Exception):
        from PIL import Image

        with Image.open(BytesIO(content)) as image:
            mode = image.mode
        if mode in ('F', 'I'):
            return '; it has 32 bits per channel: save it with 8 or 16'
    return '; TIFF of more than four channels: pip install tifffile'


def _of_many_channels(content: bytes, name: str, color_type: str) -> np.ndarray:
    """A TIFF of more than four channels; its first three as 'color', to be drawn on."""
    from .image_array import visible

    image = read_tiff(content, name)
    if color_type == 'unchanged':
        return image
    shown = visible(image)
    return shown if color_type == 'color' else cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY)


def require_resizable(size: tuple[int, int], short: int) -> None:
    """Checks that an image does not take all memory when its shorter side is resized to ``short``:
    one of 30 000 x 1 pixels, a file of a few hundred bytes, would have 2 billion.

    Args:
        size: height and width.
        short: pixels.

    Raises:
        ValueError: it has more than LARGEST_RESIZED pixels then.
    """
    least, most = sorted(size[:2])
    if short * short * most > LARGEST_RESIZED * least:
        raise ValueError(
            f'expected sides of no such ratio, found {size[1]} x {size[0]}, with a shorter side of '
            f'{short} more than {LARGEST_RESIZED} pixels'
        )


def require_fit(
    labels: np.ndarray, size: tuple[int, int], classes: int | None, ignored: int = IGNORED
) -> None:
    """Checks a label map as used in training: one number per pixel, and valid classes only.

    Args:
        labels: numbers from 0 on.
        size: height and width of the image.
        classes: their number, or None if it is not known.
        ignored: number of pixels without a class.

    Raises:
        ValueError: it does not match.
    """
    if labels.shape != size:
        shape = ' x '.join(map(str, labels.shape))
        raise ValueError(
            f'expected a number for each of {size[0]} x {size[1]} pixels, found {shape}'
        )
    if classes is not None and (odd := labels[(labels >= classes) & (labels != ignored)]).size:
        raise ValueError(f'expected labels of {classes} classes, found {odd.max()}, counted from 0')


def require_sound(sample: dict, masks: bool) -> None:
    """Checks that the annotations of a sample can be used in training.

    Infinite and NaN coordinates make the loss NaN, and coordinates far outside the image cause a
    loss from which training does not recover. pycocotools allocates all memory for a polygon with
    NaN or with such a corner.

    Args:
        sample: as the data sets of mmdet and mmpose pass it to their first transform.
        masks: whether its masks are read.

    Raises:
        ValueError: it does not match.
    """
    instances = sample.get('instances') or []
    numbers = {key: sample.get(key, ()) for key in ('bbox', 'keypoints', 'keypoints_visible')}
    numbers['boxes'] = [row['bbox'] for row in instances if 'bbox' in row]
    size = sample.get('ori_shape', (math.inf, math.inf))[1::-1]
    for what, values in numbers.items():
        values = np.asarray(values, float)
        if not np.isfinite(values).all():
            raise ValueError(f'expected finite numbers in its {what}')
        if what in ('bbox', 'boxes') and is_far(values.reshape(-1).tolist(), size):
            raise ValueError(f'expected {what} near its image, found {values.max():.3g}')
    for row in instances if masks else ():
        for severity, rule, found in mask(row.get('mask'), sample['ori_shape'][::-1]):
            if severity == 'error':
                raise ValueError(f'{rule}, found {found}')


class LoadWhole:
    """Wraps a loading transform of a toolbox, and names the file on which it fails.

    A truncated image is an error, see :func:`read_whole`; so are a label map that does
    not match, see :func:`require_fit`, and annotations as in :func:`require_sound`.
    """

    def __init__(
        self,
        load: Callable[[dict], dict | None],
        classes: int | None = None,
        ignored: int = IGNORED,
    ) -> None:
        self.load, self.classes, self.ignored = load, classes, ignored

    def __call__(self, results: dict) -> dict | None:
        """As the transform.

        Raises:
            UserError: the file cannot be read, or its content does not match.
        """
        annotations = 'LoadAnnotations' in type(self.load).__name__
        reads_labels = annotations and getattr(self.load, 'with_seg', True)
        labels = reads_labels and results.get('seg_map_path')
        file = labels or results.get('img_path')
        if not file or '://' in str(file):
            return self.load(results)
        try:
            require_sound(results, getattr(self.load, 'with_mask', False))
        except (ValueError, TypeError) as error:
            raise UserError(
                f'{file}: its annotations cannot be used ({_reason(error)}); `python -m '
                'moganet_dense check CONFIG` finds all'
            ) from error
        if labels or not annotations:
            read_whole(file)
        kind = 'label map' if labels else 'annotations' if annotations else 'image'
        try:
            results = self.load(results)
            if labels:
                require_fit(results['gt_seg_map'], results['ori_shape'], self.classes, self.ignored)
            return results
        except Exception as error:
            raise UserError(f'{file}: the {kind} cannot be read ({_reason(error)})') from error

    def __repr__(self) -> str:
        return repr(self.load)


class Prepare:
    """The transforms of a data set; errors name the image."""

    def __init__(self, pipeline: Callable[[dict], Any]) -> None:
        self.pipeline = pipeline

    def __call__(self, sample: dict) -> Any:
        """As the transforms.

        Raises:
            UserError: a transform fails, such as resizing to less than one pixel.
        """
        file = sample.get('img_path')
        try:
            return self.pipeline(sample)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f'{file}: the image cannot be prepared ({_reason(error)})') from error

    def __getattr__(self, name: str) -> Any:
        if name == 'pipeline':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.pipeline, name)


def load_whole(dataset: Any) -> None:
    """Wraps the loading transforms of a data set in :class:`LoadWhole` and all of its transforms
    in :class:`Prepare`; also inside data set wrappers."""
    for inner in [*getattr(dataset, 'datasets', []), getattr(dataset, 'dataset', None)]:
        if inner is not None:
            load_whole(inner)
    of_scenes = hasattr(dataset, 'reduce_zero_label')  # other annotations have classes of boxes
    classes = len(dataset.metainfo['classes']) if of_scenes else None
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    for i, step in enumerate(steps):
        if type(step).__name__ in _LOADERS:
            steps[i] = LoadWhole(step, classes, getattr(dataset, 'ignore_index', IGNORED))
    if steps:
        dataset.pipeline = Prepare(dataset.pipeline)


def _reason(error: Exception) -> str:
    return reason_of(error)[:200]
