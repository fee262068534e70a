"""mmpretrain's preprocessor, with few launches and without waiting for the GPU."""

from typing import Any

import numpy as np
import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.models.utils.batch_augments import CutMix, Mixup
from mmpretrain.structures import DataSample
from torch import Tensor

from .copying import NonBlocking, to_device
from .images import stacked


class DeviceClsDataPreprocessor(NonBlocking, ClsDataPreprocessor):
    """mmpretrain's preprocessor for a class for each image; more classes are left to mmpretrain.

    mmpretrain normalises each image of a list, sums each one-hot label, and copies labels and the
    order of mixed images to the GPU while it waits.

    Args:
        options: as of mmpretrain's.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.batch_augments is not None:
            mixes = self.batch_augments.augments
            self.batch_augments.augments = [_on_device(each) for each in mixes]

    def cast_data(self, data: Any) -> Any:
        """As mmengine's; images of one size become one tensor.

        Args:
            data: a batch, or a part of it.
        """
        means = len(self.mean) if self._enable_normalize else 1
        return stacked(super().cast_data(data), means)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Images (N, C, H, W), and samples with classes and scores on the device.

        Args:
            data: a batch, with ``inputs`` and maybe ``data_samples``.
            training: whether images are mixed.
        """
        samples = data.get('data_samples')
        if not (samples and all(map(_has_one_class, samples))):
            return super().forward(data, training)
        inputs = super().forward({'inputs': data['inputs']})['inputs']
        labels = to_device(torch.cat([sample.gt_label for sample in samples]), self.device)
        scores = self._scores(samples, labels)
        if scores is not None:
            if training and self.batch_augments is not None:
                inputs, scores = self.batch_augments(inputs, scores)
            for sample, score in zip(samples, scores, strict=True):
                sample.set_gt_score(score)
        for sample, label in zip(samples, labels.split(1), strict=True):
            sample.set_gt_label(label)
        return {'inputs': inputs, 'data_samples': samples}

    def _scores(self, samples: list, labels: Tensor) -> Tensor | None:
        """Scores (N, K) of the samples, or one-hot classes; None: not wanted."""
        if 'gt_score' in samples[0]:
            return to_device(torch.stack([sample.gt_score for sample in samples]), self.device)
        if not self.to_onehot:
            return None
        classes = self.num_classes or samples[0].get('num_classes')
        if classes is None:
            raise AssertionError('one-hot labels need `num_classes` in `data_preprocessor`')
        return labels.new_zeros(len(labels), classes).scatter_(1, labels[:, None], 1)


def _has_one_class(sample: Any) -> bool:
    return isinstance(sample, DataSample) and 'gt_label' in sample and len(sample.gt_label) == 1


class DeviceMixup(Mixup):
    """mmpretrain's mixup, whose order of images is copied without waiting."""

    def mix(self, batch_inputs: Tensor, batch_scores: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images (N, C, H, W) and scores (N, K).

        Args:
            batch_inputs: images.
            batch_scores: their scores.
        """
        share = np.random.beta(self.alpha, self.alpha)
        order = _random_order(batch_inputs)
        inputs = share * batch_inputs + (1 - share) * batch_inputs[order]
        return inputs, share * batch_scores + (1 - share) * batch_scores[order]


class DeviceCutMix(CutMix):
    """mmpretrain's CutMix, whose order of images is copied without waiting."""

    def mix(self, batch_inputs: Tensor, batch_scores: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images (N, C, H, W), in place, and scores (N, K).

        Args:
            batch_inputs: images.
            batch_scores: their scores.
        """
        share = np.random.beta(self.alpha, self.alpha)
        order = _random_order(batch_inputs)
        (y1, y2, x1, x2), share = self.cutmix_bbox_and_lam(batch_inputs.shape[-2:], share)
        part = batch_inputs[:, :, y1:y2, x1:x2]
        part.copy_(part[order])
        share = float(share)
        return batch_inputs, share * batch_scores + (1 - share) * batch_scores[order]


def _random_order(images: Tensor) -> Tensor:
    return to_device(torch.randperm(len(images)), images.device)


def _on_device(mix: Any) -> Any:
    """One of the classes here in place of mmpretrain's."""
    if type(mix) is Mixup:
        return DeviceMixup(mix.alpha)
    if type(mix) is CutMix:
        return DeviceCutMix(mix.alpha, mix.cutmix_minmax, mix.correct_lam)
    return mix
