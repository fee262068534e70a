"""Size of the frames that a config of video prediction is for."""

from mmengine.config import Config

from ..utils.errors import UserError

_SIZES = dict(MovingDigits=(64, 64), TaxiBJ=(32, 32), KittiCaltech=(128, 160))
"""Of the published data sets, https://github.com/chengtan9907/OpenSTL."""


def frame_size(cfg: Config) -> tuple[int, int]:
    """Height and width of the frames of a config's data set.

    Raises:
        UserError: an unsupported data set.
    """
    dataset = cfg.test_dataloader.dataset
    if dataset.type not in _SIZES:
        raise UserError(f'expected a data set of {", ".join(_SIZES)}, found {dataset.type}')
    size = cfg.train_dataloader.dataset.get('image_size')
    return (size, size) if size else _SIZES[dataset.type]
