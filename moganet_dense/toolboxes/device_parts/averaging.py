"""The toolboxes' moving averages of weights, whose tensors are updated together."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import torch
from mmengine.model import ExponentialMovingAverage, MomentumAnnealingEMA
from mmengine.registry import DefaultScope
from torch import Tensor

Pairs = Iterable[tuple[Tensor, Tensor]]
"""Averages, and the tensors of the model that they follow."""


class _Together:
    """Tensors of one device and dtype, with the methods that an ``avg_func`` calls.

    Args:
        tensors: any shapes.
    """

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors

    def lerp_(self, others: '_Together', weight: float) -> None:
        """Moves each tensor towards the other one, in place."""
        torch._foreach_lerp_(self.tensors, others.tensors, weight)

    def mul_(self, factor: float) -> '_Together':
        """Multiplies each tensor, in place."""
        if self.tensors[0].element_size() > 2:
            torch._foreach_mul_(self.tensors, factor)
        else:  # on a CPU the operator would round the factor to 16 bits, too
            for tensor in self.tensors:
                tensor.mul_(factor)
        return self

    def add_(self, others: '_Together', alpha: float) -> None:
        """Adds ``alpha`` times the other one to each tensor, in place."""
        torch._foreach_add_(self.tensors, others.tensors, alpha=alpha)


class UpdatesTogether:
    """For mmengine's averages: a few launches an update, in place of one for each tensor.

    Mixed into a class whose ``avg_func`` calls methods of :class:`_Together` only.
    """

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


_SCOPES = dict(mmdet='mmdet.models.layers.ema', mmpose='mmpose.engine.hooks.ema_hook')
"""Modules that have an ``ExpMomentumEMA``, by scope."""


class DeviceExpMomentumEMA(UpdatesTogether, ExponentialMovingAverage):
    """mmdet's or mmpose's moving average that follows the weights closely at first.

    The default scope decides the toolbox: both compute the same, and round differently.

    Args:
        model: the model to average.
        momentum: share of the new weights at the end.
        gamma: updates after which the rest of that share has fallen to 1 / e.
        interval, device, update_buffers: as in mmengine.

    Raises:
        ValueError: the default scope is neither mmdet nor mmpose, or gamma is not positive.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        momentum: float = 0.0002,
        gamma: int = 2000,
        interval: int = 1,
        device: Any = None,
        update_buffers: bool = False,
    ) -> None:
        scope = DefaultScope.get_current_instance()
        name = scope.scope_name if scope else None
        if name not in _SCOPES:
            raise ValueError(
                f'{type(self).__name__}: expected a default_scope of {list(_SCOPES)}, found {name}'
            )
        if gamma <= 0:
            raise ValueError(f'{type(self).__name__}: expected a positive gamma, found {gamma}')
        super().__init__(model, momentum, interval, device, update_buffers)
        self.gamma = gamma
        self.formula = import_module(_SCOPES[name]).ExpMomentumEMA.avg_func

    def avg_func(self, averaged_param: Any, source_param: Any, steps: Tensor) -> None:
        """Moves ``averaged_param`` towards ``source_param``, in place, at update ``steps``."""
        self.formula(self, averaged_param, source_param, steps)
