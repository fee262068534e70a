"""mmpretrain's preprocessor, whose copies to the GPU do not wait for it."""

from mmpretrain.models.utils import ClsDataPreprocessor

from .copying import NonBlocking


class DeviceClsDataPreprocessor(NonBlocking, ClsDataPreprocessor):
    """mmpretrain's preprocessor, with the option ``non_blocking`` of mmdet's always on."""
