"""A model that predicts its labels with a noise of their own, so that metrics mean something
without training; registered for all toolboxes."""

import numpy as np
import torch
import torch.nn as nn
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import InstanceData, PixelData

CLASSES = 150


@MODELS.register_module()
class Oracle(BaseModel):
    """Labels of each image, moved by a noise that follows from the image and the object.

    Args:
        task: det (with masks), seg or pose.
        moved: size of the noise in pixels; for seg: share of pixels that are another class.
    """

    def __init__(self, task: str, moved: float, data_preprocessor: dict) -> None:
        super().__init__(data_preprocessor)
        self.task, self.moved = task, moved
        self.weight = nn.Parameter(torch.zeros(1))  # something that DDP can hold

    def forward(self, inputs, data_samples=None, mode: str = 'tensor'):
        return [getattr(self, self.task)(sample) for sample in data_samples]

    def det(self, sample):
        truth, dice = sample.gt_instances, np.random.default_rng(int(sample.img_id))
        # in the image as it was: the test pipeline loads them after it has resized
        boxes = getattr(truth.bboxes, 'tensor', truth.bboxes)
        height, width = sample.ori_shape
        found = InstanceData(
            bboxes=boxes + torch.as_tensor(dice.normal(0, self.moved, boxes.shape)).to(boxes),
            labels=truth.labels,
            scores=torch.as_tensor(dice.random(len(boxes))).float(),
        )
        found.masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
        for mask, box in zip(found.masks, found.bboxes.round().long().tolist(), strict=True):
            left, top, right, bottom = (max(value, 0) for value in box)
            mask[top:bottom, left:right] = True
        sample.pred_instances = found
        return sample

    def seg(self, sample):
        truth = sample.gt_sem_seg.data.squeeze(0).long()
        dice = np.random.default_rng([ord(c) for c in sample.img_path[-12:]])
        other = torch.as_tensor(dice.integers(0, CLASSES, truth.shape))
        wrong = torch.as_tensor(dice.random(truth.shape) < self.moved) | (truth >= CLASSES)
        sample.pred_sem_seg = PixelData(data=torch.where(wrong, other, truth)[None])
        return sample

    def pose(self, sample):
        truth, dice = sample.gt_instances, np.random.default_rng(int(sample.id))
        points = np.asarray(truth.keypoints, np.float32)
        sample.pred_instances = InstanceData(
            keypoints=(points + dice.normal(0, self.moved, points.shape)).astype(np.float32),
            keypoint_scores=dice.random(points.shape[:2]).astype(np.float32),
        )
        return sample
