"""CARAFE (https://arxiv.org/abs/1905.02188): upsampling by kernels that differ from pixel to pixel.

``output[c, y, x] = sum over k of features[c, y // s + dy, x // s + dx] masks[g, k, y, x]``, with s
the scale, g the group of channel c, and (dy, dx) the offset of the k-th tap, zero outside.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """One tap after the other, so that memory is that of the output.

    Args:
        features: (B, C, H, W).
        masks: (B, group_size·kernel_size², H·scale_factor, W·scale_factor).
        output: (B, C, H·scale_factor, W·scale_factor), written.
        kernel_size: side of the kernels, odd.
        group_size: groups of channels with their own kernels.
        scale_factor: of the upsampling.
    """
    fine = _split_output(torch.zeros_like(output), group_size, scale_factor)
    weights = _split_masks(masks, kernel_size, group_size, scale_factor)
    for k, tap in enumerate(_taps(features, kernel_size, group_size)):
        fine += tap[..., None, :, None] * weights[:, :, k, None]
    output.copy_(fine.reshape(output.shape))


def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Gradients by the features and the masks.

    Args:
        top_grad: as the output of the forward.
        features: as in the forward.
        masks: as in the forward.
        bottom_grad: as ``features``, written.
        mask_grad: as ``masks``, written.
        kernel_size: as in the forward.
        group_size: as in the forward.
        scale_factor: as in the forward.
    """
    grad = _split_output(top_grad, group_size, scale_factor)
    weights = _split_masks(masks, kernel_size, group_size, scale_factor)
    radius = kernel_size // 2
    padded = torch.zeros_like(F.pad(features, [radius] * 4))
    by_mask = torch.zeros_like(weights)
    taps = zip(
        _taps(features, kernel_size, group_size), _taps_of(padded, kernel_size, group_size),
        strict=True,
    )  # fmt: skip
    for k, (tap, grad_of_tap) in enumerate(taps):
        by_mask[:, :, k] = (grad * tap[..., None, :, None]).sum(2)
        grad_of_tap += (grad * weights[:, :, k, None]).sum((-3, -1))
    height, width = features.shape[2:]
    bottom_grad.copy_(padded[:, :, radius : radius + height, radius : radius + width])
    mask_grad.copy_(by_mask.reshape(masks.shape))


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    **sizes: int,
) -> None:
    """As :func:`carafe_naive_forward`, with buffers for the backward.

    Args:
        features: see there.
        masks: see there.
        rfeatures: as ``features``, written: a copy, for the backward.
        routput: not used.
        rmasks: not used.
        output: see there.
        **sizes: ``kernel_size``, ``group_size``, ``scale_factor``: see there.
    """
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, **sizes)


def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    **sizes: int,
) -> None:
    """As :func:`carafe_naive_backward`, with buffers.

    Args:
        top_grad: see there.
        rfeatures: as the forward left it.
        masks: see there.
        rtop_grad: not used.
        rbottom_grad_hs: not used.
        rbottom_grad: not used.
        rmask_grad: not used.
        bottom_grad: see there.
        mask_grad: see there.
        **sizes: as in the forward.
    """
    carafe_naive_backward(top_grad, rfeatures, masks, bottom_grad, mask_grad, **sizes)


def _split_output(output: Tensor, groups: int, scale: int) -> Tensor:
    """(B, C, sH, sW) as (B, G, C/G, H, s, W, s)."""
    b, c, h, w = output.shape
    return output.reshape(b, groups, c // groups, h // scale, scale, w // scale, scale)


def _split_masks(masks: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    """(B, G·k², sH, sW) as (B, G, k², H, s, W, s)."""
    b, _, h, w = masks.shape
    return masks.reshape(b, groups, kernel_size**2, h // scale, scale, w // scale, scale)


def _taps(features: Tensor, kernel_size: int, groups: int) -> Iterator[Tensor]:
    """The features moved by each tap, (B, G, C/G, H, W), zero where they come from outside."""
    return _taps_of(F.pad(features, [kernel_size // 2] * 4), kernel_size, groups)


def _taps_of(padded: Tensor, kernel_size: int, groups: int) -> Iterator[Tensor]:
    """Views of padded features, one for each tap."""
    grouped = padded.unflatten(1, (groups, -1))
    height, width = (side - kernel_size + 1 for side in padded.shape[2:])
    for y in range(kernel_size):
        for x in range(kernel_size):
            yield grouped[..., y : y + height, x : x + width]
