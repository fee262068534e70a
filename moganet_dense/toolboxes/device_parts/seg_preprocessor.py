"""mmseg's preprocessor, whose copies to the GPU do not wait for it."""

from typing import Any

from mmseg.models.data_preprocessor import SegDataPreProcessor

from .images import ReversesChannels


class DeviceSegDataPreProcessor(ReversesChannels, SegDataPreProcessor):
    """mmseg's preprocessor, with the option ``non_blocking`` of the other toolboxes."""

    stacks = False  # it cuts and pads each image
    channel_conversion = ReversesChannels._channel_conversion  # its name in mmseg 1.2

    def _arranged(self, images: Any) -> Any:
        """mmseg swaps channels of images with three of them alone."""
        return super()._arranged(images) if images[0].size(0) == 3 else images
