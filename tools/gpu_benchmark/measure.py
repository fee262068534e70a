"""Time, memory and launches of a function on a GPU, or on a CPU to try the script."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

import torch
from torch.utils._python_dispatch import TorchDispatchMode

LAUNCHES = ('cudaLaunchKernel', 'cuLaunchKernel', 'cudaGraphLaunch')


@dataclass(frozen=True)
class Machine:
    """Where and how thoroughly is measured.

    Attributes:
        device: 'cuda' or 'cpu'.
        seconds: that the repetitions of one row take, about.
        most: repetitions of one row.
    """

    device: str = 'cuda'
    seconds: float = 0.6
    most: int = 30

    def wait(self) -> None:
        """Until everything that was launched is done."""
        if self.device == 'cuda':
            torch.cuda.synchronize()

    def timed(self, run: Callable[[], object], warm_up: int = 3) -> dict[str, float]:
        """Median and quartiles of ``run`` in milliseconds; ``runs``: how often."""
        for _ in range(warm_up):
            run()
        self.wait()
        start = time.perf_counter()
        run()
        self.wait()
        once = max(time.perf_counter() - start, 1e-6)
        runs = int(min(self.most, max(5, self.seconds / once)))
        values = self._by_events(run, runs) if self.device == 'cuda' else _by_clock(run, runs)
        low, _, high = quantiles(values, n=4)
        return dict(ms=median(values), low=low, high=high, runs=runs)

    def _by_events(self, run: Callable[[], object], runs: int) -> list[float]:
        """Milliseconds on the GPU from one launch to the next, waiting for launches included."""
        events = [torch.cuda.Event(enable_timing=True) for _ in range(runs + 1)]
        events[0].record()
        for event in events[1:]:
            run()
            event.record()
        torch.cuda.synchronize()
        return [a.elapsed_time(b) for a, b in pairwise(events)]

    def kernel_us(self, runs: Sequence[Callable[[], object]]) -> float:
        """Microseconds of one of ``runs``, launched together as one CUDA graph.

        Single kernels take less time than launching them, so that only a graph shows their own.
        Different inputs in turn keep the second level cache from serving all of them.
        """
        if self.device == 'cpu':
            return 1e3 * self.timed(runs[0], warm_up=1)['ms']
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for run in runs:
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for run in runs:
                run()
        return 1e3 * self.timed(graph.replay)['ms'] / len(runs)

    def peak_mb(self, run: Callable[[], object]) -> float | None:
        """Most memory allocated while it runs, in MB (2^20 bytes); None on a CPU."""
        if self.device == 'cpu':
            return None
        self.wait()
        torch.cuda.reset_peak_memory_stats()
        run()
        self.wait()
        return torch.cuda.max_memory_allocated() / 2**20

    def launches(self, run: Callable[[], object]) -> int | None:
        """Kernels launched from the CPU; on a CPU, operators that are called."""
        if self.device == 'cpu':
            with Operators() as operators:
                run()
            return operators.count
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            run()
            torch.cuda.synchronize()
        return sum(e.count for e in found.key_averages() if e.key.startswith(LAUNCHES)) or None


class Operators(TorchDispatchMode):
    """Counts operators that compute something: views and what only reads a shape are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.count += not operator.is_view
        return operator(*args, **(kwargs or {}))


def _by_clock(run: Callable[[], object], runs: int) -> list[float]:
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        found.append(1e3 * (time.perf_counter() - start))
    return found
