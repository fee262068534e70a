"""The source of the boxes for pose: ``predict --boxes``."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..data.sources import Fault, Frame
from ..results import Detections
from ..utils.errors import NoWeights, UserError, WrongUsage, reason_of
from ..utils.file_kinds import CHECKPOINT, EMPTY, IMAGE, JSON, VIDEO, kind_of
from ..utils.regular_files import read_regular
from .look import look_at

PERSON = 'person'
WHOLE = 'whole'
_NO_DETECTOR = (IMAGE, VIDEO, EMPTY, CHECKPOINT, 'a text file')
Boxes = Callable[[list[Frame]], list[Detections | str | None]]
"""Where the people of images are; None: anywhere; a text: why it is not known."""


def people(
    task: str,
    where: str | None,
    score_thr: float,
    batch_size: int,
    load: Callable[[], Any],
    category: str | None = None,
) -> Boxes | None:
    """The source of the boxes for pose, from ``--boxes``.

    Args:
        task: of the model.
        where: 'whole', a COCO file (.json), the name of a detector; None: not given.
        score_thr: threshold of the boxes.
        batch_size: images per forward pass of the detector.
        load: loads the detector.
        category: class of the boxes; None: the only class of the file or detector, else 'person'.

    Returns:
        None for tasks other than pose.

    Raises:
        WrongUsage: pose needs ``--boxes``, other tasks do not support it.
        UserError: the file or the detector has another format or task.
    """
    pose = task == 'pose'
    if pose != (where is not None):
        what = 'needs --boxes: a detector, a COCO file, or whole' if pose else 'takes no --boxes'
        raise WrongUsage(f'a model of {task} {what}')
    if where in (None, WHOLE):
        return WholeImage(category) if where else None
    if is_file_of_boxes(where):
        return WrittenBoxes(where, score_thr, category)
    return DetectedBoxes(_detector(load, where), score_thr, batch_size, category)


def is_file_of_boxes(where: str) -> bool:
    """Whether ``--boxes`` names a COCO file, by its name or its content."""
    return where.lower().endswith('.json') or kind_of(where) == JSON


def _detector(load: Callable[[], Any], where: str) -> Any:
    """The detector of ``--boxes``.

    Raises:
        UserError: there is none: what is there is named.
    """
    if os.path.isfile(where) and (kind := kind_of(where)) in _NO_DETECTOR:
        raise UserError(
            '--boxes: expected a detector (name, work dir, FILE.onnx, or a config with '
            f'--boxes-weights), a COCO file or `whole`, found {kind}: {where}'
        )
    try:
        return load()
    except NoWeights as error:
        raise UserError(f'--boxes: {error}; pass it by --boxes-weights FILE') from None
    except UserError as error:
        raise UserError(f'--boxes: {error}') from error


def category_of(names: Sequence[str], wanted: str | None, whose: str) -> str:
    """The class of the boxes: the requested one, else the only one, else 'person'.

    Raises:
        UserError: it is not among the names, or ambiguous.
    """
    if wanted is None:
        wanted = names[0] if len(names) == 1 else PERSON
    if wanted not in names:
        more = f' and {len(names) - 10} more' if len(names) > 10 else ''
        shown = ', '.join(map(repr, names[:10])) + more
        raise UserError(
            f'--boxes: {whose} does not have the class {wanted!r}; choose one with --boxes-class: '
            f'{shown}'
        )
    return wanted


class DetectedBoxes:
    """People that a detector finds.

    Args:
        detector: the model.
        score_thr: threshold of the boxes.
        batch_size: images per forward pass.
        category: their class, see :func:`category_of`.

    Raises:
        UserError: it does not have the class.
    """

    def __init__(
        self,
        detector: Callable[..., Any],
        score_thr: float,
        batch_size: int,
        category: str | None = None,
    ) -> None:
        if detector.task not in ('detection', 'instance segmentation'):
            raise UserError(f'--boxes: expected a detector, found a model of {detector.task}')
        self.category = category_of(list(detector.classes), category, 'the detector')
        self.detector, self.score_thr, self.batch_size = detector, score_thr, batch_size
        self.best = 0.0  # score in the images without one that passes

    def __call__(self, images: list[Frame]) -> list[Detections | str]:
        look = partial(self.detector, order='bgr', batch_size=self.batch_size)
        found = look_at(look, [(frame, None) for frame in images], boxes=False)
        return [each.reason if isinstance(each, Fault) else self._people(each) for each in found]

    def _people(self, found: Detections) -> Detections:
        """Detections whose box has an area: at the border of an image some have none."""
        people = found.where(self.score_thr, self.category)
        whole = (people.boxes[:, 2:] > people.boxes[:, :2]).all(1)
        if not whole.any():
            others = found.where(0, self.category).scores
            self.best = max(self.best, float(others.max(initial=0)))
        return Detections(
            people.boxes[whole], people.scores[whole], people.labels[whole], people.names
        )

    def why_none(self) -> str:
        """Why images have no box, and what to do."""
        what = f'the detector found no {self.category} of score {self.score_thr:g} or more'
        if not self.best:
            return f'{what}, and none below it'
        lower = max(0.0, np.floor(self.best * 100) / 100)
        return f'{what}; its best score there is {self.best:.3f}: --boxes-thr {lower:g} takes it'


class WrittenBoxes:
    """People from a COCO file: a list of results, or a data set with annotations, as written by
    :class:`~moganet_dense.writer.Writer`.

    Images are matched by path, or else by file name, if the file lists them; else by number, as in
    COCO's file names: ``000000000785.jpg`` is image 785. People are the category of that name if
    the file lists categories, else category 1.

    Args:
        file: the JSON file.
        score_thr: threshold of the boxes.
        category: their class, see :func:`category_of`.

    Raises:
        UserError: it cannot be read or is of another format.
    """

    def __init__(self, file: str, score_thr: float, category: str | None = None) -> None:
        self.file, self.category = file, category or PERSON
        try:
            content = json.loads(_content(file))
            images, listed, number, folder = [], content, 1, ''
            if not isinstance(content, list):
                images, listed = content['images'], content['annotations']
                folder = (content.get('info') or {}).get('image_folder') or ''
                if content.get('categories') is not None:
                    rows = {row['name']: row['id'] for row in content['categories']}
                    self.category = category_of(list(rows), category, file)
                    number = rows[self.category]
            self.paths, self.names = _numbers(images, folder)
            self.score_thr = score_thr
            self.found: dict[Any, list] = {image['id']: [] for image in images}
            for row in listed:
                own = self.found.setdefault(row['image_id'], [])
                if row['category_id'] == number and not row.get('score', 1) < score_thr:
                    own.extend(_corners(row))
        except (
            ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
        ) as error:  # fmt: skip
            reason = reason_of(error)
            raise UserError(
                f'--boxes: {file}: expected boxes in the format of COCO, with image_id, '
                f'category_id and bbox ({type(error).__name__}: {reason})'
            ) from None

    def __call__(self, images: list[Frame]) -> list[Detections | str]:
        return [self._of(frame) for frame in images]

    def why_none(self) -> str:
        """Why images have no box, and what to do."""
        return (
            f'{self.file} has no {self.category} of score {self.score_thr:g} or more there; '
            '--boxes-thr sets the score'
        )

    def _of(self, frame: Frame) -> Detections | str:
        path = Path(frame.source.file)
        number = self.paths.get((os.path.abspath(path), frame.index))
        if number is None:
            known = self.names.get((path.name, frame.index), [])
            if len(known) > 1:
                return f'{path}: {self.file} has several of this name; pass paths as in the file'
            number = known[0] if known else None
        if number is None and not self.names and path.stem.isascii() and path.stem.isdigit():
            number = int(path.stem)
        if number not in self.found:
            return f'{path}: no boxes for it in {self.file}'
        table = np.array(self.found[number], np.float32).reshape(-1, 5)
        labels = np.zeros(len(table), np.int64)
        return Detections(table[:, :4], table[:, 4], labels, (self.category,))


def _content(file: str) -> bytes:
    try:
        content = read_regular(file)
    except OSError as error:
        raise UserError(f'--boxes: {file} cannot be read: {error.strerror}') from None
    if (kind := kind_of(file)) in (IMAGE, EMPTY):
        raise UserError(f'--boxes: {file}: expected boxes in the format of COCO, found {kind}')
    return content


def _numbers(images: list[dict], folder: str) -> tuple[dict[tuple, Any], dict[tuple, list]]:
    """Numbers of the listed images, by path, and by file name, which several may have; a frame by
    its video and place.

    Args:
        images: as COCO lists them.
        folder: that their paths are relative to, as ``predict`` notes it.
    """
    paths, names = {}, {}
    for image in images:
        file, frame = image.get('video', image['file_name']), image.get('frame')
        paths[os.path.abspath(os.path.join(folder, file)), frame] = image['id']
        names.setdefault((Path(file).name, frame), []).append(image['id'])
    return paths, names


def _corners(row: dict) -> Iterator[list[float]]:
    """A box as x1 y1 x2 y2 with its score; skipped if it has no area."""
    x, y, width, height = map(float, row['bbox'])
    with np.errstate(over='ignore'):  # infinity is reported below
        box = np.array([x, y, x + width, y + height], np.float32)
    if not np.isfinite(box).all():
        raise ValueError(f'bbox {row["bbox"]} of image {row["image_id"]} is not finite')
    score = float(row.get('score', 1))
    if not np.isfinite(score):
        raise ValueError(f'the score of image {row["image_id"]} is {score}')
    if (box[2:] > box[:2]).all():
        yield [*box.tolist(), score]


class WholeImage:
    """One box of the whole image.

    Args:
        category: its class; None: 'person' if the model's keypoints are a person's, else 'object'.
    """

    def __init__(self, category: str | None = None) -> None:
        self.category = category

    def __call__(self, images: list[Frame]) -> list[None]:
        return [None] * len(images)
