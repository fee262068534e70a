"""Measures how many images per second `predict` processes, with and without overlap of decoding,
the network and writing; prints a line for each size.

    python tools/measure_throughput.py CONFIG [CHECKPOINT] PHOTOGRAPH

Without a checkpoint the weights are random, and nothing is drawn on the images. The folders have
copies of the photograph with noise of their own, which take as long to decode as photographs do.
One thread for each part. CPU seconds of the parts do not depend on what else the machine runs, the
rates do: rounds with and without overlap alternate, and the best one of each is printed.
"""

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch

from moganet_dense import load_model
from moganet_dense.data import sources
from moganet_dense.inference import predict as module
from moganet_dense.writer import Writer

ROUNDS = 2
FOLDERS = {(640, 480): 8, (4000, 3000): 3}
"""Number of images by their width and height."""


class InPlace:
    """In the place of a pool of threads: work is done when it is submitted."""

    def __init__(self, *_: Any) -> None:
        pass

    def submit(self, work: Callable, *args: Any) -> Future:
        done: Future = Future()
        done.set_result(work(*args))
        return done

    def shutdown(self) -> None:
        pass


def in_turn(items: Iterable, size: int) -> Iterable:
    """In the place of reading ahead."""
    return items


def draw(photograph: str, folder: Path, size: tuple[int, int], count: int) -> None:
    image = cv2.resize(cv2.imread(photograph), size, interpolation=cv2.INTER_CUBIC)
    folder.mkdir()
    for i in range(count):
        noise = np.random.default_rng(i).integers(0, 9, image.shape, dtype=np.uint8)
        cv2.imwrite(str(folder / f'{i}.jpg'), cv2.add(image, noise))


@contextlib.contextmanager
def timed(parts: dict[str, float]) -> Iterator[None]:
    """Adds the CPU seconds of decoding and writing, each in its thread, to ``parts``."""

    def measured(name: str, work: Callable) -> Callable:
        def run(*args: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return work(*args, **options)
            finally:
                parts[name] += time.thread_time() - start

        return run

    with (
        patch.object(sources, 'decode', measured('decoding', sources.decode)),
        patch.object(Writer, 'add', measured('writing', Writer.add)),
    ):
        yield


def run(model: Any, folder: Path, overlap: bool) -> tuple[float, dict[str, float]]:
    """Seconds of a run, and CPU seconds of its parts."""
    parts = dict(decoding=0.0, writing=0.0)
    with contextlib.ExitStack() as stack:
        out = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.enter_context(timed(parts))
        if not overlap:
            stack.enter_context(patch.object(module, 'ahead', in_turn))
            stack.enter_context(patch.object(module, 'ThreadPoolExecutor', InPlace))
        wall, cpu = time.perf_counter(), time.process_time()
        module.predict(model, [str(folder)], out)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, dict(parts, network=cpu - sum(parts.values()))


def main(config: str, *rest: str) -> None:
    *checkpoint, photograph = rest
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = load_model(config, checkpoint[0] if checkpoint else 'random', device='cpu')
    with tempfile.TemporaryDirectory() as temporary:
        for size, count in FOLDERS.items():
            folder = Path(temporary, f'{size[0]}')
            draw(photograph, folder, size, count)
            run(model, folder, True)
            rounds = [(run(model, folder, True), run(model, folder, False)) for _ in range(ROUNDS)]
            rates = [count / min(pair[k][0] for pair in rounds) for k in (0, 1)]
            parts = {name: min(pair[0][1][name] for pair in rounds) / count
                     for name in ('decoding', 'network', 'writing')}  # fmt: skip
            shown = ', '.join(f'{name} {seconds:.3f}' for name, seconds in parts.items())
            print(f'{Path(config).stem}, {size[0]} x {size[1]}: {rates[0]:.2f} images/s, '
                  f'one after the other {rates[1]:.2f}; CPU s per image: {shown}')  # fmt: skip


if __name__ == '__main__':
    main(*sys.argv[1:])
