"""Label maps: collected next to mmseg's IoUMetric, as an :class:`Evaluation`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ..data.image_io import decode
from ..visualization.report_drawing import SIDE, color, draw_label_map, fitted
from .summary import KEPT, Curves, Evaluation, Extremes, Pair, Table, confusion, number


class SegmentationRecord:
    """Counts of pixels, and the label maps of a few images.

    Memory: (C, C) integers, and label maps of 3 KEPT images at display size.

    Args:
        names: of the C classes.
        palette: C colours, or None.
        ignored: the label of pixels without a class.
    """

    def __init__(
        self, names: Sequence[str], palette: Sequence[Sequence[int]] | None, ignored: int
    ) -> None:
        self.names, self.ignored = list(names), ignored
        self.palette = [tuple(c) for c in palette or map(color, range(len(names)))]
        self.counts = np.zeros((len(names), len(names)), np.int64)
        self.extremes, self.first = Extremes(), []

    def add(self, path: str, truth: torch.Tensor, found: torch.Tensor) -> None:
        """Adds an image; ``truth`` and ``found`` are its label maps, (H, W)."""
        truth = truth.to(found.device)
        counts = pixel_counts(truth, found, len(self.names), self.ignored)
        self.counts += counts
        score = float(np.nanmean(_iou(counts))) if counts.any() else 1.0
        self.extremes.offer(score, lambda: (path, _small(truth), _small(found)))
        if len(self.first) < KEPT:
            self.first.append((path, _small(truth), _small(found)))

    def merge(self, other: 'SegmentationRecord') -> None:
        """Adds the counts and images of another process."""
        self.counts += other.counts
        self.extremes.merge(other.extremes)

    def evaluation(self) -> Evaluation:
        counts = self.counts
        right, true, found = counts.diagonal(), counts.sum(1), counts.sum(0)
        with np.errstate(invalid='ignore', divide='ignore'):
            recall, precision, iou = right / true, right / found, _iou(counts)
        there = [k for k in range(len(self.names)) if true[k] or found[k]]
        total = max(1, true.sum())
        figures = (true / total, iou, recall, precision)
        rows = [[self.names[k], *(number(figure[k]) for figure in figures)] for k in there]
        left_out = len(self.names) - len(there)
        note = f'{left_out} classes that neither occur nor were predicted are omitted.'
        columns = ['class', 'of all pixels', 'IoU', 'recall', 'precision']
        evaluation = Evaluation('segmentation', ranking='mean IoU of the classes in the image')
        evaluation.tables = [Table('IoU by class', columns, rows, note if left_out else '')]
        evaluation.confusion = confusion(
            'Confusion of pixels', counts, self.names, note='In pixels.'
        )
        dots = {
            self.names[k]: (float(recall[k]), float(precision[k]))
            for k in there
            if true[k] and found[k]
        }
        evaluation.curves = [Curves('Precision over recall of the classes', dots=dots)]
        evaluation.show(self.extremes, self._draw, self.first)
        return evaluation

    def _draw(self, item: tuple[str, np.ndarray, np.ndarray]) -> Pair:
        path, *maps = item
        image, _ = fitted(decode(path)[..., ::-1])
        size = (image.shape[1], image.shape[0])
        drawn = [
            draw_label_map(
                image,
                cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST),
                self.palette,
                self.names,
            )
            for labels in maps
        ]
        return Pair(Path(path).name, *drawn)


def pixel_counts(
    truth: torch.Tensor, found: torch.Tensor, classes: int, ignored: int
) -> np.ndarray:
    """(C, C): pixels of true class (row) and predicted class (column)."""
    kept = (truth != ignored) & (truth >= 0) & (truth < classes)
    pairs = truth[kept].long() * classes + found[kept].long()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).cpu().numpy()


def _iou(counts: np.ndarray) -> np.ndarray:
    right = counts.diagonal()
    with np.errstate(invalid='ignore', divide='ignore'):
        return right / (counts.sum(0) + counts.sum(1) - right)


def _small(labels: Any) -> np.ndarray:
    labels = labels.cpu().numpy().astype(np.int16)
    height, width = labels.shape
    factor = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
