"""The images and videos that a command is given, and results beside them."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..utils.errors import UserError
from .sources import Source, endings, find

LONGEST_LINE = 65_536
"""Characters of the name of a file on standard input, at most."""


def given_sources(
    inputs: Sequence[str], out: Path | None = None, allow_private: bool = False
) -> list[Source]:
    """The images and videos of inputs of a command, of which '-' stands for the lines of standard
    input; see :func:`~moganet_dense.data.sources.find`.

    Raises:
        UserError: there are none.
    """
    sources = find(list(_with_standard_input(inputs)), out, allow_private)
    if not sources:
        there = endings(inputs)
        suffixes = f'; suffixes found: {there}' if there else ''
        raise UserError(f'no images or videos in {" ".join(inputs)}{suffixes}')
    return sources


def _with_standard_input(inputs: Sequence[str]) -> Iterator[str]:
    for given in inputs:
        if given != '-':
            yield given
            continue
        if sys.stdin is None:
            raise UserError('expected a list of files on standard input, found it closed')
        if hasattr(sys.stdin, 'reconfigure'):  # file names may be any bytes
            sys.stdin.reconfigure(errors='surrogateescape')
        while line := sys.stdin.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise UserError(
                    'standard input: expected names of files, one a line, found a line of more '
                    f'than {LONGEST_LINE} characters'
                )
            if line.strip():
                yield line.rstrip('\r\n')


def require_other_file(target: Path, sources: Sequence[Source]) -> None:
    """Checks that a result replaces no input.

    Raises:
        UserError: the file to write is one of the inputs.
    """
    real = os.path.realpath(target)
    if os.path.exists(real) and any(os.path.realpath(source.file) == real for source in sources):
        raise UserError(f'{target} is an input, which the result would replace; use another --out')
