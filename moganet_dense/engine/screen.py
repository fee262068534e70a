"""What commands show on the screen; all of it, and the rest, is in the log file of those that have
one.

Messages of this package and of a user's own modules are shown. What libraries log (config,
environment, options of each parameter, warnings to their own developers) goes to the file, errors
excepted.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from rich.console import Console
from rich.text import Text

from ..utils.printable import printable_lines

LIBRARIES = frozenset({
    'logging', 'warnings', 'importlib', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpose',
    'mmpretrain', 'torch', 'torchvision', 'timm', 'numpy', 'xtcocotools', 'pycocotools',
    'faster_coco_eval', 'tensorboard', 'wandb', 'mlflow',
})  # fmt: skip
"""Top-level packages whose messages are for the log file."""

_SITE_PACKAGES = ('site-packages', 'dist-packages')


def is_quiet(cfg: Config) -> bool:
    """Whether a config has few lines on the screen: it names a ScreenHook that is not verbose."""
    hook = (cfg.get('default_hooks') or {}).get('screen')
    return bool(hook) and not hook.get('verbose', False)


def verbose(cfg: Config) -> None:
    """Makes a config show all that is logged."""
    hook = (cfg.get('default_hooks') or {}).get('screen')
    if hook:
        hook.verbose = True


class Screen:
    """Standard output of the first process; nothing from the others, and nothing once it is gone:
    a training continues when its terminal or ``head`` leaves.

    Attributes:
        console: of rich.
        terminal: whether somebody watches: else lines have no colours and nothing is redrawn.
    """

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        self.on = is_main_process()

    def line(self, text: str, style: str = '') -> None:
        """Writes lines above a progress bar, if there is one."""
        with self.while_there():
            if self.terminal:
                self.console.print(Text(printable_lines(text), style))
            elif self.on:
                print(printable_lines(text), flush=True)

    @contextmanager
    def while_there(self) -> Iterator[None]:
        """Within, an output that is closed ends the writing and nothing else."""
        try:
            yield
        except (OSError, ValueError):  # a file that was closed is a ValueError
            self.on = self.terminal = False


_SAID_BY_THE_TABLE = 'The testing results of the whole dataset is empty.'
"""An error of mmdet's metric; the line of the table of metrics says so."""


class ScreenHandler(logging.Handler):
    """Shows what concerns the user.

    Args:
        screen: where.
        level: lowest level that is shown.
    """

    def __init__(self, screen: Screen, level: int) -> None:
        super().__init__(level)
        self.screen = screen
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Shows a message, each warning once."""
        caller = _caller(sys._getframe(1), _LOGGING | {__name__})
        if record.levelno < logging.ERROR and caller in LIBRARIES:
            return
        text = record.getMessage()
        if text == _SAID_BY_THE_TABLE:
            return
        if record.levelno < logging.WARNING:
            self.screen.line(text)
        elif text not in self.said:
            self.said.add(text)
            word = 'error' if record.levelno >= logging.ERROR else 'warning'
            self.screen.line(f'{word}: {text}', 'yellow')


_LOGGING = frozenset({'logging', 'mmengine.logging.logger'})


def _caller(frame: FrameType | None, without: frozenset[str] = _LOGGING) -> str:
    """The top-level package that logs or prints: of the first frame outside of some modules."""
    while frame is not None:
        module = frame.f_globals.get('__name__', '')
        if module not in without:
            return module.partition('.')[0]
        frame = frame.f_back
    return ''


def show_little(logger: MMLogger, screen: Screen) -> None:
    """Replaces a logger's stream by :class:`ScreenHandler`; its files stay."""
    for i, handler in enumerate(logger.handlers):
        if type(handler) is logging.StreamHandler:
            logger.handlers[i] = ScreenHandler(screen, handler.level)


@contextmanager
def libraries_in_log(quiet: bool) -> Iterator[None]:
    """Within, what libraries print, and Python's warnings about their lines, go to the log file
    alone; without ``quiet`` nothing changes."""
    if not quiet:
        yield
        return
    with warnings.catch_warnings(), redirect_stdout(_WithoutLibraries(sys.stdout)):
        before = warnings.showwarning

        def show(message: Any, category: type, filename: str, line: int, *rest: Any) -> None:
            if set(_SITE_PACKAGES) & set(Path(filename).parts):
                _into_file(warnings.formatwarning(message, category, filename, line))
            else:
                before(message, category, filename, line, *rest)

        warnings.showwarning = show
        yield


@contextmanager
def few_lines(stream: TextIO | None = None) -> Iterator[None]:
    """Within a command that has no log file, what libraries print, log and warn of is dropped,
    errors excepted, and messages of this package are plain lines.

    Args:
        stream: where those lines go; None: standard output.
    """
    logger = MMLogger.get_current_instance()
    before = list(logger.handlers)
    with redirect_stdout(stream or sys.stdout), libraries_in_log(True):
        show_little(logger, Screen())
        try:
            yield
        finally:
            logger.handlers[:] = before


class _WithoutLibraries:
    """Standard output but for what libraries print.

    Args:
        stream: where the rest goes, and what has all other attributes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line = ''

    def write(self, text: str) -> int:
        """Writes it, or keeps it for the log until its line ends."""
        if _caller(sys._getframe(1)) not in LIBRARIES:
            return self._stream.write(text)
        *lines, self._line = (self._line + text).split('\n')
        for line in filter(str.strip, lines):
            _into_file(line)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _into_file(text: str) -> None:
    """Writes to the files of the log alone."""
    fields = dict(name='mmengine', levelno=logging.INFO, levelname='INFO', msg=text.strip())
    for handler in MMLogger.get_current_instance().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(logging.makeLogRecord(fields))
