"""Looks at files with a model and writes down what it sees. Needs no torch itself: any model that
is called as :class:`~moganet_dense.apis.inference.Predictor` is will do."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..data.inputs import Fault, Frame, find, frames
from ..errors import UserError
from ..results import Detections
from ..writing import Writer, about, rows

SKIPPED = 3
"""Exit code: done, but some files could not be read."""

PERSON = 'person'
Boxes = Callable[[list[Frame]], list[Detections | str | None]]
"""Where the persons of pictures are; None: anywhere; a text: why it is not known."""


def predict(
    model: Callable[..., Any],
    inputs: Sequence[str],
    out: Path | None,
    lines: IO[str] | None = None,
    batch_size: int = 1,
    score_thr: float = 0.3,
    boxes: Boxes | None = None,
) -> int:
    """Looks at every picture of ``inputs``.

    Args:
        model: of any task.
        inputs: files, folders, globs, videos; '-' stands for the lines of standard input.
        out: folder for what :class:`~moganet_dense.writing.Writer` writes, or None.
        lines: gets a line of JSON for every picture, or None.
        batch_size: pictures, or for pose boxes, that go through the network at once.
        score_thr: objects below it are neither drawn nor told; joints are not drawn.
        boxes: for pose: where the persons are.

    Returns:
        exit code: 0, or :data:`SKIPPED`.

    Raises:
        UserError: there is nothing to look at, or a file cannot be written.
    """
    sources = find(list(_with_standard_input(inputs)), leave_out=out)
    if not sources:
        raise UserError(f'no pictures or videos in {" ".join(inputs) or "the list"}')
    looked, skipped = 0, 0
    with _progress() as progress, Writer(out, score_thr) if out else nullcontext() as writer:
        task = progress.add_task('pictures', total=sum(map(len, sources)))
        for chunk in _chunks(frames(sources), batch_size):
            progress.advance(task, len(chunk))
            known, given = [], []
            for frame, where in _with_boxes(chunk, boxes):
                if isinstance(frame, Fault):
                    skipped += 1
                    _tell(progress, f'skipped: {frame.reason}')
                else:
                    known.append(frame)
                    given.append(where)
            options = dict(boxes=given) if boxes else {}
            images = [frame.image for frame in known]
            found = images and model(images, order='bgr', batch_size=batch_size, **options)
            for frame, result in zip(known, found, strict=True):
                if writer:
                    writer.add(frame, result)
                if lines:
                    line = dict(about(frame), found=rows(result, score_thr))
                    print(json.dumps(line), file=lines, flush=True)
            looked += len(known)
    told = f'looked at {looked} pictures' + (f', skipped {skipped} files' if skipped else '')
    print(told + (f'; results in {out}' if out and looked else ''), file=sys.stderr)
    return SKIPPED if skipped else 0


class DetectedBoxes:
    """Persons that a detector finds.

    Args:
        detector: a model that knows the class 'person'.
        score_thr: of the persons that count.
        batch_size: pictures that it sees at once.

    Raises:
        UserError: it does not know persons.
    """

    def __init__(self, detector: Callable[..., Any], score_thr: float, batch_size: int) -> None:
        if detector.task not in ('detection', 'instance segmentation'):
            raise UserError(f'--boxes: expected a detector, found a model of {detector.task}')
        if PERSON not in detector.classes:
            raise UserError(f'--boxes: the detector does not know the class {PERSON!r}')
        self.detector, self.score_thr, self.batch_size = detector, score_thr, batch_size

    def __call__(self, pictures: list[Frame]) -> list[Detections]:
        images = [frame.image for frame in pictures]
        found = self.detector(images, order='bgr', batch_size=self.batch_size)
        return [detections.where(self.score_thr, PERSON) for detections in found]


class WrittenBoxes:
    """Persons of a file in COCO's format: a list of results, or a data set with annotations, as
    :class:`~moganet_dense.writing.Writer` writes it.

    Pictures are known by their file name, where the file lists names, else by their number, as
    COCO names its files: ``000000000785.jpg`` is picture 785. Persons are the category of that
    name, where the file lists categories, else category 1.

    Args:
        file: the JSON file.
        score_thr: of the persons that count.

    Raises:
        UserError: it cannot be read or is of another format.
    """

    def __init__(self, file: str, score_thr: float) -> None:
        self.file = file
        try:
            content = json.loads(Path(file).read_text(encoding='utf-8'))
            listed = content if isinstance(content, list) else content['annotations']
            images = [] if isinstance(content, list) else content['images']
            self.numbers = {
                (Path(image['file_name']).name, image.get('frame')): image['id'] for image in images
            }
            persons = {1}
            if not isinstance(content, list) and 'categories' in content:
                persons = {row['id'] for row in content['categories'] if row['name'] == PERSON}
            self.found: dict[Any, list] = {number: [] for number in self.numbers.values()}
            for row in listed:
                x, y, width, height = map(float, row['bbox'])
                score = float(row.get('score', 1))
                if (
                    row['category_id'] in persons
                    and score >= score_thr
                    and width > 0
                    and height > 0
                ):
                    self.found.setdefault(row['image_id'], []).append(
                        [x, y, x + width, y + height, score]
                    )
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = ' '.join(str(error).split())
            raise UserError(
                f'--boxes: {file}: expected boxes in the format of COCO, with image_id, '
                f'category_id and bbox ({type(error).__name__}: {reason})'
            ) from None

    def __call__(self, pictures: list[Frame]) -> list[Detections | str]:
        return [self._of(frame) for frame in pictures]

    def _of(self, frame: Frame) -> Detections | str:
        path = Path(frame.source.file)
        number = self.numbers.get((path.name, frame.index))
        if number is None and not self.numbers and path.stem.isascii() and path.stem.isdigit():
            number = int(path.stem)
        if number not in self.found:
            return f'{path}: no boxes for it in {self.file}'
        table = np.array(self.found[number], np.float32).reshape(-1, 5)
        labels = np.zeros(len(table), np.int64)
        return Detections(table[:, :4], table[:, 4], labels, (PERSON,))


def whole_pictures(pictures: list[Frame]) -> list[None]:
    """One person, anywhere in the picture."""
    return [None] * len(pictures)


def _with_boxes(
    chunk: list[Frame | Fault], boxes: Boxes | None
) -> Iterator[tuple[Frame | Fault, Any]]:
    pictures = [frame for frame in chunk if isinstance(frame, Frame)]
    found = iter(boxes(pictures) if boxes else [None] * len(pictures))
    for frame in chunk:
        where = None if isinstance(frame, Fault) else next(found)
        if isinstance(where, str):
            frame = Fault(frame.source, where)
        yield frame, where


def _with_standard_input(inputs: Sequence[str]) -> Iterator[str]:
    for given in inputs:
        if given == '-':
            yield from (line.rstrip('\r\n') for line in sys.stdin if line.strip())
        else:
            yield given


def _chunks(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def _progress() -> Progress:
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))


def _tell(progress: Progress, text: str) -> None:
    progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
