"""Replaying captured CUDA graphs of the backbone at inference.

Launching the kernels of one forward pass from Python takes longer than a GPU needs to run them. A
CUDA graph is one launch. It is recorded for one shape and reads and writes fixed memory, so
graphs are kept per shape, inputs are copied in and outputs are copied out.

:class:`GraphCache` decides what is captured, replayed and discarded, for any
:class:`Capturer`; :class:`CudaCapturer` is the one that uses a GPU.
"""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
import torch.nn as nn
from mmengine.logging import print_log

from .kernels import reason_against

Maps = tuple[torch.Tensor, ...]
Forward = Callable[[torch.Tensor], Maps]

GRAPHS = 16  # kept at once: each holds its input and its maps
PATIENCE = 8  # sightings of a new shape since the oldest graph was used, before it is replaced
REMEMBERED = 256  # shapes whose sightings are counted
WARM_UP = 2  # runs before a capture, in which libraries allocate what a capture must not


class Capturer(Protocol):
    """Captures a function for one input."""

    def serves(self, x: torch.Tensor) -> bool:
        """Whether a function of ``x`` can be captured."""

    def capture(self, forward: Forward, x: torch.Tensor) -> Forward:
        """A function with the results of ``forward`` for inputs with the shape, strides, dtype
        and device of ``x``. It returns new tensors at every call."""

    def reset(self) -> None:
        """Discards the captures, which are not called again."""


class CudaCapturer:
    """Captures CUDA graphs that share one memory pool.

    Graphs may share a pool since none of them is replayed while another one's outputs are still
    needed: they are copied right after the replay, and a replay on another stream waits for that.
    """

    def __init__(self) -> None:
        self.pool: Any = None
        self.copied: Any = None

    def serves(self, x: torch.Tensor) -> bool:
        return x.device.type == 'cuda' and not torch.cuda.is_current_stream_capturing()

    def reset(self) -> None:
        self.pool, self.copied = None, None

    def capture(self, forward: Forward, x: torch.Tensor) -> Forward:
        device = torch.cuda.device(x.device)
        with device, torch.inference_mode(False), torch.no_grad(), _autocast_without_cache():
            placed = torch.empty_like(x).copy_(x)
            self._warm_up(forward, placed)
            if self.pool is None:
                self.pool, self.copied = torch.cuda.graph_pool_handle(), torch.cuda.Event()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode='thread_local'):
                maps = forward(placed)
        copied = self.copied

        def replay(x: torch.Tensor) -> Maps:
            with torch.cuda.device(x.device):
                copied.wait()  # for the copies of a replay on another stream
                with torch.inference_mode(False), torch.no_grad():
                    placed.copy_(x)
                    graph.replay()
                found = tuple(each.clone() for each in maps)
                copied.record()
            return found

        return replay

    def _warm_up(self, forward: Forward, x: torch.Tensor) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                forward(x)
        torch.cuda.current_stream().wait_stream(stream)


class GraphCache:
    """Replays the forward pass of a backbone for input shapes seen before.

    A shape seen for the first time runs as usual; the second time it is captured.
    At most ``size`` graphs are kept. When the cache is full, a new shape replaces the least
    recently used graph, but only after PATIENCE sightings: otherwise images of many different sizes
    would cost a capture each.

    The key contains everything that selects kernels: shape, strides, dtype and device of the input,
    autocast, PyTorch's switches for determinism and TF32, and whether our kernels are used. When a
    parameter or buffer of the module is changed or replaced, all graphs are discarded. If a capture
    fails, one warning is printed, and everything runs as usual from then on.

    The results are new tensors, equal to those of the module. Calls from several threads are
    serialised.

    Args:
        size: maximum number of graphs.
        capturer: None: :class:`CudaCapturer`.
    """

    def __init__(self, size: int = GRAPHS, capturer: Capturer | None = None) -> None:
        if size < 1:
            raise ValueError(f'size: expected at least 1 graph, found {size}')
        self.size = size
        self.capturer = capturer or CudaCapturer()
        self._lock = threading.Lock()
        self._failed = False
        self._weights: tuple | None = None
        self._calls = 0
        self._graphs: OrderedDict[Hashable, Forward] = OrderedDict()
        self._used: dict[Hashable, int] = {}
        self._seen: OrderedDict[Hashable, deque[int]] = OrderedDict()

    def __len__(self) -> int:
        """Number of graphs."""
        return len(self._graphs)

    def __deepcopy__(self, memo: dict) -> 'GraphCache':
        """A copied or unpickled module has its own captures."""
        return type(self)(self.size)

    def __reduce__(self) -> tuple:
        return type(self), (self.size,)

    def __call__(self, module: nn.Module, forward: Forward, x: torch.Tensor) -> Maps:
        """``forward(x)``, replayed if possible.

        Args:
            module: the module of the forward pass.
            forward: computes the maps.
            x: its input.
        """
        if not self._can_replay(module, x):
            return forward(x)
        with self._lock:
            self._check_weights(module)
            key = key_of(x)
            if key not in self._graphs and self._is_due(key):
                self._capture(key, forward, x)
            if key in self._graphs:
                self._graphs.move_to_end(key)
                self._used[key] = self._calls
                return self._graphs[key](x)
        return forward(x)

    def clear(self) -> None:
        """Discards all graphs and frees their memory."""
        self._graphs.clear()
        self._used.clear()
        self._seen.clear()
        self.capturer.reset()

    def _can_replay(self, module: nn.Module, x: torch.Tensor) -> bool:
        return not (
            self._failed
            or module.training
            or torch.is_grad_enabled()
            or not self.capturer.serves(x)
        )

    def _check_weights(self, module: nn.Module) -> None:
        weights = weights_of(module)
        if weights != self._weights:
            self.clear()
            self._weights = weights

    def _is_due(self, key: Hashable) -> bool:
        """Counts the sighting of an input without a graph; returns whether to capture one."""
        self._calls += 1
        sightings = self._seen.setdefault(key, deque(maxlen=PATIENCE))
        sightings.append(self._calls)
        self._seen.move_to_end(key)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        if len(self._graphs) < self.size:
            return len(sightings) > 1
        oldest = next(iter(self._graphs))
        return len(sightings) == PATIENCE and sightings[0] > self._used[oldest]

    def _capture(self, key: Hashable, forward: Forward, x: torch.Tensor) -> None:
        if len(self._graphs) == self.size:
            oldest, _ = self._graphs.popitem(last=False)
            del self._used[oldest]
        try:
            self._graphs[key] = self.capturer.capture(forward, x)
        except Exception as error:  # CUDA and the allocator raise several types of RuntimeError
            self.clear()
            self._failed = True
            reason = ' '.join(str(error).split())
            print_log(
                f'CUDA graphs are off: the capture failed for an input of {tuple(x.shape)} '
                f'({type(error).__name__}: {reason[:200]})',
                'current',
                logging.WARNING,
            )


def key_of(x: torch.Tensor) -> tuple:
    """Everything except the weights that selects the kernels of a forward pass."""
    device = x.device.type
    return (
        x.shape,
        x.stride(),
        x.dtype,
        x.device,
        autocast_dtype(device),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.enabled,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        reason_against(x) is None,
    )


def autocast_dtype(device: str) -> torch.dtype | None:
    """The autocast dtype of a device type, or None if it is off."""
    if hasattr(torch, 'get_autocast_dtype'):  # since PyTorch 2.4
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    if device == 'cuda':
        return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
    return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None


def _autocast_without_cache() -> AbstractContextManager:
    """The current autocast state, without sharing casts of weights with later code."""
    dtype = autocast_dtype('cuda')
    return torch.autocast('cuda', dtype, cache_enabled=False) if dtype else nullcontext()


def weights_of(module: nn.Module) -> tuple:
    """Addresses and version counters of a module's parameters and buffers.

    Written as a loop over plain dictionaries: it runs at every call, and ``parameters()`` takes
    several times as long.
    """
    tensors: list[torch.Tensor | None] = []
    modules = [module]
    for each in modules:  # grows while it is read
        tensors += each._parameters.values()
        tensors += each._buffers.values()
        modules += [child for child in each._modules.values() if child is not None]
    there = [tensor for tensor in tensors if tensor is not None]
    places = tuple([tensor.data_ptr() for tensor in there])
    try:
        return places, tuple([tensor._version for tensor in there])
    except RuntimeError:  # tensors made in inference mode have no counter
        return places, ()
