"""The errors that the command line prints as a line, without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""
STOPPED = 75
"""Exit code of a training that was stopped and saved: EX_TEMPFAIL of sysexits.h, try again."""


class UserError(Exception):
    """A mistake of the user, with its fix.

    The message's first line says it all: what was expected, what was found, what to do. More
    lines may show a layout.
    """


class WrongUsage(UserError):
    """Arguments of a command that do not fit each other, or the model: exit code 2."""


class Stopped(SystemExit):
    """Training was asked to stop, and has saved what it takes to resume.

    Where nobody catches it, as in the toolboxes' own scripts, Python ends with exit code 75.
    """

    def __init__(self, text: str) -> None:
        super().__init__(STOPPED)
        self.text = text

    def __str__(self) -> str:
        return self.text


class Interrupted(SystemExit):
    """A signal has stopped the program at once, which has been said.

    Args:
        number: of the signal; the exit code is 128 more, as shells have it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turns any error within into one line that starts with ``what``.

    For what reads or builds what the user wrote; the error itself stays as the cause, and
    the command line shows it with MOGANET_TRACEBACK=1.

    Raises:
        UserError: there was one; one of ours passes as it is.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'{what}: {reason_of(error)} [{type(error).__name__}]') from error


def reason_of(error: BaseException) -> str:
    """The text of an error in one line; its type where it has none."""
    return ' '.join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for the end of ours; its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
