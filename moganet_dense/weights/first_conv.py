"""Pretrained weights for images of other than three channels."""

from collections.abc import Mapping

import torch
import torch.nn as nn

COLOURS = 3


def for_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """The weight of a first convolution over colours, for another number of channels.

    As timm's ``adapt_input_conv`` (https://github.com/huggingface/pytorch-image-models,
    ``timm/models/_manipulate.py``): for one channel the sum over the colours, so that a grey image
    gives what its colour copy gave; else the colours repeated, times 3 / channels, so that the
    activations keep their size.

    Args:
        weight: (out, 3, h, w).
        channels: at least 1.

    Returns:
        (out, channels, h, w), of the same dtype.
    """
    exact = weight.double()
    if channels == 1:
        return exact.sum(1, keepdim=True).to(weight.dtype)
    repeats = -(-channels // COLOURS)
    repeated = exact.repeat(1, repeats, 1, 1)[:, :channels]
    return (repeated * (COLOURS / channels)).to(weight.dtype)


def fit_first_conv(
    tensors: Mapping[str, torch.Tensor], backbone: nn.Module
) -> tuple[Mapping[str, torch.Tensor], str]:
    """Adapts the first convolution of three-channel weights to a backbone of another number.

    Args:
        tensors: by the backbone's names.
        backbone: whose first convolution takes the images.

    Returns:
        the tensors, and what was done in a few words; '' if nothing was.
    """
    name, conv = next((n, m) for n, m in backbone.named_modules() if isinstance(m, nn.Conv2d))
    key, channels = f'{name}.weight', conv.in_channels
    weight = tensors.get(key)
    if channels == COLOURS or weight is None or weight.ndim != 4 or weight.shape[1] != COLOURS:
        return tensors, ''
    adapted = dict(tensors) | {key: for_channels(weight, channels)}
    return adapted, f'first convolution adapted from {COLOURS} to {channels} channels'
