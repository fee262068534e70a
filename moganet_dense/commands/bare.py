"""``predict`` of exported files with the standard library's argparse: the whole command line where
click is not installed, and ``python -m moganet_dense.runtime`` everywhere."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..utils.errors import UserError

HELP = dict(
    inputs='Pictures, videos, folders, globs, or - for a list on standard input.',
    out='Default: predictions; with --json nowhere.',
    json='Print a line of JSON for every picture.',
    score_thr='Objects below it are neither drawn nor told.',
    boxes='Pose: where persons are: as a model finds them, as a COCO file lists them, or the '
    'whole picture is one.',
    boxes_thr='Score of the persons that count.',
    boxes_class='Class whose boxes are taken; default: the only one, else person.',
    batch_size='Pictures, or persons, at once.',
    device='cuda, cuda:1 or cpu; default: the GPU if there is one.',
    threads='Of an exported file on a CPU; default: one for each core.',
)
"""Of the options, for both command lines."""

MEND = 'python -m pip install numpy opencv-python-headless onnxruntime'
"""What to do about a package that is missing."""


def run(arguments: Sequence[str]) -> int:
    """Runs ``predict``; returns the exit code. Any other command needs click."""
    command, *rest = arguments or ['--help']
    if command == '--version':
        print(f'moganet-dense, version {__version__}')
        return 0
    if command in ('-h', '--help'):
        rest = [command]
    elif command != 'predict':
        raise UserError(
            f'`moganet-dense {command}` needs click, which is not installed; python -m pip install '
            'click rich (without them `predict FILE.onnx INPUT...` runs, and nothing else)'
        )
    return predict(rest, 'moganet-dense predict')


def predict(arguments: Sequence[str], program: str = 'python -m moganet_dense.runtime') -> int:
    """Looks at pictures with an exported file; returns the exit code."""
    try:
        options = _parser(program).parse_intermixed_args(arguments)
    except SystemExit as end:  # argparse has printed help, or what is wrong
        return end.code

    def load(file: str) -> Any:
        from ..runtime import load

        return load(file, options.threads, options.device)

    return look(
        lambda: load(options.model),
        lambda: load(options.boxes),
        options.inputs,
        out=options.out,
        json=options.json,
        score_thr=options.score_thr,
        boxes=options.boxes,
        boxes_thr=options.boxes_thr,
        batch_size=options.batch_size,
        boxes_class=options.boxes_class,
    )


def look(
    load: Callable[[], Any],
    load_detector: Callable[[], Any],
    inputs: Sequence[str],
    *,
    out: str | None,
    json: bool,
    score_thr: float,
    boxes: str | None,
    boxes_thr: float,
    batch_size: int,
    boxes_class: str | None = None,
) -> int:
    """What both command lines do with their options; returns the exit code."""
    lines = sys.stdout if json else None
    folder = Path(out) if out else None if json else Path('predictions')
    with contextlib.redirect_stdout(sys.stderr):  # what the toolboxes tell is no data
        from ..inference.predict import persons, predict

        model = load()
        where = persons(model.task, boxes, boxes_thr, batch_size, load_detector, boxes_class)
        return predict(model, inputs, folder, lines, batch_size, score_thr, where)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        program,
        description='Look at pictures and videos with an exported file; without click and torch.',
        epilog='Exit codes: 0 done; 1 a mistake that the message says how to mend; 2 wrong usage; '
        '3 done, but some files could not be read; 130 interrupted, and written until there.',
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('model', metavar='FILE.onnx', help='That `moganet-dense export` wrote.')
    add('inputs', metavar='INPUT', nargs='+', help=HELP['inputs'])
    add('--out', metavar='DIR', help=HELP['out'])
    add('--json', action='store_true', help=HELP['json'])
    add('--score-thr', metavar='X', type=share, default=0.3, help=HELP['score_thr'])
    add('--boxes', metavar='DETECTOR.onnx|FILE.json|whole', help=HELP['boxes'])
    add('--boxes-thr', metavar='X', type=share, default=0.3, help=HELP['boxes_thr'])
    add('--boxes-class', metavar='NAME', help=HELP['boxes_class'])
    add('--batch-size', metavar='N', type=count, default=1, help=HELP['batch_size'])
    add('--device', metavar='D', help=HELP['device'])
    add('--threads', metavar='N', type=count, help=HELP['threads'])
    add('--runtime', choices=['onnx'], help='The one that there is without click and torch.')
    return parser


def share(text: str) -> float:
    """A number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f'{text} is not in the range 0 to 1')
    return number


def count(text: str) -> int:
    """A number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text} is not in the range from 1 on')
    return number
