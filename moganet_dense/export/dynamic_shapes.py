"""Replaces layers of the toolboxes that would fix a graph to the size of its example, or that draw
random numbers."""

import torch
import torch.nn as nn


class AveragePool(nn.Module):
    """Adaptive average pooling as two products of matrices, for maps of any size.

    ONNX has none, and the exporter's way out needs sizes that divide. Bin i of n covers
    floor(i L / n) to ceil((i + 1) L / n) of a length L.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weights(x, 2) @ x @ self.weights(x, 3).transpose(0, 1)

    def weights(self, x: torch.Tensor, axis: int) -> torch.Tensor:
        """(bins, L): the weight of each position in each bin."""
        length = x.shape[axis]
        place = torch.arange(length, device=x.device)
        i = torch.arange(self.bins, device=x.device).unsqueeze(1)
        start = torch.div(i * length, self.bins, rounding_mode='floor')
        end = torch.div((i + 1) * length + self.bins - 1, self.bins, rounding_mode='floor')
        inside = (place >= start) & (place < end)
        return inside.to(x) / (end - start).to(x)


def free_sizes(model: nn.Module) -> None:
    """Replaces, in place, layers that would fix a graph to the size of its example.

    Adaptive pools become :class:`AveragePool`; mmseg's Upsample, which multiplies sizes in
    Python, becomes PyTorch's.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and isinstance(child.output_size, int):
                setattr(module, name, AveragePool(child.output_size))
            elif type(child).__name__ == 'Upsample' and getattr(child, 'scale_factor', None):
                options = dict(mode=child.mode, align_corners=child.align_corners)
                setattr(module, name, nn.Upsample(scale_factor=child.scale_factor, **options))


def fix_bases(model: nn.Module) -> bool:
    """Draws the bases of SegNeXt's head once, in place.

    mmseg's Hamburger starts its matrix decomposition for every image from random bases (``NMF2D``
    with ``rand_init``), so that two predictions of one image differ; a file has one draw.

    Returns:
        whether the model has such a head.
    """
    found = False
    for module in model.modules():
        ham = getattr(module, 'ham', None)
        if isinstance(ham, nn.Module) and getattr(ham, 'rand_init', False):
            width = module.ham_out.conv.out_channels // ham.S
            drawn = torch.rand(ham.S, width, ham.R, generator=torch.Generator().manual_seed(0))
            ham.register_buffer('bases', nn.functional.normalize(drawn, dim=1))
            ham.rand_init, found = False, True
    return found


def lengths(size: torch.Tensor) -> list[int]:
    """Height and width that a tensor holds, as numbers that torch.export keeps dynamic."""
    found = size.tolist()
    for length in found:
        torch._check(length >= 1)
    return found
