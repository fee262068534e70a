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
) -> None:
    """Convolution at positions moved by ``offset``.

    Args:
        input: (B, C, H, W).
        weight: (O, C / group, kH, kW).
        offset: (B, 2·deformable_group·kH·kW, H', W'), dy and dx of each tap.
        output: (B, O, H', W'), written.
        columns: not used.
        ones: not used.
        kW: width of the kernel.
        kH: its height.
        dW: horizontal stride.
        dH: vertical stride.
        padW: horizontal padding.
        padH: vertical padding.
        dilationW: horizontal dilation.
        dilationH: vertical dilation.
        group: of the convolution.
        deformable_group: groups of input channels with their own offsets.
        im2col_step: not used.
    """
    geometry = Geometry(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_convolve(input, weight, offset, None, None, geometry).view_as(output))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
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
        kW: as in the forward.
        kH: as in the forward.
        dW: as in the forward.
        dH: as in the forward.
        padW: as in the forward.
        padH: as in the forward.
        dilationW: as in the forward.
        dilationH: as in the forward.
        group: as in the forward.
        deformable_group: as in the forward.
        im2col_step: as in the forward.
    """
    geometry = Geometry(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    grads = _gradients(gradOutput, input, weight, offset, None, geometry)
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
    scale: float,
    im2col_step: int,
) -> None:
    """Adds the gradient by the weight, times ``scale``.

    Args:
        input: as in the forward, as all that follow and are not named.
        offset: as in the forward.
        gradOutput: (B, O, H', W').
        gradWeight: as the weight, added to.
        columns: the gradient, if :func:`deform_conv_backward_input` left it there; emptied.
        ones: not used.
        kW: as in the forward.
        kH: as in the forward.
        dW: as in the forward.
        dH: as in the forward.
        padW: as in the forward.
        padH: as in the forward.
        dilationW: as in the forward.
        dilationH: as in the forward.
        group: as in the forward.
        deformable_group: as in the forward.
        scale: factor.
        im2col_step: as in the forward.
    """
    if columns.shape == gradWeight.shape:
        grad = columns
    else:
        geometry = Geometry(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
        # the gradient by the weight does not depend on the weight
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
    with_bias: bool,
) -> None:
    """Convolution at positions moved by ``offset``, each tap times ``mask``.

    Args:
        input: (B, C, H, W).
        weight: (O, C / group, kernel_h, kernel_w).
        bias: (O,), or empty.
        ones: not used.
        offset: (B, 2·deformable_group·taps, H', W').
        mask: (B, deformable_group·taps, H', W').
        output: (B, O, H', W'), written.
        columns: not used.
        kernel_h: height of the kernel.
        kernel_w: its width.
        stride_h: vertical stride.
        stride_w: horizontal stride.
        pad_h: vertical padding.
        pad_w: horizontal padding.
        dilation_h: vertical dilation.
        dilation_w: horizontal dilation.
        group: of the convolution.
        deformable_group: groups of input channels with their own offsets and masks.
        with_bias: whether ``bias`` is used.
    """
    geometry = Geometry(
        stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group
    )
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
    with_bias: bool,
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
        kernel_h: as in the forward.
        kernel_w: as in the forward.
        stride_h: as in the forward.
        stride_w: as in the forward.
        pad_h: as in the forward.
        pad_w: as in the forward.
        dilation_h: as in the forward.
        dilation_w: as in the forward.
        group: as in the forward.
        deformable_group: as in the forward.
        with_bias: as in the forward.
    """
    geometry = Geometry(
        stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group
    )
    grads = _gradients(grad_output, input, weight, offset, mask, geometry)
    grad_input.copy_(grads[0])
    grad_weight.add_(grads[1].to(grad_weight.dtype))
    grad_offset.copy_(grads[2])
    grad_mask.copy_(grads[3])
    if with_bias:
        grad_bias.add_(grads[4].to(grad_bias.dtype))


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
