"""``python -m moganet_dense.runtime FILE INPUT... --out DIR``: needs no click and no torch."""

import argparse
import sys
from pathlib import Path

from ..data.inputs import Fault, find, frames
from ..errors import UserError
from ..writing import Writer
from .model import load

SKIPPED = 3
"""Exit code: done, but some files could not be read; the same as of ``predict``."""


def main() -> int:
    """Looks at pictures with an exported file; returns the exit code."""
    parser = argparse.ArgumentParser('python -m moganet_dense.runtime', description=__doc__)
    parser.add_argument('file', help='that `moganet-dense export --format onnx` wrote')
    parser.add_argument('inputs', nargs='+', help='pictures, folders, globs or videos')
    parser.add_argument('--out', type=Path, required=True, help='folder for the results')
    parser.add_argument('--score-thr', type=float, default=0.3)
    parser.add_argument('--threads', type=int, help='default: one for each core')
    options = parser.parse_args()
    try:
        return look(options.file, options.inputs, options.out, options.score_thr, options.threads)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


def look(file: str, inputs: list[str], out: Path, score_thr: float, threads: int | None) -> int:
    """Writes what a file sees; persons of a pose estimator fill their pictures.

    Raises:
        UserError: the file is none of ours, or there is nothing to look at.
    """
    model, sources, skipped = load(file, threads), find(inputs, leave_out=out), 0
    if model.task == 'backbone':
        raise UserError(f'{file} holds a backbone alone, which sees nothing; call it in Python')
    if not sources:
        raise UserError(f'no pictures or videos in {" ".join(inputs)}')
    with Writer(out, score_thr) as writer:
        for frame in frames(sources):
            if isinstance(frame, Fault):
                skipped += 1
                print(f'skipped: {frame.reason}', file=sys.stderr)
            else:
                writer.add(frame, model(frame.image, order='bgr'))
    return SKIPPED if skipped else 0


if __name__ == '__main__':
    sys.exit(main())
