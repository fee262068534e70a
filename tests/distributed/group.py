"""Groups of processes as a launcher starts them, forked from one that has done its imports."""

import math
import os
import pickle
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def free_port() -> int:
    """Below those that the kernel chooses (from 32768 on), which it could give away meanwhile."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(('127.0.0.1', port)):
            return port


class Group:
    """``size`` processes that each run ``work()`` as a rank; outputs go to ``folder``."""

    def __init__(
        self, size: int, work: Callable[[], Any], folder: Path, **environment: str
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.place = dict(
            WORLD_SIZE=str(size), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port())
        )
        self.place.update(environment)
        self.children = [self._fork(rank, work) for rank in range(size)]

    def _fork(self, rank: int, work: Callable[[], Any]) -> int:
        sys.stdout.flush()
        if child := os.fork():
            return child
        code = 1
        try:
            os.setpgrp()  # by which its own children are found
            with open(self.folder / f'log{rank}', 'w') as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            os.environ.update(self.place, RANK=str(rank), LOCAL_RANK=str(rank))
            (self.folder / f'result{rank}').write_bytes(pickle.dumps(work()))
            code = 0
        except SystemExit as error:
            code = error.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def codes(self, limit: float = math.inf) -> list[int | None]:
        """Exit codes, after the last has ended; minus the signal where one ended it.

        Args:
            limit: seconds after which those that still run are killed; their code is None.
        """
        end, codes = time.monotonic() + limit, {}
        while len(codes) < len(self.children):
            for child in set(self.children) - set(codes):
                found, status = os.waitpid(child, os.WNOHANG)
                if found:
                    codes[child] = os.waitstatus_to_exitcode(status)
                elif time.monotonic() > end:
                    os.killpg(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    codes[child] = None
            time.sleep(0.02)
        return [codes[child] for child in self.children]

    def left_after(self, seconds: float) -> int:
        """Groups of processes, of ranks that have ended, of which some still run after a time."""
        end = time.monotonic() + seconds
        while (left := sum(map(_runs, self.children))) and time.monotonic() < end:
            time.sleep(0.2)
        return left

    def results(self) -> list[Any]:
        """What each rank returned, after the last has ended."""
        codes = self.codes()
        if any(codes):
            logs = [(self.folder / f'log{r}').read_text()[-3000:] for r in range(len(codes))]
            raise RuntimeError(f'{self.folder}: ended with {codes}\n' + '\n----\n'.join(logs))
        return [pickle.loads((self.folder / f'result{r}').read_bytes()) for r in range(len(codes))]


def _runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
