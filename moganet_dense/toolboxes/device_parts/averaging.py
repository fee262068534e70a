"""mmengine's moving averages of weights, whose tensors are updated together."""

from collections.abc import Iterable
from typing import Any

import torch
from mmengine.model import ExponentialMovingAverage, MomentumAnnealingEMA
from torch import Tensor

Pairs = Iterable[tuple[Tensor, Tensor]]
"""Averages, and the tensors of the model that they follow."""


class _Together:
    """Tensors of one device and dtype, with the method that mmengine's ``avg_func`` calls.

    Args:
        tensors: any shapes.
    """

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors

    def lerp_(self, others: '_Together', weight: float) -> None:
        """Moves each tensor towards the other one, in place."""
        torch._foreach_lerp_(self.tensors, others.tensors, weight)


class UpdatesTogether:
    """For mmengine's averages: a few launches an update, in place of one for each tensor."""

    steps: Tensor
    interval: int
    update_buffers: bool
    avg_parameters: dict[str, Tensor]
    module: torch.nn.Module
    avg_func: Any

    @torch.no_grad()
    def update_parameters(self, model: torch.nn.Module) -> None:
        """Updates the average; as mmengine's, bitwise.

        Args:
            model: the model that is averaged.
        """
        followed = model.state_dict() if self.update_buffers else dict(model.named_parameters())
        pairs = [(average, followed[name]) for name, average in self.avg_parameters.items()]
        steps = int(self.steps)
        if steps == 0:
            _copy(pairs)
        elif steps % self.interval == 0:
            floats = [pair for pair in pairs if pair[0].is_floating_point()]
            for averages, others in _grouped(floats):
                self.avg_func(_Together(averages), _Together(others), self.steps)
        if not self.update_buffers:
            _copy(zip(self.module.buffers(), model.buffers(), strict=False))
        self.steps += 1


def _copy(pairs: Pairs) -> None:
    for averages, others in _grouped(pairs):
        torch._foreach_copy_(averages, others)


def _grouped(pairs: Pairs) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Lists of which a GPU updates each with few launches: one device, one dtype, equal strides.

    A tensor that is there twice (tied weights) is in two lists, since mmengine updates it twice.
    """
    groups: dict[tuple, tuple[list[Tensor], list[Tensor]]] = {}
    seen: dict[int, int] = {0: 0}
    for average, other in pairs:
        device = average.device
        if other.device != device:
            other = other.to(device)
        place = average.data_ptr()  # 0 if it is empty
        times = seen.get(place, 0)
        alike = average.stride() == other.stride()
        averages, others = groups.setdefault(
            (device, average.dtype, other.dtype, alike, times), ([], [])
        )
        seen[place] = times + 1 if place else 0
        averages.append(average)
        others.append(other)
    return list(groups.values())


class DeviceExponentialMovingAverage(UpdatesTogether, ExponentialMovingAverage):
    """mmengine's exponential moving average of weights."""


class DeviceMomentumAnnealingEMA(UpdatesTogether, MomentumAnnealingEMA):
    """mmengine's moving average that follows the weights closely at first."""
