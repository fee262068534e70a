"""Copies to a GPU that do not wait for it."""

from typing import Any

import torch


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on ``device``; through page-locked memory to a GPU, since a copy from
    other memory waits for all kernels launched before."""
    if device.type == 'cuda' and tensor.device.type == 'cpu':
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class NonBlocking:
    """For preprocessors without the option: copies from page-locked memory, in which data loaders
    put batches where there is a GPU, while the GPU computes."""

    def cast_data(self, data: Any) -> Any:
        """As mmengine's.

        Args:
            data: a batch, or a part of it.
        """
        self._non_blocking = True
        return super().cast_data(data)  # type: ignore[misc]
