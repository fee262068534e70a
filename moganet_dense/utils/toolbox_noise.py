"""Hides messages of the toolboxes that are meant for their developers.

These are deprecations inside mmengine, the toolboxes and torch, and the line that an optional
plugin could not be imported. Users cannot act on them, and they bury important warnings. ``python
-W`` and PYTHONWARNINGS show the warnings, ``log_level=DEBUG`` in a config the log messages.
"""

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

_PACKAGES = r'(mm(cv|engine|det|seg|pose|pretrain)|torch|torchvision|timm|xtcocotools|imgaug)(\.|$)'
_DEPRECATIONS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
_AS_USER_WARNING = r'(?is).*(deprecated|upcoming release|default ``avg_non_ignore`` is false)'
_INSTALLED = r'.*[/\\](site|dist)-packages[/\\]'
_LOGGED = re.compile('will be deprecated in future')
_PRINTED = 'Could not import OneDL'  # printed by mmdet and mmseg, although at level DEBUG


@contextmanager
def without_toolbox_noise() -> Iterator[None]:
    """Context that drops such lines and lowers such log messages to DEBUG."""
    factory = logging.getLogRecordFactory()

    def record_of(*args: Any, **options: Any) -> logging.LogRecord:
        record = factory(*args, **options)
        if record.levelno == logging.WARNING and _LOGGED.search(str(record.msg)):
            record.levelno, record.levelname = logging.DEBUG, 'DEBUG'
        return record

    logging.setLogRecordFactory(record_of)
    try:
        with (
            redirect_stdout(_WithoutLine(sys.stdout)),
            redirect_stderr(_WithoutLine(sys.stderr)),  # where some commands send standard output
            warnings.catch_warnings(),
        ):
            if not sys.warnoptions:
                _ignore_warnings()
            yield
    finally:
        logging.setLogRecordFactory(factory)


def _ignore_warnings() -> None:
    for kind in _DEPRECATIONS:
        warnings.filterwarnings('ignore', category=kind, module=_PACKAGES)
    warnings.filterwarnings('ignore', _AS_USER_WARNING, UserWarning, _PACKAGES)
    # Python 3.12 and later print these when they first compile a module; it is named by its path
    warnings.filterwarnings('ignore', category=SyntaxWarning, module=_INSTALLED)


class _WithoutLine:
    """A stream without the line that starts with ``_PRINTED``.

    Args:
        stream: the stream for all other output; provides all other attributes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._dropped = False

    def write(self, text: str) -> int:
        """Writes text; ``print`` writes a line and its end separately."""
        end_of_dropped = self._dropped and text == '\n'
        self._dropped = text.startswith(_PRINTED) and not text.endswith('\n')
        if end_of_dropped or text.startswith(_PRINTED):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
