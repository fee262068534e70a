"""Copies to a GPU that do not wait for it."""

from typing import Any

import torch


def copies_overlap(device_type: str) -> bool:
    """Whether the CPU may continue, and free memory, while a copy of it to a device runs.

    On Apple GPUs such a copy has read freed memory:
    https://github.com/pytorch/pytorch/issues/139550
    """
    return device_type in ('cuda', 'cpu')


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on ``device``; through page-locked memory to a GPU, since a copy from
    other memory waits for all kernels launched before."""
    if device.type == 'cuda' and tensor.device.type == 'cpu':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=copies_overlap(device.type))


class NonBlocking:
    """For preprocessors without the option: copies from page-locked memory, in which data loaders
    put batches where there is a GPU, while the GPU computes."""

    def cast_data(self, data: Any) -> Any:
        """As mmengine's.

        Args:
            data: a batch, or a part of it.
        """
        self._non_blocking = copies_overlap(self.device.type)  # type: ignore[attr-defined]
        return super().cast_data(data)  # type: ignore[misc]
