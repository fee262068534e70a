"""Limits what a model allocates while it is built, by a config of somebody else."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..utils.errors import UserError
from ..utils.regular_files import megabytes

TENSORS = 50_000
"""Most tensors of a model: a detector has a thousand."""
_FACTORIES = {
    torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange,
    torch.linspace, torch.eye,
}  # fmt: skip


class Limited(TorchFunctionMode):
    """Context in which new tensors may have so many bytes together.

    A config of a kilobyte may describe layers of terabytes.

    Args:
        limit: bytes.

    Raises:
        UserError: where a tensor would exceed it, before it is allocated; or there are more than
            TENSORS.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.size, self.count = limit, 0, 0

    def __torch_function__(
        self, func: Callable, types: Iterable[type], args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES:
            self._add(func(*args, **{**kwargs, 'device': 'meta'}))
        return func(*args, **kwargs)

    def _add(self, planned: torch.Tensor) -> None:
        self.size += planned.numel() * planned.element_size()
        self.count += 1
        if self.size > self.limit or self.count > TENSORS:
            raise UserError(
                f'expected a model of up to {megabytes(self.limit)} and {TENSORS} tensors, as its '
                'weights are; the config describes a larger one'
            )
