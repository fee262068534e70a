"""How many samples a config trains on."""

from copy import deepcopy

from mmengine.config import Config
from mmengine.registry import DATASETS

from ..utils.errors import one_line


def training_samples(cfg: Config) -> int:
    """Samples of an epoch, after the data set's own filters.

    Raises:
        UserError: the data set cannot be read.
    """
    with (
        one_line('the training set cannot be read'),
        DATASETS.switch_scope_and_registry(cfg.default_scope) as registry,
    ):
        return len(registry.build(deepcopy(cfg.train_dataloader.dataset)))
