"""The faster memory format of the backbone, by measurement."""

import torch

from .kernels import reason_against


def channels_last_is_faster(
    device: torch.device | str, training: bool, fused: bool = False, small_images: bool = False
) -> bool:
    """Whether channels last is the default on a device.

    On CUDA the fused kernels need channels last. Without them, milliseconds of
    MogaNet-S on an H200 (torch 2.11, 2026-11-26, docs/speed.md), default layout / channels last:

    ==================================  ================  =================
    ..                                  2 x 800 x 1280    128 x 224 x 224
    ==================================  ================  =================
    training step, bf16 autocast        91 / **76**       216 / **162**
    inference, bf16                     **16.6** / 18.1   **43.0** / 44.2
    inference, bf16, fused (deploy)     **12.9** / 15.1   39.8 / **35.4**
    ==================================  ================  =================

    Sizes in between were not measured. Other devices use PyTorch's default.

    Args:
        device: of the model.
        training: whether gradients are computed.
        fused: the model is fused.
        small_images: about 224 pixels, as in classification and pose.
    """
    device = torch.device(device)
    if device.type != 'cuda':
        return False
    return training or kernels_serve(device) or (fused and small_images)


def kernels_serve(device: torch.device) -> bool:
    """Whether the fused kernels would run on channels-last maps on a device."""
    x = torch.empty(1, 8, 2, 2, device=device).contiguous(memory_format=torch.channels_last)
    return reason_against(x) is None
