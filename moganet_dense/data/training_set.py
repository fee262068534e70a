"""The data set that a config trains on."""

from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from ..utils.errors import UserError, one_line
from .layouts import innermost


def training_set(cfg: Config) -> Any:
    """The training data set; an empty one is an error here, and not a riddle later.

    Raises:
        UserError: it cannot be built, or is empty.
    """
    dataset = ()
    with one_line('the training set cannot be built'):
        try:
            dataset = DATASETS.build(cfg.train_dataloader.dataset)
        except ValueError as error:
            if 'need at least one array' not in str(error):  # how the toolboxes say: empty
                raise
    if len(dataset) == 0:
        part = next(innermost(cfg.train_dataloader.dataset))
        raise UserError(
            f'the training set is empty: expected samples in '
            f'{part.get("ann_file") or part.get("data_prefix")}, found none that its filters '
            f'(filter_cfg={part.get("filter_cfg")}, indices={part.get("indices")}) let through'
        )
    return dataset
