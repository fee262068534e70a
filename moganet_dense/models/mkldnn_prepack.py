"""Convolutions for inference on CPUs with their weight stored in oneDNN's layout.

PyTorch converts weights to oneDNN's layout at every call; for a backbone that reads and writes all
of its weights for every image. The layout depends on the shape of the map.
"""

from typing import Any, cast

import torch
import torch.nn as nn


class PackedConv2d(nn.Conv2d):
    """``conv`` with its weight in oneDNN's layout for the last input shape.

    If a gradient is needed, or oneDNN does not support the call, ``conv`` is used. A changed weight
    is packed again, unless it was changed through ``.data``.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        kernel, stride, dilation = (
            cast(tuple[int, int], each) for each in (conv.kernel_size, conv.stride, conv.dilation)
        )
        super().__init__(
            conv.in_channels, conv.out_channels, kernel, stride, cast(Any, conv.padding), dilation,
            conv.groups, device='meta',
        )  # fmt: skip
        self.weight, self.bias = conv.weight, conv.bias
        self.packed: torch.Tensor | None = None
        self.packed_for: tuple[Any, ...] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, geometry = self.weight, (self.padding, self.stride, self.dilation, self.groups)
        if torch.is_grad_enabled() or not _served(x, weight):
            return super().forward(x)
        state = (x.shape, weight.dtype, weight.data_ptr(), weight._version)
        if self.packed_for != state:
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, x.shape)
            self.packed_for = state
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.packed, self.bias, *geometry, 'none', [], ''
        )

    def __getstate__(self) -> dict:
        """A copy packs its own weight, since packed weights cannot be copied or pickled."""
        return vars(self) | dict(packed=None, packed_for=None)


def pack_convs(model: nn.Module) -> None:
    """Replaces a model's plain convolutions, in place, by packed ones of the same names."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Conv2d:
                setattr(module, name, PackedConv2d(child))


def _served(x: torch.Tensor, weight: torch.Tensor) -> bool:
    if (
        x.device.type != 'cpu'
        or x.dtype != weight.dtype
        or not torch.backends.mkldnn.is_available()
    ):
        return False
    if x.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return x.dtype == torch.float32
