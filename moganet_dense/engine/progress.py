"""A progress bar on a terminal, and plain lines in a file."""

from typing import Protocol

from rich.progress import BarColumn, Progress, TextColumn

from .screen import Screen


class Gauge(Protocol):
    """Shows how far something is."""

    def begin(self, title: str, total: int, last: bool = True) -> None:
        """Starts at nothing of ``total``; what was begun before has ended. ``last``: the end is
        worth a line of its own, where lines are all there is."""

    def due(self, done: int, now: float) -> bool:
        """Whether something would be shown now.

        Args:
            done: steps.
            now: seconds.
        """

    def move(self, done: int, facts: str) -> None:
        """Shows how far it is."""

    def end(self) -> None:
        """Leaves nothing on the screen; may be called at any time."""


def gauge(screen: Screen, interval: int) -> Gauge:
    """What suits a screen.

    Args:
        screen: terminal or file.
        interval: steps from a line to the next, in files.
    """
    return Bar(screen) if screen.terminal else Lines(screen, interval)


class Bar:
    """A line that is redrawn, ten times a second at most."""

    PERIOD = 0.1
    """Seconds from a drawing to the next: reading a loss waits for the GPU."""

    def __init__(self, screen: Screen) -> None:
        self.screen, self.total, self.drawn = screen, 0, 0.0
        self.progress: Progress | None = None

    def begin(self, title: str, total: int, last: bool = True) -> None:
        """See :class:`Gauge`."""
        self.end()
        self.total, self.drawn = total, 0.0
        self.progress = Progress(
            TextColumn('{task.description}', markup=False),
            BarColumn(bar_width=16),
            TextColumn('{task.completed:.0f}/{task.total:.0f}'),
            TextColumn('{task.fields[facts]}', markup=False),
            console=self.screen.console,
            auto_refresh=False,  # no thread of its own beside loaders that fork
            transient=True,
        )
        self.task = self.progress.add_task(title, total=total, facts='')
        with self.screen.while_there():
            self.progress.start()
            self.progress.refresh()

    def due(self, done: int, now: float) -> bool:
        """See :class:`Gauge`."""
        shown = now - self.drawn >= self.PERIOD or done == self.total
        if shown:
            self.drawn = now
        return shown

    def move(self, done: int, facts: str) -> None:
        """See :class:`Gauge`."""
        if self.progress:
            with self.screen.while_there():
                self.progress.update(self.task, completed=done, facts=facts, refresh=True)

    def end(self) -> None:
        """See :class:`Gauge`."""
        if self.progress:
            with self.screen.while_there():
                self.progress.stop()
        self.progress = None


class Lines:
    """A line after the first step, then one each ``interval`` steps, and one after the last."""

    def __init__(self, screen: Screen, interval: int) -> None:
        self.screen, self.interval = screen, interval
        self.title, self.total, self.last, self.first = '', 0, True, True

    def begin(self, title: str, total: int, last: bool = True) -> None:
        """See :class:`Gauge`."""
        self.title, self.total, self.last = title, total, last

    def due(self, done: int, now: float) -> bool:
        """See :class:`Gauge`."""
        first, self.first = self.first, False
        return first or done % self.interval == 0 or (self.last and done == self.total)

    def move(self, done: int, facts: str) -> None:
        """See :class:`Gauge`."""
        self.screen.line(f'{self.title} {done}/{self.total}  {facts}'.rstrip())

    def end(self) -> None:
        """See :class:`Gauge`."""
