"""Deformable convolution v1 and v2 (https://arxiv.org/abs/1703.06211, .../1811.11168).

By torchvision, whose offsets and masks have the same layout.
"""

from typing import NamedTuple

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from .precision import kernel_dtype, no_autocast


class Geometry(NamedTuple):
    """Arguments of torchvision's operator, in its order."""

    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    groups: int
    offset_groups: int


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **sizes: int,
) -> None:
    """Convolution at positions moved by ``offset``.

    Args:
        input: (B, C, H, W).
        weight: (O, C / group, kH, kW).
        offset: (B, 2·deformable_group·kH·kW, H', W'), dy and dx of each tap.
        output: (B, O, H', W'), written.
        columns: not used.
        ones: not used.
        **sizes: see :func:`_geometry`.
    """
    output.copy_(_convolve(input, weight, offset, None, None, _geometry(**sizes)).view_as(output))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **sizes: int,
) -> None:
    """Gradients by the input and the offsets.

    torchvision computes the gradient by the weight with them; it is left in ``columns`` for
    :func:`deform_conv_backward_parameters`, which mmcv calls next with the same tensor.

    Args:
        input: as in the forward, as all that follow and are not named.
        offset: as in the forward.
        gradOutput: (B, O, H', W').
        gradInput: as ``input``, written.
        gradOffset: as ``offset``, written.
        weight: as in the forward.
        columns: written, resized.
        **sizes: as in the forward.
    """
    grads = _gradients(gradOutput, input, weight, offset, None, _geometry(**sizes))
    gradInput.copy_(grads[0])
    gradOffset.copy_(grads[2])
    columns.resize_(weight.shape).copy_(grads[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **sizes: int,
) -> None:
    """Adds the gradient by the weight, times ``scale``.

    Args:
        input: as in the forward, as all that follow and are not named.
        offset: as in the forward.
        gradOutput: (B, O, H', W').
        gradWeight: as the weight, added to.
        columns: the gradient, if :func:`deform_conv_backward_input` left it there; emptied.
        ones: not used.
        scale: factor.
        **sizes: as in the forward.
    """
    geometry = _geometry(**sizes)
    if columns.shape == gradWeight.shape:
        grad = columns
    else:  # the gradient by the weight does not depend on the weight
        grad = _gradients(gradOutput, input, gradWeight, offset, None, geometry)[1]
    gradWeight.add_(grad.to(gradWeight.dtype), alpha=scale)
    columns.resize_(0)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Convolution at positions moved by ``offset``, each tap times ``mask``.

    Args:
        input: (B, C, H, W).
        weight: (O, C / group, kernel_h, kernel_w).
        bias: (O,), or empty.
        ones: not used.
        offset: (B, 2·deformable_group·taps, H', W'), or larger, see :func:`_as_read`.
        mask: (B, deformable_group·taps, H', W'), or larger.
        output: (B, O, H', W'), written.
        columns: not used.
        with_bias: whether ``bias`` is used.
        **sizes: see :func:`_modulated_geometry`.
    """
    geometry = _modulated_geometry(**sizes)
    offset, mask = (_as_read(each, output.shape[2:]) for each in (offset, mask))
    result = _convolve(input, weight, offset, mask, bias if with_bias else None, geometry)
    output.copy_(result.view_as(output))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **sizes: int,
) -> None:
    """All gradients.

    Args:
        input: as in the forward, as all that follow and are not named.
        weight: as in the forward.
        bias: as in the forward.
        ones: not used.
        offset: as in the forward.
        mask: as in the forward.
        columns: not used.
        grad_input: as ``input``, written.
        grad_weight: as ``weight``, added to.
        grad_bias: as ``bias``, added to.
        grad_offset: as ``offset``, written.
        grad_mask: as ``mask``, written.
        grad_output: (B, O, H', W').
        with_bias: as in the forward.
        **sizes: as in the forward.
    """
    offset, mask = (_as_read(each, grad_output.shape[2:]) for each in (offset, mask))
    grads = _gradients(grad_output, input, weight, offset, mask, _modulated_geometry(**sizes))
    grad_input.copy_(grads[0])
    grad_weight.add_(grads[1].to(grad_weight.dtype))
    for target, grad in ((grad_offset, grads[2]), (grad_mask, grads[3])):
        target.copy_(_as_written(grad, target))
    if with_bias:
        grad_bias.add_(grads[4].to(grad_bias.dtype))


def _as_read(tensor: Tensor, size: torch.Size) -> Tensor:
    """Offsets or masks (B, C, h, w) as mmcv reads them for an output of another size (H', W'): the
    first C·H'·W' numbers of each sample. mmdet's DyHead passes such offsets, from a larger map.

    Raises:
        ValueError: there are fewer numbers.
    """
    if tensor.shape[2:] == size:
        return tensor
    count = tensor.shape[1] * size.numel()
    if tensor[0].numel() < count:
        raise ValueError(
            f'deformable convolution: expected offsets and masks for {tuple(size)} places of the '
            f'output, found {tuple(tensor.shape[2:])}'
        )
    return tensor.flatten(1)[:, :count].reshape(*tensor.shape[:2], *size)


def _as_written(grad: Tensor, target: Tensor) -> Tensor:
    """The reverse of :func:`_as_read`: zero for the numbers that were not read."""
    if grad.shape == target.shape:
        return grad
    found = grad.new_zeros(target.shape[0], target[0].numel())
    found[:, : grad[0].numel()] = grad.flatten(1)
    return found.view(target.shape)


def _geometry(
    *,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> Geometry:
    """From mmcv's arguments, W horizontal and H vertical: the kernel's size, stride (d), padding,
    dilation, groups of the convolution, groups of input channels with their own offsets.

    The kernel's size is that of the weight; torchvision has no use for ``im2col_step``.
    """
    return Geometry(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)


def _modulated_geometry(
    *,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
) -> Geometry:
    """As :func:`_geometry`, from the arguments of the second version."""
    return Geometry(
        stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group
    )


def _convolve(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: Geometry,
) -> Tensor:
    tensors, use_mask = _arguments(input, weight, offset, mask, bias)
    with no_autocast(input):
        return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, use_mask)


def _gradients(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    geometry: Geometry,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients by input, weight, offset, mask and bias."""
    tensors, use_mask = _arguments(input, weight, offset, mask, None)
    grad = grad_output.to(tensors[0].dtype).contiguous()
    with no_autocast(input):
        return torch.ops.torchvision._deform_conv2d_backward(grad, *tensors, *geometry, use_mask)


def _arguments(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[list[Tensor], bool]:
    """The five tensors of torchvision's operator in one dtype, and whether the mask counts."""
    dtype = kernel_dtype(input.dtype)
    tensors = [input, weight, offset]
    tensors.append(input.new_zeros((input.shape[0], 1)) if mask is None else mask)
    tensors.append(input.new_zeros(weight.shape[0]) if bias is None else bias)
    return [tensor.to(dtype).contiguous() for tensor in tensors], mask is not None
