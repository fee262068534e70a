"""Runs a model on files and writes the results. Needs no torch itself: any model with the interface
of :class:`~moganet_dense.inference.predictor.Predictor` works."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..data.sources import Fault, Frame, endings, find, frames
from ..results import Detections, Poses
from ..utils.errors import INTERRUPTED, UserError, WrongUsage, reason_of
from ..utils.printable import printable
from ..utils.regular_files import read_regular
from ..writer import Writer, about, rows

SKIPPED = 3
"""Exit code: success, but some files were skipped."""

PERSON = 'person'
WHOLE = 'whole'
Boxes = Callable[[list[Frame]], list[Detections | str | None]]
"""Boxes of people per image; None: the whole image; a string: the reason why they are unknown."""


def predict(
    model: Callable[..., Any],
    inputs: Sequence[str],
    out: Path | None,
    lines: IO[str] | None = None,
    batch_size: int = 1,
    score_thr: float = 0.3,
    boxes: Boxes | None = None,
) -> int:
    """Runs the model on every image of ``inputs``.

    Ctrl-C and SIGTERM stop it after the current batch, a second signal or an error at once. In each
    case the results so far are written.

    Args:
        model: of any task.
        inputs: files, folders, globs, videos; '-' reads paths from standard input.
        out: output folder of :class:`~moganet_dense.writer.Writer`, or None.
        lines: stream for one line of JSON per image, or None.
        batch_size: images, or boxes for pose, per forward pass.
        score_thr: objects below it are neither drawn nor written; keypoints are not drawn.
        boxes: for pose: where the people are.

    Returns:
        exit code: 0, :data:`SKIPPED` or :data:`~moganet_dense.utils.errors.INTERRUPTED`.

    Raises:
        UserError: there are no inputs, the model fails, or a file cannot be written.
    """
    if model.task == 'backbone':
        raise UserError('a backbone has no predictions; use its feature maps from Python')
    sources = find(list(_with_standard_input(inputs)), results=out)
    if not sources:
        there = endings(inputs)
        told = f'; suffixes found: {there}' if there else ''
        raise UserError(f'no images or videos in {" ".join(inputs)}{told}')
    processed = skipped = 0
    stop = _Stop()
    try:
        with (
            stop.listening(),
            Writer(out, score_thr) if out else nullcontext() as writer,
            _progress(sum(map(len, sources))) as (advance, tell),
            stop.hurrying(),
        ):
            for chunk in _chunks(frames(sources), batch_size):
                for frame, result in _seen(model, chunk, batch_size, boxes):
                    if isinstance(frame, Fault):
                        skipped += 1
                        tell(f'skipped: {printable(frame.reason)}')
                        continue
                    if writer:
                        writer.add(frame, result)
                    if lines:
                        _print(dict(about(frame), found=rows(result, score_thr)), lines)
                    processed += 1
                advance(len(chunk))
                if stop.received:
                    break
    except KeyboardInterrupt:  # of a second signal
        stop.received = True
    finally:
        if processed or skipped or stop.received:  # else an error was printed
            _print_summary(processed, skipped, stop.received, out)
    return INTERRUPTED if stop.received else SKIPPED if skipped else 0


class _Stop:
    """Records Ctrl-C and SIGTERM, so that the current batch is finished and written.

    Attributes:
        received: whether one arrived.
        hurry: whether another one raises KeyboardInterrupt; a third is only recorded, since
            the results are being written.
    """

    def __init__(self) -> None:
        self.received, self.hurry = False, True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Context that handles the signals; main thread only. Ignored signals stay ignored."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if threading.current_thread() is not threading.main_thread():
            before = {}
        before = {k: v for k, v in before.items() if v not in (None, signal.SIG_IGN)}
        for number in before:
            signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """Context in which a second signal stops at once."""
        try:
            yield
        finally:
            self.hurry = False

    def _note(self, number: int, frame: object) -> None:
        if self.received and self.hurry:
            self.hurry = False
            raise KeyboardInterrupt
        self.received = True


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
    if where.endswith('.json'):
        return WrittenBoxes(where, score_thr, category)
    return DetectedBoxes(load(), score_thr, batch_size, category)


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

    def __call__(self, images: list[Frame]) -> list[Detections | str]:
        look = partial(self.detector, order='bgr', batch_size=self.batch_size)
        found = _look(look, [(frame, None) for frame in images], boxes=False)
        return [each.reason if isinstance(each, Fault) else self._people(each) for each in found]

    def _people(self, found: Detections) -> Detections:
        """Detections whose box has an area: at the border of an image some have none."""
        people = found.where(self.score_thr, self.category)
        whole = (people.boxes[:, 2:] > people.boxes[:, :2]).all(1)
        return Detections(
            people.boxes[whole], people.scores[whole], people.labels[whole], people.names
        )


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
            images, listed, number = [], content, 1
            if not isinstance(content, list):
                images, listed = content['images'], content['annotations']
                if content.get('categories') is not None:
                    rows = {row['name']: row['id'] for row in content['categories']}
                    self.category = category_of(list(rows), category, file)
                    number = rows[self.category]
            self.paths, self.names = _numbers(images)
            self.found: dict[Any, list] = {image['id']: [] for image in images}
            for row in listed:
                own = self.found.setdefault(row['image_id'], [])
                if row['category_id'] == number and float(row.get('score', 1)) >= score_thr:
                    own.extend(_corners(row))
        except (
            ValueError, KeyError, TypeError, OverflowError, RecursionError,
        ) as error:  # fmt: skip
            reason = reason_of(error)
            raise UserError(
                f'--boxes: {file}: expected boxes in the format of COCO, with image_id, '
                f'category_id and bbox ({type(error).__name__}: {reason})'
            ) from None

    def __call__(self, images: list[Frame]) -> list[Detections | str]:
        return [self._of(frame) for frame in images]

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
        return read_regular(file)
    except OSError as error:
        raise UserError(f'--boxes: {file} cannot be read: {error.strerror}') from None


def _numbers(images: list[dict]) -> tuple[dict[tuple, Any], dict[tuple, list]]:
    """Numbers of the listed images, by path and by file name, which may be ambiguous."""
    paths, names = {}, {}
    for image in images:
        file, frame = image['file_name'], image.get('frame')
        paths[os.path.abspath(file), frame] = image['id']
        names.setdefault((Path(file).name, frame), []).append(image['id'])
    return paths, names


def _corners(row: dict) -> Iterator[list[float]]:
    """A box as x1 y1 x2 y2 with its score; skipped if it has no area."""
    x, y, width, height = map(float, row['bbox'])
    with np.errstate(over='ignore'):  # infinity is reported below
        box = np.array([x, y, x + width, y + height], np.float32)
    if not np.isfinite(box).all():
        raise ValueError(f'bbox {row["bbox"]} of image {row["image_id"]} is not finite')
    if (box[2:] > box[:2]).all():
        yield [*box.tolist(), float(row.get('score', 1))]


class WholeImage:
    """One box of the whole image.

    Args:
        category: its class; None: 'person' if the model's keypoints are a person's, else 'object'.
    """

    def __init__(self, category: str | None = None) -> None:
        self.category = category

    def __call__(self, images: list[Frame]) -> list[None]:
        return [None] * len(images)


def _of_category(result: Any, boxes: Boxes | None) -> Any:
    """Poses with the class of their objects."""
    if not isinstance(result, Poses) or boxes is None:
        return result
    human = {'left_shoulder', 'right_shoulder'} <= set(result.names)
    name = getattr(boxes, 'category', None) or (PERSON if human else 'object')
    return replace(result, category=name)


def _seen(
    model: Callable[..., Any], chunk: list[Frame | Fault], batch_size: int, boxes: Boxes | None
) -> Iterator[tuple[Frame | Fault, Any]]:
    """Yields all of a chunk, with the predictions of its images."""
    with _naming(chunk):
        placed = list(_with_boxes(chunk, boxes))
        known = [(frame, where) for frame, where in placed if isinstance(frame, Frame)]
        found = iter(_look(partial(model, order='bgr', batch_size=batch_size), known, bool(boxes)))
    for frame, _ in placed:
        result = None if isinstance(frame, Fault) else _of_category(next(found), boxes)
        yield (result, None) if isinstance(result, Fault) else (frame, result)


def _look(model: Callable[..., Any], known: list[tuple[Frame, Any]], boxes: bool) -> list:
    """Predictions of images; if a batch fails, each image alone, with a fault for a failing one."""
    images, options = [frame.image for frame, _ in known], {}
    if boxes:
        options['boxes'] = [where for _, where in known]
    try:
        found = model(images, **options) if images else []
        return [_if_finite(*pair) for pair in zip(known, found, strict=True)]
    except UserError as error:
        if len(known) > 1:
            return [found for one in known for found in _look(model, [one], boxes)]
        source = known[0][0].source
        return [Fault(source, f'{source.file}: {error}')]


def _if_finite(known: tuple[Frame, Any], result: Any) -> Any:
    """The result, or a fault if it contains NaN, which JSON cannot store."""
    parts = (part for part in vars(result).values() if isinstance(part, np.ndarray))
    if all(np.isfinite(part).all() for part in parts):
        return result
    source = known[0].source
    return Fault(source, f'{source.file}: the model returned values that are not finite')


@contextmanager
def _naming(chunk: list[Frame | Fault]) -> Iterator[None]:
    """Replaces an error of the model with one line that names the images."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # toolboxes, onnxruntime and CUDA have no common base class
        more = f', or on one of the {len(chunk) - 1} after it' if len(chunk) > 1 else ''
        reason = reason_of(error)
        raise UserError(
            f'{chunk[0].source.file}: the model fails on this image{more} '
            f'({type(error).__name__}: {reason}); remove it from the inputs'
        ) from error


def _with_boxes(
    chunk: list[Frame | Fault], boxes: Boxes | None
) -> Iterator[tuple[Frame | Fault, Any]]:
    images = [frame for frame in chunk if isinstance(frame, Frame)]
    found = iter(boxes(images) if boxes else [None] * len(images))
    for frame in chunk:
        where = None if isinstance(frame, Fault) else next(found)
        if isinstance(where, str):
            frame = Fault(frame.source, where)
        yield frame, where


def _with_standard_input(inputs: Sequence[str]) -> Iterator[str]:
    for given in inputs:
        if given != '-':
            yield given
            continue
        if sys.stdin is None:
            raise UserError('expected a list of files on standard input, found it closed')
        if hasattr(sys.stdin, 'reconfigure'):  # file names may be any bytes
            sys.stdin.reconfigure(errors='surrogateescape')
        yield from (line.rstrip('\r\n') for line in sys.stdin if line.strip())


def _chunks(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def _print(line: dict[str, Any], lines: IO[str]) -> None:
    try:
        print(json.dumps(line), file=lines, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f'the lines of JSON cannot be written ({error.strerror})') from None


def _print_summary(processed: int, skipped: int, interrupted: bool, out: Path | None) -> None:
    told = 'interrupted: ' if interrupted else ''
    told += f'processed {_count(processed, "image")}'
    told += f', skipped {_count(skipped, "file")}' if skipped else ''
    told += f'; results in {printable(out)}' if out and processed else ''
    print(told, file=sys.stderr)


def _count(number: int, what: str) -> str:
    return f'{number} {what}' + ('' if number == 1 else 's')


@contextmanager
def _progress(total: int) -> Iterator[tuple[Callable[[int], Any], Callable[[str], Any]]]:
    """Functions that advance a progress bar, if rich is installed, and print a line; both on
    standard error."""
    try:
        from rich import progress as bars
        from rich.console import Console
    except ModuleNotFoundError:
        bars = None
    if bars is None:
        yield (lambda count: None), partial(print, file=sys.stderr)
        return
    columns = bars.TextColumn('{task.description}'), bars.BarColumn(), bars.MofNCompleteColumn()
    console = Console(stderr=True)
    columns = *columns, bars.TimeRemainingColumn()
    # in a file or a pipe the last state of the bar would be one more line
    with bars.Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        told = partial(console.print, markup=False, emoji=False, highlight=False, soft_wrap=True)
        yield partial(progress.advance, progress.add_task('images', total=total)), told
