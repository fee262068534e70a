"""Writes results as files that other programs read: COCO's JSON, tables, label files of YOLO and
LabelMe, label maps, drawn images.

Needs only NumPy and OpenCV. Files are written atomically.
"""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .data.image_array import visible
from .data.sources import Frame
from .results import Classification, Panoptic, Result, Segmentation
from .results.coco_rows import categories
from .results.text_tables import table
from .utils.atomic import as_line, replacing, write_whole
from .utils.errors import UserError
from .visualization.drawing import draw
from .visualization.reduced import reduced

FORMATS = ('coco', 'csv', 'yolo', 'labelme')
"""What results are written as."""

JPEG_SIDE = 65500
"""Pixels that libjpeg takes along a side."""
LARGE = 50_000_000
"""Pixels from which on an image is drawn smaller, so that its copies fit into memory."""
LARGE_SIDE = 4000
"""Pixels of the longer side then."""


class Writer:
    """Puts results into a folder: what is about one image at once, what is about all at the end,
    also of one that an error or Ctrl-C brings about.

    ======================  =====================================================
    drawn/NAME.jpg, .mp4    the image or video with the results
    predictions.json        COCO's format, with scores; of a classifier a list
    predictions.csv         with ``csv``: a row for each object, person or class
    labels/NAME.txt         with ``yolo``: a line for each object or person
    labelme/NAME.json       with ``labelme``: as LabelMe saves it
    labels/NAME.png         of a segmentation: the index of each pixel's class; of a video
                            NAME.frames/NUMBER.png
    palette/NAME.png        the same in the classes' colours
    panoptic/NAME.png       of a panoptic map: segments as COCO's panoptic files have them
    classes.json            index, name and colour of a segmentation's classes
    ======================  =====================================================

    Args:
        folder: where they go.
        score_thr: objects below it are neither drawn nor written.
        formats: of :data:`FORMATS`.
        outlines: write masks as polygons, not as run lengths.
    """

    def __init__(
        self,
        folder: Path,
        score_thr: float,
        formats: Sequence[str] = ('coco',),
        outlines: bool = False,
    ) -> None:
        self.folder, self.score_thr = folder, score_thr
        self.formats, self.outlines = formats, outlines
        self._rows: list[tuple[dict, list[dict]]] = []  # per image: its entry and its rows
        self._table: list[list] = []
        self._columns: list[str] = []
        self._image_folder: str | None = None
        self._last: Result | None = None
        self._video: Video | None = None

    def add(self, frame: Frame, result: Result) -> None:
        """Draws a result and keeps what it says.

        Raises:
            UserError: a file cannot be written.
        """
        self._draw(frame, _drawn(visible(frame.image), result, self.score_thr))
        name = (
            os.path.splitext(frame.file_name)[0] if frame.index is not None else frame.source.name
        )
        if isinstance(result, Segmentation):
            kind = np.uint8 if len(result.names) <= 256 else np.uint16
            labels = result.labels.astype(kind, copy=False)
            _write_png(self.folder / 'labels' / f'{name}.png', labels)
            _write_coloured(self.folder / 'palette' / f'{name}.png', labels, result.palette)
        else:
            rows = result.rows(self.score_thr, outlines=self.outlines)
            self._rows.append((about(frame), rows))
        panoptic = result if isinstance(result, Panoptic) else getattr(result, 'panoptic', None)
        if panoptic is not None:
            pixels = np.ascontiguousarray(panoptic.to_png()[..., ::-1])
            _write_png(self.folder / 'panoptic' / f'{name}.png', pixels)
        self._write_texts(frame, result, name)
        self._image_folder = frame.source.folder or self._image_folder
        self._last = result

    def _write_texts(self, frame: Frame, result: Result, name: str) -> None:
        """The other formats, of one image."""
        if 'csv' in self.formats and hasattr(result, 'to_table'):
            self._columns, rows = result.to_table(self.score_thr)
            self._table += [[frame.file_name, *row] for row in rows]
        if 'yolo' in self.formats and hasattr(result, 'to_yolo'):
            text = result.to_yolo(self.score_thr)
            write_whole(self.folder / 'labels' / f'{name}.txt', text.encode())
        if 'labelme' in self.formats and hasattr(result, 'to_labelme'):
            target = self.folder / 'labelme' / f'{name}.json'
            image = os.path.abspath(frame.source.file) if frame.index is None else frame.file_name
            place = os.path.relpath(image, target.parent) if os.path.isabs(image) else image
            limit = () if isinstance(result, Segmentation) else (self.score_thr,)
            _write_json(target, result.to_labelme(place, *limit))

    def __enter__(self) -> 'Writer':
        """Checks the folder before anything is computed.

        Raises:
            UserError: it is not writable.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise UserError(
                f'expected a folder to write to at {self.folder} ({error.strerror}); pass '
                'another --out'
            ) from None
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        """Finishes the current video, and writes the files about all images. After an error further
        errors are suppressed, so that the first one is reported."""
        with contextlib.suppress(UserError) if kind else contextlib.nullcontext():
            try:
                self._end_video()
            finally:
                self._write_about_all()

    def _write_about_all(self) -> None:
        if 'csv' in self.formats and self._columns:
            text = table(['file_name', *self._columns], self._table)
            content = text.encode(errors='backslashreplace')  # a file name may be any bytes
            write_whole(self.folder / 'predictions.csv', content)
        if isinstance(self._last, Segmentation):
            classes = [
                dict(id=k, name=name, colour=self._last.palette[k].tolist())
                for k, name in enumerate(self._last.names)
            ]
            _write_json(self.folder / 'classes.json', classes)
        elif 'coco' not in self.formats or self._last is None:
            return
        elif isinstance(self._last, Classification):
            listed = [dict(image, classes=best) for image, best in self._rows]
            _write_json(self.folder / 'predictions.json', listed)
        else:
            _write_json(self.folder / 'predictions.json', self._coco())

    def _coco(self) -> dict[str, Any]:
        ids = _image_ids([image for image, _ in self._rows])
        numbered = list(zip(ids, self._rows, strict=True))
        images = [dict(id=i, **image) for i, (image, _) in numbered]
        if isinstance(self._last, Panoptic):
            rows = [
                dict(image_id=i, segments_info=own, file_name=_with_png(image['file_name']))
                for i, (image, own) in numbered
            ]
        else:
            rows = [dict(image_id=i, **row) for i, (_, own) in numbered for row in own]
            rows = [dict(id=k + 1, **row) for k, row in enumerate(rows)]
        info = {} if self._image_folder is None else dict(image_folder=self._image_folder)
        return dict(info=info, images=images, annotations=rows, categories=categories(self._last))

    def _draw(self, frame: Frame, image: np.ndarray) -> None:
        if frame.index is None:
            self._end_video()
            image = _within(JPEG_SIDE, image)
            _, content = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 90])
            write_whole(self.folder / 'drawn' / f'{frame.source.name}.jpg', content.tobytes())
            return
        target = self.folder / 'drawn' / f'{frame.source.name}.mp4'
        if self._video is None or self._video.target != target:  # the first may be omitted
            self._end_video()
            self._video = Video(target, frame.fps, image.shape)
        self._video.add(image)

    def _end_video(self) -> None:
        video, self._video = self._video, None
        if video:
            video.close()


class Video:
    """A video that appears at :meth:`close`, with all frames or not at all.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, target: Path, fps: float, shape: tuple[int, ...]) -> None:
        self.target, self.size, self.count = target, (shape[1], shape[0]), 0
        self._temporary = contextlib.ExitStack()
        with as_line(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self.draft = self._temporary.enter_context(replacing(target, '.mp4'))
        code = cv2.VideoWriter_fourcc(*'mp4v')
        self.writer = cv2.VideoWriter(str(self.draft), code, fps, self.size)
        if not self.writer.isOpened():
            with self._temporary:
                raise UserError(f'{target} cannot be written: OpenCV does not open it')

    def add(self, image: np.ndarray) -> None:
        """Appends a frame, (H, W, 3) in BGR."""
        if image.shape[1::-1] != self.size:  # OpenCV would skip it without an error
            image = cv2.resize(image, self.size)
        self.writer.write(image)
        self.count += 1

    def close(self) -> None:
        """Moves the video to its place.

        Raises:
            UserError: not all frames were written.
        """
        with as_line(self.target), self._temporary:
            self.writer.release()
            written = cv2.VideoCapture(str(self.draft)).get(cv2.CAP_PROP_FRAME_COUNT)
            if written < self.count:  # OpenCV reports no error when the disk is full
                raise UserError(
                    f'{self.target} cannot be written: expected {self.count} frames, found '
                    f'{max(0, int(written))}; is the disk full?'
                )


def about(frame: Frame) -> dict[str, Any]:
    """File, size and, in a video, place of an image, as in COCO's ``images``."""
    height, width = frame.image.shape[:2]
    place = {} if frame.index is None else dict(video=frame.source.relative, frame=frame.index)
    return dict(file_name=frame.file_name, height=height, width=width, **place)


def _with_png(file_name: str) -> str:
    return f'{os.path.splitext(file_name)[0]}.png'


def _drawn(image: np.ndarray, result: Result, score_thr: float) -> np.ndarray:
    """An image with its results; of a large one a smaller copy."""
    height, width = image.shape[:2]
    if height * width < LARGE:
        return draw(image, result, score_thr)
    return draw(*reduced(image, result, LARGE_SIDE / max(height, width)), score_thr)


def _write_json(path: Path, content: Any) -> None:
    write_whole(path, (json.dumps(content) + '\n').encode())


def _write_png(path: Path, image: np.ndarray) -> None:
    _, content = cv2.imencode('.png', image)
    write_whole(path, content.tobytes())


def _write_coloured(path: Path, labels: np.ndarray, palette: np.ndarray) -> None:
    """Labels in their colours; of large images as a PNG with a palette, which takes a third of the
    memory and looks the same."""
    if labels.size < LARGE or labels.dtype != np.uint8:
        _write_png(path, np.ascontiguousarray(palette[labels][..., ::-1]))
        return
    from PIL import Image

    image, content = Image.fromarray(labels), io.BytesIO()
    image.putpalette(palette.astype(np.uint8).tobytes())
    image.save(content, 'PNG')
    write_whole(path, content.getvalue())


def _within(side: int, image: np.ndarray) -> np.ndarray:
    """A image, made smaller where its longer side is over that."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return image
    size = max(1, int(width * factor)), max(1, int(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _image_ids(images: Iterable[dict]) -> list[int]:
    """COCO names its files by their number: so do files that all are; others are counted."""
    images = list(images)
    stems = [Path(image['file_name']).stem for image in images]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and not any(
        'frame' in image for image in images
    ):
        ids = [int(stem) for stem in stems]
        if len(set(ids)) == len(ids):
            return ids
    return list(range(1, len(stems) + 1))
