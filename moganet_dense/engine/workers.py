"""Loader workers that survive a scheduler's signal, and end when the work is done.

A signal reaches every process of a job: a worker that ends at SIGTERM takes the iteration with
it. One that does not must be told to end, since that is how Python's exit ends what is left,
and it would wait for ever.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.runner import Runner


def leave_signals(worker_id: int) -> None:
    """Makes a worker leave the signals of a scheduler or a terminal to the main process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def workers_ended(runner: Runner) -> Iterator[None]:
    """Ends the workers of the runner's loaders at its end.

    Args:
        runner: whose loops are built, and its loaders' workers are not yet.
    """
    loops = [runner._train_loop, runner._val_loop, runner._test_loop]
    loaders = [loop.dataloader for loop in loops if hasattr(loop, 'dataloader')]
    for loader in loaders:
        if loader.num_workers:  # mmengine's own would only seed; samples are drawn by place
            loader.worker_init_fn = leave_signals
    try:
        yield
    finally:
        for loader in loaders:
            workers, loader._iterator = loader._iterator, None
            if workers is not None:  # they persist
                workers._shutdown_workers()
