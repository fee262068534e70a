"""Keeps from the user of the command line what the toolboxes say to their own developers.

Deprecations inside of mmengine, the toolboxes and torch, and the line that an optional plugin could
not be imported: nobody can act on them, and a warning that matters is lost among them.
``python -W`` and PYTHONWARNINGS show the warnings, ``log_level=DEBUG`` in a config what is logged.
"""

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

_PACKAGES = r'(mm(cv|engine|det|seg|pose|pretrain)|torch|torchvision|timm|xtcocotools|imgaug)(\.|$)'
_DEPRECATIONS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
_AS_USER_WARNING = r'(?is).*(deprecated|upcoming release|default ``avg_non_ignore`` is false)'
_LOGGED = re.compile('will be deprecated in future')
_PRINTED = 'Could not import OneDL'  # mmdet and mmseg print it, at level DEBUG and for no logger


@contextmanager
def without_toolbox_noise() -> Iterator[None]:
    """Within, such lines are dropped, and such log messages have the level DEBUG."""
    factory = logging.getLogRecordFactory()

    def record_of(*args: Any, **options: Any) -> logging.LogRecord:
        record = factory(*args, **options)
        if record.levelno == logging.WARNING and _LOGGED.search(str(record.msg)):
            record.levelno, record.levelname = logging.DEBUG, 'DEBUG'
        return record

    logging.setLogRecordFactory(record_of)
    try:
        with redirect_stdout(_WithoutLine(sys.stdout)), warnings.catch_warnings():
            if not sys.warnoptions:
                _ignore_warnings()
            yield
    finally:
        logging.setLogRecordFactory(factory)


def _ignore_warnings() -> None:
    for kind in _DEPRECATIONS:
        warnings.filterwarnings('ignore', category=kind, module=_PACKAGES)
    warnings.filterwarnings('ignore', _AS_USER_WARNING, UserWarning, _PACKAGES)


class _WithoutLine:
    """Standard output but for the line that starts with ``_PRINTED``.

    Args:
        stream: where the rest goes, and what has all other attributes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._dropped = False

    def write(self, text: str) -> int:
        """Writes it; ``print`` writes a line and its end one after the other."""
        end_of_dropped = self._dropped and text == '\n'
        self._dropped = text.startswith(_PRINTED) and not text.endswith('\n')
        if end_of_dropped or text.startswith(_PRINTED):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
