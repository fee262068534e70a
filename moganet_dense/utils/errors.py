"""Errors that the command line prints as one line, without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as in shells."""
STOPPED = 75
"""Exit code of a training that was stopped and saved: EX_TEMPFAIL of sysexits.h, try again."""


class UserError(Exception):
    """A mistake of the user, with its fix.

    The first line of the message is complete: what was expected, what was found, and the fix. More
    lines may show a layout.
    """


class WrongUsage(UserError):
    """Arguments of a command that contradict each other or the model: exit code 2."""


class Stopped(SystemExit):
    """Training was stopped by a signal, and saved to be resumed.

    If nothing catches it, as in the scripts of the toolboxes, Python exits with code 75.
    """

    def __init__(self, text: str) -> None:
        super().__init__(STOPPED)
        self.text = text

    def __str__(self) -> str:
        return self.text


class Interrupted(SystemExit):
    """A signal has stopped the program at once, which was already reported.

    Args:
        number: of the signal; the exit code is 128 + number, as in shells.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Context that replaces any error with one line that starts with ``what``.

    For code that reads or builds input of the user. The original error is the cause, and the
    command line shows it with MOGANET_TRACEBACK=1.

    Raises:
        UserError: in place of any error; a UserError is passed unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'{what}: {reason_of(error)} [{type(error).__name__}]') from error


def reason_of(error: BaseException) -> str:
    """The text of an error in one line; its type if it has none."""
    return ' '.join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for the end of ours; its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
