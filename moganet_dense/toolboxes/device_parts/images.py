"""Batches of images, prepared without a launch for each image and without waiting for the GPU."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .copying import NonBlocking


def stacked(images: Any, means: int = 1) -> Any:
    """A list of images as one tensor, if they are alike; else the list.

    Args:
        images: (C, H, W) each.
        means: of the normalisation that follows: 1, or one for each channel.
    """
    if not (isinstance(images, (list, tuple)) and images):
        return images
    if not all(isinstance(image, Tensor) and image.ndim == 3 for image in images):
        return images
    if len({(image.shape, image.dtype) for image in images}) > 1:
        return images
    return torch.stack(tuple(images)) if means in (1, len(images[0])) else images


class ReversesChannels(NonBlocking):
    """For preprocessors with mmengine's ``_channel_conversion``.

    mmengine chooses channels by a list, which is copied to the GPU for every image, after all that
    the previous iteration launched. Here they are reversed where the batch is copied.

    Attributes:
        reverses_channels: whether red and blue are swapped.
    """

    reverses_channels = False
    stacks = True
    """Whether images of one size become one tensor before they are normalised."""

    @property
    def _channel_conversion(self) -> bool:
        """Whether mmengine's code swaps channels."""
        return False

    @_channel_conversion.setter
    def _channel_conversion(self, swaps: bool) -> None:
        self.reverses_channels = swaps

    def cast_data(self, data: Any) -> Any:
        """As mmengine's; of a batch, the channels of the images are in the model's order.

        Args:
            data: a batch, or a part of it.
        """
        data = super().cast_data(data)
        if not (isinstance(data, Mapping) and 'inputs' in data):
            return data
        return {**data, 'inputs': self._arranged(data['inputs'])}

    def _arranged(self, images: Any) -> Any:
        if self.stacks:
            images = stacked(images, len(self.mean) if self._enable_normalize else 1)  # type: ignore
        if self.reverses_channels and isinstance(images, Tensor):
            return reversed_channels(images, 1)
        if self.reverses_channels and isinstance(images, (list, tuple)):
            return [reversed_channels(each, 0) for each in images]
        return images


def reversed_channels(images: Tensor, dim: int) -> Tensor:
    """Images with the first three channels in reverse order; others are left out, as in mmengine.

    Args:
        images: any shape.
        dim: of the channels.
    """
    return images.narrow(dim, 0, 3).flip(dim)
