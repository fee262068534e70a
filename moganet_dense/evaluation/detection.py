"""Boxes and masks: results of mmdet's CocoMetric as an :class:`Evaluation`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ..data.image_io import decode
from ..visualization.report_drawing import color, draw_boxes, draw_masks, fitted
from .coco_precision import Precision
from .summary import KEPT, Evaluation, Extremes, Pair, confusion

SCORE, IOU = 0.3, 0.5
"""Score threshold of shown predictions, and IoU threshold of correct ones."""

SHOWN = 30
"""Maximum number of predictions drawn in an image."""

_TITLES = {'bbox': 'Boxes', 'segm': 'Masks'}


def match(
    truth: np.ndarray, true_labels: np.ndarray, boxes: np.ndarray, labels: np.ndarray
) -> list[tuple[int, int, float]]:
    """Pairs of an object and a prediction that overlap by at least IOU, each used once.

    Pairs of one class come first, then the others, each by overlap, so a prediction counts as a
    confusion only if it is not a hit.

    Args:
        truth: (G, 4), x1 y1 x2 y2.
        true_labels: (G,), classes.
        boxes: (D, 4), x1 y1 x2 y2.
        labels: (D,), classes.

    Returns:
        (object, prediction, IoU).
    """
    if not len(truth) or not len(boxes):
        return []
    ious = overlaps(truth, boxes)
    pairs = [(i, j) for i, j in zip(*np.nonzero(ious >= IOU), strict=True)]
    pairs.sort(key=lambda pair: (true_labels[pair[0]] != labels[pair[1]], -ious[pair]))
    found, objects, predictions = [], set(), set()
    for i, j in pairs:
        if i not in objects and j not in predictions:
            objects.add(i)
            predictions.add(j)
            found.append((int(i), int(j), float(ious[i, j])))
    return found


def overlaps(truth: np.ndarray, boxes: np.ndarray, crowd: bool = False) -> np.ndarray:
    """(G, D): IoU, or for crowds the share of each box inside the region."""
    shape = [np.hstack([b[:, :2], b[:, 2:] - b[:, :2]]).astype(float) for b in (truth, boxes)]
    return coco_mask.iou(shape[1], shape[0], [crowd] * len(truth)).T


def quality(right: Sequence[float], missed: int, false: int) -> float:
    """Panoptic quality of an image (Kirillov et al. 2019): 1 for an image without anything.

    Args:
        right: IoU of the pairs of one class.
        missed: number of objects without a pair.
        false: number of predictions without a pair.
    """
    weight = len(right) + (missed + false) / 2
    return float(sum(right) / weight) if weight else 1.0


class DetectionRecord:
    """Collects the evaluation from the results of mmdet's CocoMetric.

    Args:
        metric: after it has computed and loaded the ground truth.
        paths: image file by image id.
    """

    def __init__(self, metric: Any, paths: Mapping[Any, str]) -> None:
        self.coco, self.paths = metric._coco_api, paths
        self.names = list(metric.dataset_meta['classes'])
        self.label = {category: k for k, category in enumerate(metric.cat_ids)}
        count = len(self.names)
        self.counts = np.zeros((count + 1, count + 1), np.int64)
        self.objects = np.zeros(count, np.int64)
        self.extremes, self.first = Extremes(), []

    def evaluation(
        self, results: Iterable[tuple[dict, dict]], precisions: Iterable[Precision]
    ) -> Evaluation:
        """The evaluation of all images.

        Args:
            results: pairs of ground truth and prediction of the metric.
            precisions: of the evaluations of the metric.
        """
        for _, prediction in results:
            self._add(prediction)
        found = Evaluation('detection', ranking=f'panoptic quality at IoU {IOU}, score {SCORE}')
        for precision in precisions:
            title = _TITLES.get(precision.kind, precision.kind)
            found.tables.append(precision.table(f'{title}: AP by class', self.names, self.objects))
            found.curves += precision.curves(
                f'{title}: precision over recall', 'IoU', self.names, self.objects
            )
        found.confusion = confusion(
            'Confusion of boxes',
            self.counts,
            self.names,
            ('background', 'missed'),
            f'Predictions with score >= {SCORE} and IoU >= {IOU}.',
        )
        found.show(self.extremes, self._draw, self.first)
        return found

    def _add(self, prediction: dict) -> None:
        truth, labels, crowd = self._truth(prediction['img_id'])
        shown = np.asarray(prediction['scores']) >= SCORE
        boxes, predicted = prediction['bboxes'][shown], prediction['labels'][shown]
        pairs = match(truth[~crowd], labels[~crowd], boxes, predicted)
        hit, used = {i for i, *_ in pairs}, {j for _, j, _ in pairs}
        true = labels[~crowd]
        np.add.at(self.objects, true, 1)
        for i, j, _ in pairs:
            self.counts[true[i], predicted[j]] += 1
        for i in set(range(len(true))) - hit:
            self.counts[true[i], -1] += 1
        excused = set()
        if crowd.any() and len(boxes):
            inside = overlaps(truth[crowd], boxes, crowd=True).max(0) >= IOU
            excused = set(np.nonzero(inside)[0].tolist())
        alone = set(range(len(boxes))) - used - excused
        for j in alone:
            self.counts[-1, predicted[j]] += 1
        right = [iou for i, j, iou in pairs if true[i] == predicted[j]]
        wrong = len(pairs) - len(right)
        if len(true) or len(alone):
            score = quality(right, len(true) - len(hit) + wrong, len(alone) + wrong)
            self.extremes.offer(score, lambda: prediction)
        if len(self.first) < KEPT:
            self.first.append(prediction)

    def _truth(self, image: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes (G, 4), labels (G,) and crowd flags of an image."""
        notes = self.annotations(image)
        boxes = np.array([note['bbox'] for note in notes], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([self.label[note['category_id']] for note in notes], int)
        return boxes, labels, np.array([bool(note.get('iscrowd')) for note in notes], bool)

    def annotations(self, image: Any) -> list[dict]:
        """The annotations of the evaluated classes."""
        notes = self.coco.imgToAnns.get(image, [])
        return [note for note in notes if note['category_id'] in self.label]

    def _draw(self, prediction: dict) -> Pair:
        path = self.paths[prediction['img_id']]
        image, factor = fitted(decode(path)[..., ::-1])
        boxes, labels, _ = self._truth(prediction['img_id'])
        notes = self.annotations(prediction['img_id'])
        masks = [self.coco.annToMask(note) for note in notes] if 'masks' in prediction else []
        truth = self._drawn(image, factor, boxes, labels, [self.names[k] for k in labels], masks)
        shown = np.nonzero(prediction['scores'] >= SCORE)[0][:SHOWN]
        labels = prediction['labels'][shown]
        words = [
            f'{self.names[k]} {score:.2f}'
            for k, score in zip(labels, prediction['scores'][shown], strict=True)
        ]
        masks = [coco_mask.decode(prediction['masks'][i]) for i in shown if 'masks' in prediction]
        found = self._drawn(image, factor, prediction['bboxes'][shown], labels, words, masks)
        return Pair(Path(path).name, truth, found)

    def _drawn(
        self,
        image: np.ndarray,
        factor: float,
        boxes: np.ndarray,
        labels: Sequence[int],
        words: Sequence[str],
        masks: Sequence[np.ndarray],
    ) -> np.ndarray:
        colors = [color(int(k)) for k in labels]
        if masks:
            size = (image.shape[1], image.shape[0])
            masks = [cv2.resize(m, size, interpolation=cv2.INTER_NEAREST) for m in masks]
            image = draw_masks(image, masks, colors)
        return draw_boxes(image, boxes * factor, words, colors)
