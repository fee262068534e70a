"""The errors that the command line prints as a line, without a traceback."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""


class UserError(Exception):
    """A mistake that the user can mend.

    The message's first line says it all: what was expected, what was found, what to do. More
    lines may show a layout.
    """


class WrongUsage(UserError):
    """Arguments of a command that do not fit each other, or the model: exit code 2."""


class Stopped(Exception):
    """Training was asked to stop, and has saved what it takes to go on."""
