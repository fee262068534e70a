"""Logs losses and gradient norms without waiting for the GPU after every iteration."""

from typing import Any

import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS

from .device_values import must_wait

MOST = 1000  # values that stay on the device until they are read


class DeviceHistoryBuffer(HistoryBuffer):
    """mmengine's HistoryBuffer, whose latest values may still be on the device.

    They are copied to the CPU, all at once, when the history is read: its statistics, its
    data, or a copy of it for a checkpoint. In a checkpoint it is a plain HistoryBuffer.

    Args:
        buffer: initial values and counts.
    """

    def __init__(self, buffer: HistoryBuffer | None = None) -> None:
        self._waiting: list[torch.Tensor] = []
        values, counts = buffer.data if buffer else ((), ())
        super().__init__(values, counts, buffer.max_length if buffer else 1_000_000)

    def wait(self, value: torch.Tensor) -> None:
        """Appends a value of one element, on any device, with count 1."""
        self._waiting.append(value.detach().reshape(()))
        if len(self._waiting) >= MOST:
            self._fetch()

    def update(self, log_val: float, count: int = 1) -> None:
        """As mmengine's, after the pending values."""
        self._fetch()
        super().update(log_val, count)

    def _fetch(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            for value in torch.stack(waiting).tolist():
                super().update(value)

    def __reduce__(self) -> tuple:
        """As a plain buffer, which every version of mmengine reads."""
        return HistoryBuffer, (*self.data, self.max_length)

    def __deepcopy__(self, memo: dict) -> HistoryBuffer:
        return HistoryBuffer(*self.data, self.max_length)

    # mmengine's methods read these two attributes: a reader gets pending values, too
    @property
    def _log_history(self) -> Any:
        self._fetch()
        return self._values

    @_log_history.setter
    def _log_history(self, values: Any) -> None:
        self._values = values

    @property
    def _count_history(self) -> Any:
        self._fetch()
        return self._counts

    @_count_history.setter
    def _count_history(self, counts: Any) -> None:
        self._counts = counts


@HOOKS.register_module()
class DeviceRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's RuntimeInfoHook, which keeps losses on the GPU until they are read.

    mmengine's hook reads every loss after every iteration, so the CPU waits for the GPU instead of
    launching the next iteration. Here losses are read when the log is written. The logged values
    are the same.
    """

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        hub, rest = runner.message_hub, {}
        for name, value in (outputs or {}).items():
            if isinstance(value, torch.Tensor) and value.numel() == 1 and must_wait(value):
                _note(hub, f'train/{name}', value)
            else:
                rest[name] = value
        super().after_train_iter(runner, batch_idx, data_batch, rest)


def log_norm_without_waiting(wrapper: OptimWrapper) -> None:
    """Keeps the norms of clipped gradients on the GPU until they are read, in place.

    mmengine reads the norm before every step. Norms of distributed tensors are read as before.

    Args:
        wrapper: with ``clip_grad``.
    """
    clip, name = wrapper.clip_func, f'train/{wrapper.grad_name}'

    def clipped(parameters: list[torch.Tensor], **options: Any) -> torch.Tensor | None:
        norm = clip(parameters, **options)
        if type(norm) is torch.Tensor and must_wait(norm):
            _note(wrapper.message_hub, name, norm)
            return None  # which mmengine does not log
        return norm

    wrapper.clip_func = clipped


def _note(hub: MessageHub, name: str, value: torch.Tensor) -> None:
    buffer = hub.log_scalars.get(name)
    if not isinstance(buffer, DeviceHistoryBuffer):
        buffer = hub.log_scalars[name] = DeviceHistoryBuffer(buffer)
        hub._set_resumed_keys(name, True)
    buffer.wait(value)
