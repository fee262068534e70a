"""Keypoints: results of mmpose's CocoMetric as an :class:`Evaluation`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data.image_io import decode
from ..visualization.report_drawing import draw_skeletons, fitted
from .coco_precision import Precision
from .fast_coco_eval import area_of
from .summary import KEPT, Evaluation, Extremes, Pair, Table, confusion

SCORE = 0.3
"""Score threshold for drawing predictions that are not the best match of a person."""
FOUND = 0.1
"""Minimum OKS of a person to count confusions of keypoints."""


def similarities(
    truth: np.ndarray, area: float, keypoints: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """Keypoint similarity of each keypoint, whose mean over annotated ones is COCO's OKS.

    exp(-d^2 / (2 s k^2)) with k = 2 sigma, as https://cocodataset.org/#keypoints-eval.

    Args:
        truth: (K, 2), annotated, in pixels.
        area: of the person, in square pixels.
        keypoints: (K, 2), predicted.
        sigmas: (K,) of the data set.
    """
    squared = ((truth - keypoints) ** 2).sum(1)
    return np.exp(-squared / (2 * (area + np.spacing(1)) * (2 * sigmas) ** 2))


class KeypointRecord:
    """Collects the evaluation from an accumulated COCOeval.

    Args:
        coco_eval: xtcocotools' COCOeval of keypoints.
        meta: mmpose's description of the data set.
        paths: image file by image id.
    """

    def __init__(self, coco_eval: Any, meta: Mapping[str, Any], paths: Mapping[Any, str]) -> None:
        self.truth = {
            image: [note for note in notes if note.get('keypoints')]
            for image, notes in coco_eval.cocoGt.imgToAnns.items()
        }
        self.found = coco_eval.cocoDt.imgToAnns
        self.images = list(coco_eval.params.imgIds)
        self.precision = Precision(coco_eval)
        self.paths = paths
        names = meta['keypoint_id2name']
        self.names = [names[k] for k in range(len(names))]
        categories = getattr(coco_eval.cocoGt, 'cats', {}) or {}
        self.category = next((row['name'] for row in categories.values()), 'person')
        self.sigmas = np.asarray(meta['sigmas'], float)
        self.links = [tuple(link) for link in meta.get('skeleton_links', [])]
        count = len(self.names)
        self.nearest = np.zeros((count, count), np.int64)
        self.sums, self.close, self.annotated = (np.zeros(count) for _ in range(3))
        self.extremes, self.first = Extremes(), []

    def evaluation(self) -> Evaluation:
        people = sum(self._add(image) for image in self.images)
        found = Evaluation('pose', ranking='mean OKS of the instances, 0 for missed ones')
        table = self.precision.table('Poses: AP over OKS', [self.category], [people])
        found.tables = [table, self._by_keypoint()]
        found.curves = self.precision.curves(
            'Poses: precision over recall', 'OKS', [self.category], [people]
        )
        found.confusion = confusion(
            'Nearest annotated keypoint of each predicted one',
            self.nearest,
            self.names,
            note=f'Annotated keypoints of instances found with OKS >= {FOUND}.',
        )
        found.show(self.extremes, self._draw, self.first)
        return found

    def _by_keypoint(self) -> Table:
        rows = [
            [name, int(n), float(s / n), float(c / n)]
            for name, n, s, c in zip(self.names, self.annotated, self.sums, self.close, strict=True)
            if n
        ]
        return Table(
            'Keypoints: OKS by keypoint',
            ['keypoint', 'annotated', 'OKS', 'OKS >= 0.5'],
            rows,
            'The best prediction of each instance; keypoints of missed ones count as 0.',
        )

    def _add(self, image: Any) -> int:
        """Number of people with annotated keypoints in an image."""
        scores = []
        for note in self.truth.get(image, []):
            places = np.reshape(note['keypoints'], (-1, 3)).astype(float)
            there = places[:, 2] > 0
            if note.get('iscrowd') or not there.any():
                continue
            oks, parts, prediction = self._best(image, note)
            scores.append(oks)
            self.annotated += there
            self.sums += np.where(there, parts, 0)
            self.close += there & (parts >= 0.5)
            if oks >= FOUND:
                keypoints = np.reshape(prediction['keypoints'], (-1, 3))[:, :2]
                distances = np.linalg.norm(keypoints[:, None] - places[None, :, :2], axis=2)
                distances[:, ~there] = np.inf
                np.add.at(self.nearest, (np.nonzero(there)[0], distances.argmin(1)[there]), 1)
        if scores:
            self.extremes.offer(float(np.mean(scores)), lambda: image)
            if len(self.first) < KEPT:
                self.first.append(image)
        return len(scores)

    def _best(self, image: Any, note: dict) -> tuple[float, np.ndarray, dict | None]:
        """The best matching prediction of a person, with its OKS and similarities."""
        places = np.reshape(note['keypoints'], (-1, 3)).astype(float)
        there = places[:, 2] > 0
        best = 0.0, np.zeros(len(places)), None
        for prediction in self.found.get(image, []) if there.any() else []:
            keypoints = np.reshape(prediction['keypoints'], (-1, 3))[:, :2].astype(float)
            parts = similarities(places[:, :2], area_of(note), keypoints, self.sigmas)
            if parts[there].mean() > best[0]:
                best = float(parts[there].mean()), parts, prediction
        return best

    def _draw(self, image: Any) -> Pair:
        path = self.paths[image]
        canvas, factor = fitted(decode(path)[..., ::-1])
        truth = self.truth.get(image, [])
        best = [self._best(image, note)[2] for note in truth]
        ids = {prediction['id'] for prediction in best if prediction}
        found = [
            note
            for note in self.found.get(image, [])
            if note['id'] in ids or note['score'] >= SCORE
        ]
        places = [
            np.array([note['keypoints'] for note in notes], float).reshape(-1, len(self.names), 3)
            for notes in (truth, found)
        ]
        places[1][..., 2] = 1  # the metric counts every keypoint that was predicted
        drawn = [
            draw_skeletons(canvas, part[..., :2] * factor, part[..., 2] > 0, self.links)
            for part in places
        ]
        return Pair(Path(path).name, *drawn)
