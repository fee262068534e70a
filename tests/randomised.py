"""Models whose batch norms are not trivial, and how far two outputs are apart."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def randomised(model: nn.Module) -> nn.Module:
    """The model in eval mode with statistics of norms that are not 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.eval()


def tensors(value) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in tensors(item)]


def worst(found, wanted) -> float:
    pairs = zip(tensors(found), tensors(wanted), strict=True)
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)
