"""Moving average of weights as in OpenMixup's published runs."""

from typing import Any

import torch
from mmengine.registry import MODELS

from ..toolboxes.device_parts.averaging import DeviceExponentialMovingAverage


@MODELS.register_module()
class WarmupEMA(DeviceExponentialMovingAverage):
    """Exponential moving average that follows the weights closely at first.

    The share of the average that is kept at each update, published as momentum, grows
    linearly from ``ratio * (1 - momentum)`` to ``1 - momentum`` over ``warmup`` updates.

    Args:
        model: the model to average.
        warmup: number of updates of the linear part.
        ratio: start of the linear part, relative to its end.
        momentum: share of the new weights after the linear part, as in mmengine.
        interval, device, update_buffers: as in mmengine.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        warmup: int,
        ratio: float = 0.9,
        momentum: float = 1e-4,
        interval: int = 1,
        device: Any = None,
        update_buffers: bool = False,
    ) -> None:
        super().__init__(model, momentum, interval, device, update_buffers)
        self.warmup, self.ratio = warmup, ratio

    def avg_func(self, averaged_param: Any, source_param: Any, steps) -> None:
        """Moves ``averaged_param`` towards ``source_param``, in place, at update ``steps``."""
        done = min(int(steps) / self.warmup, 1.0)
        kept = (1 - self.momentum) * (1 - (1 - done) * (1 - self.ratio))
        averaged_param.lerp_(source_param, 1 - kept)
