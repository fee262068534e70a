"""Runs a model on files and writes the results. Needs no torch itself: any model with the interface
of :class:`~moganet_dense.inference.predictor.Predictor` works."""

import json
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

from ..data.given_sources import given_sources, require_other_results
from ..data.prefetch import ahead
from ..data.sources import Fault, Frame, Source, frames, further_images, unread_images
from ..results import Poses
from ..results.kinds import class_indices
from ..utils.errors import INTERRUPTED, UserError, WrongUsage
from ..utils.printable import printable
from ..utils.spooled_images import spooled
from ..writer import Writer, about
from .look import look_at, naming
from .person_boxes import PERSON, Boxes
from .tally import Tally
from .tiling import Tiled
from .tracking import Tracks

SKIPPED = 3
"""Exit code: success, but some files were skipped."""
WAITING = 4
"""Maximum number of results that wait for drawing and writing."""


def predict(
    model: Callable[..., Any],
    inputs: Sequence[str],
    out: Path | None,
    lines: IO[str] | None = None,
    batch_size: int = 1,
    score_thr: float = 0.3,
    boxes: Boxes | None = None,
    *,
    classes: Sequence[str] = (),
    track: bool = False,
    formats: Sequence[str] = ('coco',),
    outlines: bool = False,
    allow_private: bool = False,
) -> int:
    """Runs a model on every image of ``inputs``; decoding, the network and writing overlap.

    Ctrl-C and SIGTERM end it after the current images, a second one at once; so does an error.
    In each case what was computed until then is written.

    Args:
        model: of any task.
        inputs: files, folders, globs, videos, URLs, cameras; '-' stands for the lines of standard
            input.
        out: output folder of :class:`~moganet_dense.writer.Writer`, or None.
        lines: stream for one line of JSON per image, or None.
        batch_size: images, or boxes for pose, per forward pass.
        score_thr: objects below it are neither drawn nor written; keypoints are not drawn.
        boxes: for pose: source of the boxes of people.
        classes: keep only objects of these classes; (): keep all.
        track: number the objects of a video, see :class:`~moganet_dense.inference.tracking.Tracks`.
        formats: of :data:`moganet_dense.writer.FORMATS`.
        outlines: write masks as polygons.
        allow_private: see :func:`moganet_dense.data.sources.find`.

    Returns:
        exit code: 0, :data:`SKIPPED` or :data:`~moganet_dense.utils.errors.INTERRUPTED`.

    Raises:
        WrongUsage: videos are to be tracked, and there are none.
        UserError: there are no images, the model fails, or a file cannot be written.
    """
    _require_predictions(model, classes)
    sources = _checked_sources(inputs, out, track, formats, allow_private)
    outputs = _Outputs(score_thr, lines, classes, outlines, Tracks(model.task) if track else None)
    skipped, behind = 0, _Behind(None)
    stop, start = _Stop(), time.perf_counter()
    try:
        with (
            stop.listening(),
            Writer(out, score_thr, formats, outlines) if out else nullcontext() as writer,
            _Behind(writer) as behind,
            _progress(sum(map(len, sources))) as (advance, tell),
            stop.hurrying(),
        ):
            for chunk in _chunks(_read(model, sources, batch_size), batch_size):
                for frame, result in _seen(model, chunk, batch_size, boxes):
                    if isinstance(frame, Fault):
                        skipped += 1
                        tell(f'skipped: {printable(frame.reason)}')
                    else:
                        outputs.add(frame, result, behind)
                advance(len(chunk))
                if stop.received:
                    break
    except KeyboardInterrupt:  # of a second signal
        stop.received = True
    finally:
        if behind.count or skipped or stop.received:  # else an error was printed
            outputs.print_tally(boxes)
            seconds = time.perf_counter() - start
            _print_summary(behind.count, skipped, stop.received, out, seconds)
    return INTERRUPTED if stop.received else SKIPPED if skipped else 0


def _checked_sources(
    inputs: Sequence[str], out: Path | None, track: bool, formats: Sequence[str],
    allow_private: bool,
) -> list[Source]:  # fmt: skip
    """What is to be read, checked against ``out``; prints which files are left and not read."""
    sources = given_sources(inputs, out, allow_private)
    if out:
        require_other_results(sources, out)
    if track and not any(source.is_video or source.is_remote for source in sources):
        raise WrongUsage(
            f'--track would have no effect: it is for videos, found {_count(len(sources), "image")}'
        )
    for name in _left_from_before(out, formats) if out else ():
        print(f'{printable(out / name)} is of an earlier run, and not replaced', file=sys.stderr)
    for suffix, count in unread_images(inputs).items():
        print(f'not read: {_count(count, "image")} ending in {suffix}: convert to PNG',
              file=sys.stderr)  # fmt: skip
    return sources


def _left_from_before(out: Path, formats: Sequence[str]) -> Iterator[str]:
    """Files of formats that are not written now, beside which this run's results would be."""
    for form, name in (('coco', 'predictions.json'), ('csv', 'predictions.csv')):
        if form not in formats and (out / name).exists():
            yield name


def _read(
    model: Callable[..., Any], sources: Sequence[Source], batch_size: int
) -> Iterable[Frame | Fault]:
    """Images, read ahead; of a model that looks at tiles one by one, large ones from a file."""
    found = frames(sources, getattr(model, 'color_type', 'color'))
    return map(_spooled, found) if isinstance(model, Tiled) else ahead(found, 2 * batch_size)


def _spooled(frame: Frame | Fault) -> Frame | Fault:
    return replace(frame, image=spooled(frame.image)) if isinstance(frame, Frame) else frame


def _require_predictions(model: Callable[..., Any], classes: Sequence[str]) -> None:
    """Checks that the model predicts, and has ``classes``.

    Raises:
        UserError: it does not.
    """
    if model.task == 'backbone':
        raise UserError('a backbone has no predictions; use its feature maps from Python')
    if classes and model.task not in ('detection', 'instance segmentation'):
        raise UserError(f'--classes is for detectors, this model does {model.task}')
    class_indices(classes, model.classes)


@dataclass
class _Outputs:
    """Filters and tracks results, then writes, counts and prints them; see :func:`predict`."""

    score_thr: float
    lines: IO[str] | None
    classes: Sequence[str]
    outlines: bool
    tracks: Tracks | None

    def __post_init__(self) -> None:
        self.tally = Tally(self.score_thr, self.classes)
        self.cut = 0  # files of which the first image was used

    def add(self, frame: Frame, result: Any, behind: '_Behind') -> None:
        if self.classes:
            result = result.where(name=self.classes)
        if self.tracks:
            result = self.tracks.numbered(frame, result, self.score_thr)
        if frame.index is None and not frame.source.is_remote:
            self.cut += further_images(frame.source.file) > 0
        behind.add(frame, result)
        self.tally.add(result)
        if self.lines:
            rows = result.rows(self.score_thr, outlines=self.outlines)
            _print(dict(_line_about(frame), found=rows), self.lines)

    def print_tally(self, boxes: Boxes | None) -> None:
        if self.cut:
            print(f'{_count(self.cut, "file")} with several images: the first of each was used',
                  file=sys.stderr)  # fmt: skip
        for line in self.tally.lines():
            print(printable(line), file=sys.stderr)
        if self.tally.empty and hasattr(boxes, 'why_none'):
            images = f'{self.tally.empty} of {_count(self.tally.seen, "image")}'
            print(printable(f'no pose in {images}: {boxes.why_none()}'), file=sys.stderr)


def _line_about(frame: Frame) -> dict[str, Any]:
    """As :func:`~moganet_dense.writer.about`, with the path that opens the file."""
    line = dict(about(frame), file_name=frame.source.file)
    line.pop('video', None)
    return line


class _Behind:
    """Writes results in a thread, in order, in parallel with the network.

    Args:
        writer: a :class:`~moganet_dense.writer.Writer`; None: nothing is written.

    Attributes:
        count: results that were written, or had not to be.
    """

    def __init__(self, writer: Writer | None) -> None:
        self.writer, self.waiting, self.count = writer, deque[Future](), 0

    def add(self, frame: Frame, result: Any) -> None:
        """Hands a result over; waits if too many wait.

        Raises:
            UserError: an earlier one cannot be written.
        """
        if self.writer is None:
            self.count += 1
            return
        self.waiting.append(self.pool.submit(self.writer.add, frame, result))
        while len(self.waiting) > WAITING or (self.waiting and self.waiting[0].done()):
            self.waiting.popleft().result()
            self.count += 1

    def __enter__(self) -> '_Behind':
        self.pool = ThreadPoolExecutor(1, 'writes')
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        self.pool.shutdown()
        while self.waiting:
            failed = self.waiting.popleft().exception()
            self.count += failed is None
            if failed and not kind:  # else the first error is what counts
                raise failed


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
    with naming(chunk):
        placed = list(_with_boxes(chunk, boxes))
        known = [(frame, where) for frame, where in placed if isinstance(frame, Frame)]
        found = iter(
            look_at(partial(model, order='bgr', batch_size=batch_size), known, bool(boxes))
        )
    for frame, _ in placed:
        result = None if isinstance(frame, Fault) else _of_category(next(found), boxes)
        yield (result, None) if isinstance(result, Fault) else (frame, result)


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


def _print_summary(
    processed: int, skipped: int, interrupted: bool, out: Path | None, seconds: float
) -> None:
    line = 'interrupted: ' if interrupted else ''
    line += f'processed {_count(processed, "image")}'
    line += f', skipped {_count(skipped, "file")}' if skipped else ''
    line += f'; results in {printable(out)}' if out and processed else ''
    if processed > 1 and not interrupted:
        line += f'; {processed / seconds:.2g} images per second'
    print(line, file=sys.stderr)


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
        print_line = partial(
            console.print, markup=False, emoji=False, highlight=False, soft_wrap=True
        )
        yield partial(progress.advance, progress.add_task('images', total=total)), print_line
