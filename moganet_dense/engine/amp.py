"""Mixed precision without a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn as nn
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Forward passes in bfloat16 on the CPU, where mmengine's AmpOptimWrapper needs a GPU.

    bfloat16 has the range of float32: the loss needs no scaling.
    """

    def initialize_count_status(self, model: nn.Module, *counts: int) -> None:
        """As mmengine's, at the start of training; necks and heads return float32 from then on."""
        from ..toolboxes.model_form import return_float32  # which imports mmcv

        return_float32(model)
        super().initialize_count_status(model, *counts)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
