"""mmdet's preprocessor, with few launches and without waiting for the GPU."""

from mmdet.models.data_preprocessors import DetDataPreprocessor

from .images import ReversesChannels


class DeviceDetDataPreprocessor(ReversesChannels, DetDataPreprocessor):
    """mmdet's preprocessor, with ``non_blocking`` on where it is safe."""
