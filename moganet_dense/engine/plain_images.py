"""The last epochs of a training use images without mixing."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS


@HOOKS.register_module()
class PlainImagesHook(Hook):
    """Switches transforms of a ``MultiImageMixDataset`` off for the last epochs.

    mmdet's YOLOXModeSwitchHook does this too, and changes the loss of YOLOX heads.

    Args:
        epochs: their number.
        skipped: types of the transforms.
    """

    def __init__(self, epochs: int, skipped: Sequence[str]) -> None:
        self.epochs, self.skipped, self.switched = epochs, list(skipped), False

    def before_train_epoch(self, runner) -> None:
        if self.switched or runner.epoch < runner.max_epochs - self.epochs:
            return
        self.switched = True
        loader = runner.train_dataloader
        loader.dataset.update_skip_type_keys(self.skipped)
        loader._iterator = None  # processes that persist have the data set of the start
        print_log(f'from epoch {runner.epoch + 1} on without {", ".join(self.skipped)}', 'current')
