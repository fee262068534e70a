"""Standard output and error that may be closed or full, left by their reader, or in any encoding.

Python raises where a write to them fails, in the middle of whatever runs, and once more at exit,
with a code of its own. It raises, too, at a character that their encoding lacks.
"""

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


class Descriptor(io.RawIOBase):
    """A file descriptor that drops what follows the first failed write.

    Attributes:
        needed: whether that write raises its error.
        failed: that error.
    """

    def __init__(self, number: int, needed: bool) -> None:
        self.number, self.needed = number, needed
        self.failed: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.number

    def isatty(self) -> bool:
        return os.isatty(self.number)

    def write(self, data: bytes) -> int:
        if self.failed is None:
            try:
                return os.write(self.number, data)
            except OSError as error:
                self.failed = error
                if self.needed:
                    raise
                self._say(error)
        return len(data)

    def _say(self, error: OSError) -> None:
        if self.number == 1:
            text = f'standard output is lost ({error.strerror}), and the run continues without it\n'
            with suppress(OSError):
                os.write(2, text.encode())


@contextmanager
def lasting_streams() -> Iterator[Descriptor]:
    """Within, ``sys.stdout`` and ``sys.stderr`` raise at most once, and for no character.

    Streams that something else has replaced stay as they are. Closed ones are ``/dev/null``, so
    that no file that is opened gets their number. A log that cannot be printed is no error.

    Yields:
        standard output's descriptor.
    """
    _open_closed()
    before, logging.raiseExceptions = (sys.stdout, sys.stderr, logging.raiseExceptions), False
    output = Descriptor(1, needed=True)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(output, before[0])
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(Descriptor(2, needed=False), before[1])
    try:
        yield output
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # which is kept
                stream.flush()
        sys.stdout, sys.stderr, logging.raiseExceptions = before


def run_without_output() -> None:
    """From now on a failed write to standard output is reported, and does not end the command."""
    descriptor = getattr(getattr(sys.stdout, 'buffer', None), 'raw', None)
    if isinstance(descriptor, Descriptor):
        descriptor.needed = False


def loss_of(output: Descriptor) -> str:
    """Why standard output was lost, in words."""
    return f'standard output cannot be written: {output.failed and output.failed.strerror}'


def _text(descriptor: Descriptor, like: TextIO) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(descriptor), like.encoding, 'backslashreplace',
        line_buffering=like.line_buffering or descriptor.number == 2,
    )  # fmt: skip


def _open_closed() -> None:
    """Opens 0, 1 and 2, each of which else the next file that is opened would get."""
    for number, name in enumerate(('stdin', 'stdout', 'stderr')):
        try:
            os.fstat(number)
        except OSError:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
        if getattr(sys, f'__{name}__') is None:
            mode = 'w' if number else 'r'
            setattr(sys, f'__{name}__', os.fdopen(number, mode, encoding='utf-8', closefd=False))
        if getattr(sys, name) is None:
            setattr(sys, name, getattr(sys, f'__{name}__'))
