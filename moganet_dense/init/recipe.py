"""Hyperparameters for a data set: image size, batch size, learning rate, length, augmentation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mmengine.config import Config

from ..config.metafiles import package_root
from ..data.converters.dataset import DataSet

BASES = {
    'boxes': 'configs/det/retinanet_moganet_s.py',
    'masks': 'configs/det/mask_rcnn_moganet_s.py',
    'labels': 'configs/seg/upernet_moganet_s.py',
    'keypoints': 'configs/pose/topdown_moganet_s_256x192.py',
}
"""The base config of each task."""

BATCH = {'boxes': 8, 'masks': 8, 'labels': 8, 'keypoints': 64}
"""Images per step, instances for keypoints: fits a GPU with 16 GB."""

FEW = 1000
"""Below this number of training images the augmentation is strong: scale jitter, crops, colour."""


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of a training.

    Attributes:
        base: config below the package's root.
        size: boxes, masks: width and height that images are resized to fit; labels: side of the
            crops, twice; keypoints: not used.
        batch_size: images of a step, or instances for keypoints.
        base_lr: learning rate of the base, for ``base_batch``.
        base_batch: batch size of the learning rate of the base.
        epochs: length; for labels, None.
        iterations: length in steps.
        warmup: steps of linear warm-up.
        interval: epochs (labels: steps) from one validation to the next.
        strong: whether the augmentation is strong.
        keep_empty: whether images without objects are trained on.
    """

    base: str
    size: tuple[int, int]
    batch_size: int
    base_lr: float
    base_batch: int
    epochs: int | None
    iterations: int
    warmup: int
    interval: int
    strong: bool
    keep_empty: bool

    @property
    def lr(self) -> float:
        """The learning rate of the base times the square root of the ratio of batch sizes, with two
        digits: the rule for Adam (Malladi et al. 2022, https://arxiv.org/abs/2205.10287)."""
        return float(f'{self.base_lr * math.sqrt(self.batch_size / self.base_batch):.2g}')


def recipe_for(data: DataSet, task: str) -> Recipe:
    """Hyperparameters for a split data set.

    Args:
        data: the data set.
        task: what is trained.
    """
    train = [sample for sample in data.samples if sample.split == 'train']
    objects = [sum(bool(one.keypoints) for one in sample.instances) for sample in train]
    count = max(1, sum(objects) if task == 'keypoints' else len(train))
    batch = BATCH[task]
    while batch > 2 and batch > count / 4:
        batch //= 2
    base = Config.fromfile(package_root() / BASES[task])
    steps = math.ceil(count / batch)
    epochs, iterations, interval = _length(task, steps)
    empty = sum(not sample.instances for sample in train)
    return Recipe(
        base=BASES[task],
        size=_size([sample.size for sample in train], task),
        batch_size=batch,
        base_lr=base.optim_wrapper.optimizer.lr,
        base_batch=base.auto_scale_lr.base_batch_size,
        epochs=epochs,
        iterations=iterations,
        warmup=max(1, min(500, iterations // 10)),
        interval=interval,
        strong=len(train) < FEW,
        keep_empty=0 < empty <= len(train) / 2,
    )


def _length(task: str, steps: int) -> tuple[int | None, int, int]:
    """Epochs, steps and the validation interval: small sets get more epochs.

    Detection: 12 epochs, as on COCO, or as many as make 3000 steps, at most 100. Keypoints: 60,
    or 5000 steps, at most 210, as on COCO. Label maps: 100 epochs, 2000 to 40 000 steps.
    """
    if task == 'labels':
        iterations = min(40_000, max(2_000, 100 * steps))
        iterations = round(iterations, -3)
        return None, iterations, iterations // 10
    low, target, high = (60, 5000, 210) if task == 'keypoints' else (12, 3000, 100)
    epochs = min(high, max(low, round(target / steps)))
    return epochs, epochs * steps, max(1, epochs // 12)


def _size(sizes: Sequence[tuple[int, int]], task: str) -> tuple[int, int]:
    """Image size from the median of the images: multiples of 32, within the range of the base."""
    width, height = (median(size[i] for size in sizes) for i in (0, 1))
    short, long = sorted((width, height))
    if task == 'labels':
        side = min(512, max(64, int(short) // 32 * 32))
        return side, side
    fitted = min(800, max(320, round(short / 32) * 32))
    longer = min(1344, max(fitted, round(fitted * long / short / 32) * 32))
    return longer, fitted
