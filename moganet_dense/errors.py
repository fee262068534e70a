"""The one error that the command line prints as a line, without a traceback."""


class UserError(Exception):
    """A mistake that the user can mend.

    The message's first line says it all: what was expected, what was found, what to do. More
    lines may show a layout.
    """


class Stopped(Exception):
    """Training was asked to stop, and has saved what it takes to go on."""
