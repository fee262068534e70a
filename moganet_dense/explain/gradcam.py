"""Grad-CAM: the image regions that determine the score of a class, by pytorch-grad-cam.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, https://arxiv.org/abs/1610.02391. This module defines the
score whose gradient is computed, one for each task; docs/explain.md has the reasons.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn as nn

from ..utils.errors import UserError

Score = Callable[[torch.Tensor], torch.Tensor]
"""An image (1, 3, H, W), normalised, to a number that has a gradient."""


def grad_cam(model: nn.Module, score: Score, layers: Sequence[nn.Module], image: torch.Tensor):
    """Grad-CAM of a score at some layers.

    Args:
        model: in eval mode.
        layers: modules of it that return (1, C, h, w).
        score: the function whose gradient is computed; it runs ``model``.
        image: (1, 3, H, W), normalised.

    Returns:
        (H, W) float32 from 0 to 1: the mean of the layers' maps, each scaled to 0 to 1.

    Raises:
        UserError: the library is not installed.
    """
    try:
        from pytorch_grad_cam import GradCAM
    except ImportError:
        raise UserError(
            "Grad-CAM needs the library pytorch-grad-cam: pip install 'moganet_dense[explain]'"
        ) from None
    with torch.enable_grad():
        cam = GradCAM(_Scored(model, score), list(layers))
        cam.compute_input_gradient = True  # so that a model without trained weights also has one
        try:
            found = cam(image, targets=[lambda output: output])
        finally:
            cam.activations_and_grads.release()
            model.zero_grad()
    return found[0].astype(np.float32)


class _Scored(nn.Module):
    """A model that returns only a score, as the library expects."""

    def __init__(self, model: nn.Module, score: Score) -> None:
        super().__init__()
        self.model = model
        self.score = score

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.score(image)[None]


def logit(model: nn.Module, label: int) -> Score:
    """For a classifier: the output of the class before the softmax."""
    return lambda image: model(image, mode='tensor')[0, label]


def area(model: nn.Module, label: int) -> Score:
    """For a segmentor: the outputs of the class, summed over the pixels that are predicted as
    it."""

    def score(image: torch.Tensor) -> torch.Tensor:
        outputs = model(image, mode='tensor')[0]
        return outputs[label][outputs.argmax(0) == label].sum()

    return score


def best_object(model: nn.Module, label: int, sample) -> Score:
    """For a detector: the highest output of the class over the image.

    For a dense head it is the logit of the best anchor, for a second stage the probability of the
    best box.

    Args:
        model: a detector.
        label: the class.
        sample: the DetDataSample that belongs to the image.
    """

    def of_anchors(image: torch.Tensor) -> torch.Tensor:
        classes = model.bbox_head.cls_out_channels
        levels = (level[0].unflatten(0, (-1, classes)) for level in model(image, mode='tensor')[0])
        return torch.cat([level[:, label].ravel() for level in levels]).max()

    def of_boxes(image: torch.Tensor) -> torch.Tensor:
        found = model(image, [sample.new()], mode='predict')[0].pred_instances
        return found.scores[found.labels == label].max()

    return of_boxes if hasattr(model, 'roi_head') else of_anchors
