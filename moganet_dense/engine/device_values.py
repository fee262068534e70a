"""Reads values from a GPU without waiting for kernels that are launched after them."""

import torch


def must_wait(value: torch.Tensor) -> bool:
    """Whether reading a value waits for all kernels launched before."""
    return value.device.type != 'cpu'


class EarlyCopy:
    """Asynchronous copy of a value of one element from the GPU to the CPU.

    Args:
        value: one element, on any device.
    """

    def __init__(self, value: torch.Tensor) -> None:
        self.copied, self.value = None, value.detach()
        if value.is_cuda:
            self.value = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            self.value.copy_(value.detach(), non_blocking=True)
            self.copied = torch.cuda.Event()
            self.copied.record()

    def get(self) -> bool | int | float:
        """The value; waits for kernels launched before it, not after it."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.value.item()
