"""Text from files and servers, made safe for a terminal and for a log.

A name can contain control characters: an escape sequence moves the cursor, renames the window or
colours the following text, a line break starts a line that looks like ours, and a bidirectional
override shows letters in another order (https://trojansource.codes). All of them are shown as
escapes.
"""

import logging
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_CONTROLS = {'Cc', 'Cf', 'Cs', 'Zl', 'Zp'}
"""Unicode categories: controls, formats (bidirectional marks), surrogates, line breaks."""


def printable(text: object, limit: int | None = None) -> str:
    r"""One line of text in which every control character is an escape such as ``\x1b``.

    Args:
        text: any object, converted by ``str``.
        limit: maximum number of characters; None: all.
    """
    shown = ''.join(map(_escaped, str(text)))
    return shown if limit is None or len(shown) <= limit else f'{shown[: limit - 3]}...'


def printable_lines(text: object) -> str:
    """Like :func:`printable`, for text of several lines.

    Lines after the first are kept as lines only if they are indented, as in our messages, so a name
    with a line break cannot add a line.
    """
    first, *rest = str(text).split('\n')
    lines = [printable(first)]
    for line in rest:
        if line.startswith('  ') or not line:
            lines.append(printable(line))
        else:
            lines[-1] += f'\\n{printable(line)}'
    return '\n'.join(lines)


def _escaped(character: str) -> str:
    if ' ' <= character <= '~' or unicodedata.category(character) not in _CONTROLS:
        return character
    return character.encode('unicode_escape', 'surrogatepass').decode('ascii')


class _PrintableRecord(logging.LogRecord):
    def getMessage(self) -> str:
        message = super().getMessage()
        return '\n'.join('\t'.join(map(printable, x.split('\t'))) for x in message.split('\n'))


@contextmanager
def printable_logs() -> Iterator[None]:
    """Context that escapes control characters in log messages and warnings, since those of the
    toolboxes contain keys of checkpoints and names of files and classes, too."""
    factory, form = logging.getLogRecordFactory(), warnings.formatwarning
    logging.setLogRecordFactory(_PrintableRecord)
    warnings.formatwarning = lambda message, *place: form(printable(message), *place)
    try:
        yield
    finally:
        logging.setLogRecordFactory(factory)
        warnings.formatwarning = form
