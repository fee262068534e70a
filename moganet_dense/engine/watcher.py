"""Notices a process of a training that is frozen, killed, or on a machine that is gone.

A launcher ends the others when a process of its own ends with an error. What it does not see is a
process that is stopped, or a machine that does not answer: the others would wait for it for hours.
So each rank has a watcher, a small process that notes in the group's store every two seconds that
its rank lives, and looks at the notes of others: rank 0's at those of all, theirs at rank 0's. As
a process of its own it does so whatever its rank computes: an evaluation in C++, the parsing of a
large file and a write keep the threads of Python waiting for long.
"""

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

BEAT, MISSED = 2.0, 16.0
"""Seconds between two notes, and without one until a rank is taken for gone."""
GRACE = 4.0
"""Seconds in which a rank may end by itself, of the others' end, before its watcher ends it."""
ASK = 2.0
"""Seconds in which all that are left note that a collective has failed."""
_TURN = 0.5  # seconds between two looks at the rank itself
_DONE = b'done'


class Watch:
    """The watcher of this rank: a process that ends it if another rank stops responding.

    Args:
        connect: makes a connection to the group's store.
    """

    def __init__(self, connect: Callable[[], dist.Store], rank: int, world: int) -> None:
        self.connect, self.rank, self.world = connect, rank, world
        self.store = connect()
        self.ended = False
        self.child, self.pipe = self._fork()
        threading.Thread(target=self._attend, daemon=True, name='watcher').start()
        atexit.register(self.end)

    def _fork(self) -> tuple[int, int]:
        read, write = os.pipe()
        parent = os.getpid()
        if child := os.fork():
            os.close(write)
            return child, read
        try:
            os.dup2(write, 3)
            os.closerange(4, 1 << 16)  # connections and devices are the parent's
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # it ends with its parent
            _Watcher(self.connect(), self.rank, self.world, parent).run()
        finally:
            os._exit(0)

    def _attend(self) -> None:
        """Ends this process at the word of its watcher; a watcher that was killed is replaced."""
        while not self.ended:
            word = os.read(self.pipe, 1)
            os.close(self.pipe)
            if word:
                os._exit(1)
            if not self.ended:
                with suppress(ChildProcessError):
                    os.waitpid(self.child, 0)
                self.child, self.pipe = self._fork()

    def done(self) -> None:
        """Notes that this rank ends in order; rank 0, which has the store, is the last one."""
        if self.ended:
            return
        with suppress(RuntimeError):
            self.store.set(f'beat/{self.rank}', _DONE)
            end = time.monotonic() + MISSED
            while self.rank == 0 and not self._all_done() and time.monotonic() < end:
                time.sleep(0.05)
        self.end()

    def _all_done(self) -> bool:
        keys = [f'beat/{other}' for other in range(self.world)]
        return self.store.check(keys) and all(self.store.get(key) == _DONE for key in keys)

    def end(self) -> None:
        """Ends the watcher."""
        if not self.ended:
            self.ended = True
            with suppress(OSError):
                os.kill(self.child, signal.SIGKILL)
                os.waitpid(self.child, 0)

    def gone(self) -> str:
        """Who has ended, in words, once a collective of all has failed."""
        try:
            self.store.set(f'failed/{self.rank}', '1')
            time.sleep(ASK)
            others = [other for other in range(self.world) if other != self.rank]
            lost = [r for r in others if not self.store.check([f'failed/{r}'])]
        except RuntimeError:  # the store was there
            lost = [0]
        named = ', '.join(f'{r} of {self.world}{place(self.store, r)}' for r in lost)
        return f'rank {named}' if lost else 'another process'


class _Watcher:
    """What runs in the watcher's process."""

    def __init__(self, store: dist.Store, rank: int, world: int, parent: int) -> None:
        self.store, self.rank, self.world, self.parent = store, rank, world, parent
        self.store.set_timeout(timedelta(seconds=MISSED * 0.75))
        self.watched = list(range(1, world)) if rank == 0 else [0]
        self.beats = 0

    def run(self) -> None:
        """Watches until the rank has ended."""
        self._see_all()
        turn = awake = beat = time.monotonic()
        while os.getppid() == self.parent:
            time.sleep(_TURN)
            now = time.monotonic()
            if now - turn > MISSED / 2:  # this machine or the whole job was suspended
                self._see_all()
            turn = now
            if _is_stopped(self.parent):
                if now - awake > MISSED + 2 * BEAT:  # the others have reported it
                    os.kill(self.parent, signal.SIGKILL)
                continue
            awake = now
            if now - beat >= BEAT:
                beat = now
                self._beat()

    def _see_all(self) -> None:
        self.seen = dict.fromkeys(self.watched, (b'', time.monotonic()))

    def _beat(self) -> None:
        self.beats += 1
        key = f'beat/{self.rank}'
        try:
            if not self.store.check([key]) or self.store.get(key) != _DONE:
                self.store.set(key, str(self.beats))
            for other in list(self.watched):
                self._look(other)
        except RuntimeError:  # the store is gone or frozen, and rank 0 with it
            if self._is_there_after(GRACE):
                self._end(0)

    def _look(self, other: int) -> None:
        key, now = f'beat/{other}', time.monotonic()
        found = self.store.get(key) if self.store.check([key]) else b''
        if found == _DONE:
            self.watched.remove(other)
        elif found != self.seen[other][0]:
            self.seen[other] = found, now
        elif now - self.seen[other][1] > MISSED and self._is_there_after(0):
            self._end(other)

    def _is_there_after(self, seconds: float) -> bool:
        """Whether the rank has not ended by itself."""
        end = time.monotonic() + seconds
        while os.getppid() == self.parent and time.monotonic() < end:
            time.sleep(0.1)
        return os.getppid() == self.parent

    def _end(self, lost: int) -> None:
        """Ends the rank at once, after one of the watchers has printed why."""
        if self.rank in (0, 1):
            with suppress(OSError):
                text = (
                    f'error: rank {lost} of {self.world}{place(self.store, lost)} has not '
                    f'responded for {MISSED:g} s, killed or frozen; this job stops; continue '
                    'with --resume\n'
                )
                os.write(2, text.encode())
        os.write(3, b'!')
        if self._is_there_after(GRACE):  # in a call that keeps Python's other threads waiting
            os.kill(self.parent, signal.SIGKILL)
        os._exit(0)


def place(store: dist.Store, rank: int) -> str:
    """Process and machine of a rank, in words."""
    if rank == 0:
        return ''
    try:
        return f' ({store.get(f"here/{rank}").decode()})'
    except (RuntimeError, UnicodeDecodeError):
        return ''


def _is_stopped(process: int) -> bool:
    """Whether SIGSTOP or SIGTSTP holds a process; a debugger's stop does not count."""
    try:
        status = Path(f'/proc/{process}/stat').read_text(errors='replace')
    except OSError:  # a system without /proc, or it has ended
        return False
    return status.rpartition(')')[2].split()[:1] == ['T']
