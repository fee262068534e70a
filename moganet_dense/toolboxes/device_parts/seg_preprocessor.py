"""mmseg's preprocessor, whose copies to the GPU do not wait for it."""

from mmseg.models.data_preprocessor import SegDataPreProcessor

from .copying import NonBlocking


class DeviceSegDataPreProcessor(NonBlocking, SegDataPreProcessor):
    """mmseg's preprocessor, with the option ``non_blocking`` of the other toolboxes always on."""
