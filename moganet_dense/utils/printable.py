"""Text from files and servers, made safe for a terminal and for a log.

A name can hold control characters: an escape sequence moves the cursor, renames the window or
colours what follows, a line break starts a line that looks like ours, and a bidirectional override
shows letters in another order (https://trojansource.codes). All of them are shown as escapes.
"""

import logging
import unicodedata

_CONTROLS = {'Cc', 'Cf', 'Cs', 'Zl', 'Zp'}
"""Unicode categories: controls, formats (bidirectional marks), surrogates, line breaks."""


def printable(text: object, limit: int | None = None) -> str:
    r"""One line of text in which every control character is an escape such as ``\x1b``.

    Args:
        text: anything; other than texts, as ``str`` has it.
        limit: characters that are kept; None: all.
    """
    shown = ''.join(map(_escaped, str(text)))
    return shown if limit is None or len(shown) <= limit else f'{shown[: limit - 3]}...'


def printable_lines(text: object) -> str:
    """Like :func:`printable`, but for text of several lines.

    Lines after the first stay lines only if they are indented, as those of our own messages are:
    a name with a line break in it cannot add a line of its own.
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


class PrintableRecord(logging.LogRecord):
    """A log record whose message is printable, whatever was put into it."""

    def getMessage(self) -> str:
        message = super().getMessage()
        return '\n'.join(map(printable, message.split('\n')))
