"""Writes results as files that other programs read: COCO's JSON, label maps, drawn images.

Needs only NumPy and OpenCV. Files are written atomically.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .data.coco_classes import category_ids
from .data.sources import Frame
from .results import Classification, Detections, Poses, Result, Segmentation
from .utils.atomic import as_line, write_whole
from .utils.errors import UserError
from .visualization.drawing import draw

TOP = 5
"""Number of classes listed for a classified image."""

SEEN = 0.2
"""Keypoints below this score do not count for a person's score, as in mmpose: their mean score
times the score of the box."""


def rows(result: Result, score_thr: float = 0.0) -> list[dict[str, Any]]:
    """A result as plain data, one dict per object, person or class.

    Objects and people are annotations in COCO format with a ``score``: boxes x y width height in
    pixels, masks as compressed RLE, keypoints x y score. A segmentation lists the classes that
    occur with their pixel counts, a classification the five best classes.

    Args:
        result: of one image.
        score_thr: objects below it are skipped.
    """
    kinds = {
        Detections: _of_detections,
        Poses: _of_poses,
        Segmentation: _of_segmentation,
        Classification: _of_classification,
    }
    return kinds[type(result)](result, score_thr)


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """A mask, (H, W) bool, as COCO's compressed run lengths.

    Runs go down the columns, starting with the background. From the fourth on, each is stored as
    its difference to the run two before; numbers have five bits per character, lowest first, with a
    sixth for "more follows" (pycocotools, maskApi.c, rleToString).
    """
    flat = np.concatenate([[False], mask.ravel(order='F')])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], edges, [mask.size]]))
    runs[3:] -= np.diff(np.concatenate([[0], edges, [mask.size]]))[1:-2]
    text = ''.join(map(_in_five_bits, runs.tolist()))
    return dict(size=list(mask.shape), counts=text)


def _in_five_bits(number: int) -> str:
    text, more = '', True
    while more:
        bits, number = number & 31, number >> 5
        more = number != (-1 if bits & 16 else 0)
        text += chr(bits + 32 * more + 48)
    return text


JPEG_SIDE = 65500
"""Maximum side in pixels of libjpeg."""


class Writer:
    """Writes results to a folder: drawn images at once, files about all images at the end, also
    after an error or Ctrl-C.

    ======================  =====================================================
    drawn/NAME.jpg, .mp4    the image or video with the results
    predictions.json        COCO format, with scores; for a classifier a list
    labels/NAME.png         for segmentation: the class index of each pixel; for a video
                            NAME.frames/NUMBER.png
    palette/NAME.png        the same in the colours of the classes
    classes.json            their index, name and colour
    ======================  =====================================================
    """

    def __init__(self, folder: Path, score_thr: float) -> None:
        self.folder, self.score_thr = folder, score_thr
        self._rows: list[tuple[dict, list[dict]]] = []  # per image: its entry and its rows
        self._last: Result | None = None
        self._video: _Video | None = None

    def add(self, frame: Frame, result: Result) -> None:
        """Draws a result and stores its rows.

        Raises:
            UserError: a file cannot be written.
        """
        self._draw(frame, draw(frame.image, result, self.score_thr))
        if isinstance(result, Segmentation):
            name = frame.source.name
            name += '' if frame.index is None else f'.frames/{frame.index:06d}'
            kind = np.uint8 if len(result.names) <= 256 else np.uint16
            _write_png(self.folder / 'labels' / f'{name}.png', result.labels.astype(kind))
            colours = result.palette[result.labels][..., ::-1]
            _write_png(self.folder / 'palette' / f'{name}.png', np.ascontiguousarray(colours))
        else:
            self._rows.append((about(frame), rows(result, self.score_thr)))
        self._last = result

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
        if isinstance(self._last, Segmentation):
            table = [
                dict(id=k, name=name, colour=self._last.palette[k].tolist())
                for k, name in enumerate(self._last.names)
            ]
            _write_json(self.folder / 'classes.json', table)
        elif isinstance(self._last, Classification):
            listed = [dict(image, classes=best) for image, best in self._rows]
            _write_json(self.folder / 'predictions.json', listed)
        elif self._last is not None:
            _write_json(self.folder / 'predictions.json', self._coco())

    def _coco(self) -> dict[str, Any]:
        ids = _image_ids([image for image, _ in self._rows])
        told = list(zip(ids, self._rows, strict=True))
        images = [dict(id=i, **image) for i, (image, _) in told]
        annotations = [dict(image_id=i, **row) for i, (_, own) in told for row in own]
        annotations = [dict(id=k + 1, **row) for k, row in enumerate(annotations)]
        return dict(images=images, annotations=annotations, categories=categories(self._last))

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
            self._video = _Video(target, frame.fps, image.shape)
        self._video.add(image)

    def _end_video(self) -> None:
        video, self._video = self._video, None
        if video:
            video.close()


class _Video:
    """A video that is written to a temporary file, frame by frame, and renamed at the end."""

    def __init__(self, target: Path, fps: float, shape: tuple[int, ...]) -> None:
        self.target, self.draft = target, target.with_suffix('.part.mp4')
        self.size, self.count = (shape[1], shape[0]), 0
        with as_line(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        code = cv2.VideoWriter_fourcc(*'mp4v')
        self.writer = cv2.VideoWriter(str(self.draft), code, fps, self.size)
        if not self.writer.isOpened():
            raise UserError(f'{target} cannot be written: OpenCV does not open it')

    def add(self, image: np.ndarray) -> None:
        if image.shape[1::-1] != self.size:  # OpenCV would silently skip it
            image = cv2.resize(image, self.size)
        self.writer.write(image)
        self.count += 1

    def close(self) -> None:
        self.writer.release()
        written = cv2.VideoCapture(str(self.draft)).get(cv2.CAP_PROP_FRAME_COUNT)
        if written < self.count:  # OpenCV does not report a full disk
            self.draft.unlink(missing_ok=True)
            raise UserError(
                f'{self.target} cannot be written: expected {self.count} frames, found '
                f'{max(0, int(written))}; is the disk full?'
            )
        with as_line(self.target):
            os.replace(self.draft, self.target)


def about(frame: Frame) -> dict[str, Any]:
    """File, size and, in a video, index of an image."""
    height, width = frame.image.shape[:2]
    place = {} if frame.index is None else dict(frame=frame.index)
    return dict(file_name=frame.source.file, height=height, width=width, **place)


def categories(result: Detections | Poses) -> list[dict[str, Any]]:
    """The categories in COCO format; for poses the class of the objects, with its keypoints."""
    if isinstance(result, Poses):
        skeleton = [[a + 1, b + 1] for a, b in result.skeleton]  # COCO counts keypoints from 1
        return [dict(id=1, name=result.category, keypoints=list(result.names), skeleton=skeleton)]
    ids = category_ids(result.names)
    return [dict(id=i, name=name) for i, name in zip(ids, result.names, strict=True)]


def _write_json(path: Path, content: Any) -> None:
    write_whole(path, (json.dumps(content) + '\n').encode())


def _write_png(path: Path, image: np.ndarray) -> None:
    _, content = cv2.imencode('.png', image)
    write_whole(path, content.tobytes())


def _within(side: int, image: np.ndarray) -> np.ndarray:
    """An image, downscaled if its longer side exceeds ``side``."""
    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return image
    size = max(1, int(width * factor)), max(1, int(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _image_ids(images: Iterable[dict]) -> list[int]:
    """Image ids: the number in the file name if all names are numbers, as in COCO; else counted."""
    stems = [Path(image['file_name']).stem for image in images]
    if all(stem.isascii() and stem.isdigit() for stem in stems):
        ids = [int(stem) for stem in stems]
        if len(set(ids)) == len(ids):
            return ids
    return list(range(1, len(stems) + 1))


def _of_detections(found: Detections, score_thr: float) -> list[dict]:
    kept, ids = found.where(score_thr), category_ids(found.names)
    listed = []
    for i in range(len(kept)):
        x1, y1, x2, y2 = (round(float(n), 2) for n in kept.boxes[i])
        width, height = round(x2 - x1, 2), round(y2 - y1, 2)
        row = dict(
            category_id=ids[kept.labels[i]],
            bbox=[x1, y1, width, height],
            area=round(width * height, 2),
            iscrowd=0,
            score=round(float(kept.scores[i]), 5),
        )
        if kept.masks is not None:
            mask = kept.masks[i]
            row.update(segmentation=run_lengths(mask), area=int(mask.sum()))
        listed.append(row)
    return listed


def _of_poses(found: Poses, score_thr: float) -> list[dict]:
    sure = np.ones(len(found)) if found.box_scores is None else found.box_scores
    listed = []
    for i in range(len(found)):
        keypoints = np.column_stack([found.keypoints[i], found.scores[i]])
        x1, y1, x2, y2 = (round(float(n), 2) for n in found.boxes[i])
        seen = found.scores[i][found.scores[i] > SEEN]
        score = float(sure[i] * seen.mean()) if len(seen) else 0.0
        listed.append(dict(
            category_id=1,
            keypoints=[round(float(n), 3) for n in keypoints.ravel()],
            num_keypoints=int((found.scores[i] >= score_thr).sum()),
            bbox=[x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
            area=round((x2 - x1) * (y2 - y1), 2),
            iscrowd=0,
            score=round(score, 5),
        ))  # fmt: skip
    return listed


def _of_segmentation(found: Segmentation, score_thr: float) -> list[dict]:
    sizes = np.bincount(found.labels.ravel(), minlength=len(found.names))
    order = [int(k) for k in np.argsort(-sizes) if sizes[k]]
    return [dict(label=k, name=found.names[k], pixels=int(sizes[k])) for k in order]


def _of_classification(found: Classification, score_thr: float) -> list[dict]:
    best = [int(k) for k in np.argsort(-found.scores)[:TOP]]
    return [
        dict(label=k, name=found.names[k], score=round(float(found.scores[k]), 5)) for k in best
    ]
