"""mmpose's preprocessor, with few launches and without waiting for the GPU."""

from mmpose.models.data_preprocessors import PoseDataPreprocessor

from .images import ReversesChannels


class DevicePoseDataPreprocessor(ReversesChannels, PoseDataPreprocessor):
    """mmpose's preprocessor, with ``non_blocking`` on where it is safe."""
