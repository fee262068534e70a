"""Evaluation of keypoints, boxes and masks as COCO's, with what xtcocotools adds.

Over COCO's (https://cocodataset.org/#keypoints-eval): any number of keypoints with their own
sigmas, the parts of COCO-WholeBody, data sets without areas (AI Challenger, CrowdPose), CrowdPose's
metrics (https://arxiv.org/abs/1812.00324). Keypoints of an object are counted, not read from
``num_keypoints``; predictions without any are left out; the id 0 is an id.
"""

import contextlib
import copy
import io
import warnings
from collections import defaultdict
from typing import Any

import numpy as np
import pycocotools.cocoeval
from pycocotools import mask

COCO_SIGMAS = (
    np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
)
AREA_OF_BOX = 0.53  # share of its box that a person takes, where no area is annotated
PARTS = {
    'keypoints_foot': ('foot',),
    'keypoints_face': ('face',),
    'keypoints_lefthand': ('lefthand',),
    'keypoints_righthand': ('righthand',),
    'keypoints_wholebody': ('body', 'foot', 'face', 'lefthand', 'righthand'),
}


class Params(pycocotools.cocoeval.Params):
    """Parameters of an evaluation.

    Args:
        iouType: 'segm', 'bbox', 'keypoints', or a kind of keypoints: one of ``PARTS``,
            'keypoints_crowd', 'keypoints_body'.
    """

    def __init__(self, iouType: str = 'segm') -> None:
        super().__init__('keypoints' if 'keypoints' in iouType else iouType)
        self.iouType = iouType


class COCOeval:
    """Average precision and recall of predictions.

    Args:
        cocoGt: COCO, the ground truth.
        cocoDt: COCO, the predictions.
        iouType: see :class:`Params`.
        sigmas: (K,), of each keypoint; None: COCO's 17.
        use_area: False: areas are taken as a share of the box.

    Attributes:
        eval: after :meth:`accumulate`: 'precision' (thresholds, recalls, categories, areas,
            detections), 'recall' without recalls, 'scores' as precision; -1 for no object.
        stats: after :meth:`summarize`: the summary's numbers.
    """

    def __init__(
        self,
        cocoGt: Any = None,
        cocoDt: Any = None,
        iouType: str = 'keypoints',
        sigmas: np.ndarray | None = None,
        use_area: bool = True,
    ) -> None:
        self.cocoGt, self.cocoDt = cocoGt, cocoDt
        self.sigmas = COCO_SIGMAS if sigmas is None else sigmas
        self.use_area = use_area
        self.score_key = 'score'
        self.params = Params(iouType)
        self.evalImgs: list = []
        self.eval: dict = {}
        self.ious: dict = {}
        self.stats: Any = []
        if cocoGt is not None:
            self.anno_file = cocoGt.anno_file
            self.params.imgIds = sorted(cocoGt.getImgIds())
            self.params.catIds = sorted(cocoGt.getCatIds())

    def evaluate(self) -> None:
        """Matches predictions and objects image by image, into ``evalImgs``."""
        p = self.params
        if p.useSegm is not None:
            p.iouType = 'segm' if p.useSegm == 1 else 'bbox'
        p.imgIds, p.maxDets = list(np.unique(p.imgIds)), sorted(p.maxDets)
        if p.useCats:
            p.catIds = list(np.unique(p.catIds))
        print(f'Evaluate annotation type *{p.iouType}*')
        self._prepare()
        categories = p.catIds if p.useCats else [-1]
        overlaps = self.computeOks if 'keypoints' in p.iouType else self.computeIoU
        self.ious = {(i, c): overlaps(i, c) for i in p.imgIds for c in categories}
        self.evalImgs = [
            self.evaluateImg(i, c, area, p.maxDets[-1])
            for c in categories
            for area in p.areaRng
            for i in p.imgIds
        ]
        self._paramsEval = copy.deepcopy(p)

    def _prepare(self) -> None:
        p = self.params
        categories = p.catIds if p.useCats else []
        truths, found = (
            coco.loadAnns(coco.getAnnIds(imgIds=p.imgIds, catIds=categories))
            for coco in (self.cocoGt, self.cocoDt)
        )
        if p.iouType == 'segm':
            for coco, annotations in ((self.cocoGt, truths), (self.cocoDt, found)):
                for annotation in annotations:
                    annotation['segmentation'] = coco.annToRLE(annotation)
        part = p.iouType.removeprefix('keypoints_')
        self.score_key = f'{part}_score' if p.iouType in PARTS else 'score'
        self._gts, self._dts = defaultdict(list), defaultdict(list)
        for truth in truths:
            truth['ignore'] = bool(truth.get('iscrowd')) or self._has_no_keypoint(truth)
            self._gts[truth['image_id'], truth['category_id']].append(truth)
        without_score = False
        for prediction in found:
            if self.score_key not in prediction:
                prediction[self.score_key] = prediction['score']
                without_score = True
            if 'keypoints' in p.iouType and not (self._keypoints(prediction)[2::3] > 0).any():
                continue
            self._dts[prediction['image_id'], prediction['category_id']].append(prediction)
        if without_score:
            warnings.warn(f"'{self.score_key}' not found, use 'score' instead.", stacklevel=1)

    def _has_no_keypoint(self, truth: dict) -> bool:
        if 'keypoints' not in self.params.iouType:
            return False
        if self.params.iouType == 'keypoints_crowd':  # CrowdPose counts the visible ones alone
            return truth['num_keypoints'] == 0
        return not (self._keypoints(truth)[2::3] > 0).any()

    def _keypoints(self, annotation: dict) -> np.ndarray:
        """(3K,), x, y and visibility of the parts that are evaluated."""
        parts = PARTS.get(self.params.iouType, ('body',))
        keys = ['keypoints' if part == 'body' else f'{part}_kpts' for part in parts]
        return np.array([number for key in keys for number in annotation[key]])

    def _area(self, truth: dict) -> float:
        if self.use_area and 'area' in truth:
            return truth['area']
        return truth['bbox'][2] * truth['bbox'][3] * AREA_OF_BOX

    def _pair(self, image: Any, category: Any) -> tuple[list[dict], list[dict]]:
        """Objects of an image, and its predictions, the most confident first."""
        categories = [category] if self.params.useCats else self.params.catIds
        truths = [truth for c in categories for truth in self._gts[image, c]]
        found = [prediction for c in categories for prediction in self._dts[image, c]]
        order = np.argsort([-d[self.score_key] for d in found], kind='mergesort')
        return truths, [found[i] for i in order[: self.params.maxDets[-1]]]

    def computeIoU(self, imgId: Any, catId: Any) -> Any:
        """(D, G) IoU of boxes or masks; [] without any."""
        truths, found = self._pair(imgId, catId)
        if not truths and not found:
            return []
        key = 'segmentation' if self.params.iouType == 'segm' else 'bbox'
        crowds = [int(truth['iscrowd']) for truth in truths]
        return mask.iou([d[key] for d in found], [g[key] for g in truths], crowds)

    def computeOks(self, imgId: Any, catId: Any) -> Any:
        """(D, G) similarity of keypoints; [] without predictions or without objects."""
        truths, found = self._pair(imgId, catId)
        if not truths or not found:
            return []
        variances = (np.asarray(self.sigmas) * 2) ** 2
        points = np.stack([self._keypoints(d) for d in found]).reshape(len(found), -1, 3)
        similarity = np.zeros((len(found), len(truths)))
        for j, truth in enumerate(truths):
            target = self._keypoints(truth).reshape(-1, 3)
            seen = target[:, 2] > 0
            if seen.any():
                offset = points[:, :, :2] - target[:, :2]
            else:  # the distance to the box at twice its size
                x, y, w, h = truth['bbox']
                low, high = np.array([x - w, y - h]), np.array([x + 2 * w, y + 2 * h])
                inside = points[:, :, :2]
                offset = np.maximum(0, low - inside) + np.maximum(0, inside - high)
                seen = np.ones_like(seen)
            area = truth['area'] if self.use_area else self._area(truth)
            error = (offset**2).sum(-1) / variances / (area + np.spacing(1)) / 2
            # contiguous: NumPy adds up the rows of another layout in another order
            exponents = np.ascontiguousarray(-error[:, seen])
            similarity[:, j] = np.exp(exponents).sum(-1) / seen.sum()
        return similarity

    def evaluateImg(self, imgId: Any, catId: Any, aRng: Any, maxDet: int) -> dict | None:
        """Matches of one image: ids, -1 for none, per threshold; None if it is empty."""
        truths, found = self._pair(imgId, catId)
        found = found[:maxDet]
        if not truths and not found:
            return None
        for truth in truths:
            outside = not aRng[0] <= self._area(truth) <= aRng[1]
            truth['_ignore'] = int(truth['ignore'] or outside)
        order = np.argsort([g['_ignore'] for g in truths], kind='mergesort')
        truths = [truths[i] for i in order]
        overlaps = self.ious[imgId, catId]
        ignored = np.array([g['_ignore'] for g in truths])
        shape = len(self.params.iouThrs), len(truths)
        of_truth, of_found = -np.ones(shape, int), -np.ones((shape[0], len(found)), int)
        found_ignored = np.zeros(of_found.shape, bool)
        if len(overlaps):
            overlaps = overlaps[:, order]
            crowd = np.array([bool(g['iscrowd']) for g in truths])
            for t, threshold in enumerate(self.params.iouThrs):
                for d, prediction in enumerate(found):
                    free = (of_truth[t] < 0) | crowd
                    best = _best(overlaps[d], free, ignored, min(threshold, 1 - 1e-10))
                    if best is None:
                        continue
                    found_ignored[t, d] = ignored[best]
                    of_found[t, d] = truths[best]['id']
                    of_truth[t, best] = prediction['id']
        outside = np.array([not aRng[0] <= d['area'] <= aRng[1] for d in found], bool)
        return dict(
            image_id=imgId,
            category_id=catId,
            aRng=aRng,
            maxDet=maxDet,
            dtIds=[d['id'] for d in found],
            gtIds=[g['id'] for g in truths],
            dtMatches=of_found,
            gtMatches=of_truth,
            dtScores=[d[self.score_key] for d in found],
            gtIgnore=ignored,
            dtIgnore=found_ignored | ((of_found < 0) & outside),
        )

    def accumulate(self, p: Any = None) -> None:
        """Precision and recall over all images, into ``eval``."""
        p = p or self.params
        p.catIds = p.catIds if p.useCats == 1 else [-1]
        counts = [len(x) for x in (p.iouThrs, p.recThrs, p.catIds, p.areaRng, p.maxDets)]
        precision, scores = -np.ones(counts), -np.ones(counts)
        recall = -np.ones([counts[0], *counts[2:]])
        rows = defaultdict(list)
        for row in self.evalImgs:
            if row is not None:
                rows[row['category_id'], tuple(row['aRng'])].append(row)
        for k, category in enumerate(p.catIds):
            for a, area in enumerate(p.areaRng):
                for m, most in enumerate(p.maxDets):
                    curve = _curve(rows[category, tuple(area)], most, p.recThrs)
                    if curve is not None:
                        precision[:, :, k, a, m], recall[:, k, a, m], scores[:, :, k, a, m] = curve
        self.eval = dict(params=p, counts=counts, precision=precision, recall=recall, scores=scores)

    def summarize(self) -> None:
        """Prints the summary and keeps it in ``stats``."""
        if not self.eval:
            raise Exception('Please run accumulate() first')
        kind = self.params.iouType
        if kind == 'keypoints_crowd':
            self.stats = self._summary_of_crowds()
        elif 'keypoints' in kind:
            self.stats = np.array(
                [
                    self._mean(kind, threshold, area, 20)
                    for kind in ('precision', 'recall')
                    for threshold, area in (
                        (None, 'all'),
                        (0.5, 'all'),
                        (0.75, 'all'),
                        (None, 'medium'),
                        (None, 'large'),
                    )
                ]
            )
        else:
            most = self.params.maxDets
            rows = [('precision', None, 'all', 100)]
            rows += [('precision', threshold, 'all', most[2]) for threshold in (0.5, 0.75)]
            rows += [('precision', None, a, most[2]) for a in ('small', 'medium', 'large')]
            rows += [('recall', None, 'all', m) for m in most]
            rows += [('recall', None, a, most[2]) for a in ('small', 'medium', 'large')]
            self.stats = np.array([self._mean(*row) for row in rows])

    def _mean(self, kind: str, threshold: float | None, area: str, most: int) -> float:
        """Prints one line; -1 without objects."""
        p = self.params
        values = self.eval[kind]
        if threshold is not None:
            values = values[np.where(threshold == p.iouThrs)[0]]
        areas = [i for i, name in enumerate(p.areaRngLbl) if name == area]
        detections = [i for i, m in enumerate(p.maxDets) if m == most]
        values = values[..., areas, detections]
        mean = values[values > -1].mean() if (values > -1).any() else -1
        title = dict(precision='Average Precision', recall='Average Recall')[kind]
        short = dict(precision='(AP)', recall='(AR)')[kind]
        iou = f'{threshold:0.2f}' if threshold else f'{p.iouThrs[0]:0.2f}:{p.iouThrs[-1]:0.2f}'
        print(f' {title:<18} {short} @[ IoU={iou:<9} | area={area:>6s} | maxDets={most:>3d} ] = {mean: 0.3f}')  # fmt: skip  # noqa: E501
        return mean

    def _summary_of_crowds(self) -> np.ndarray:
        stats = [
            self._mean(kind, threshold, 'all', 20)
            for kind in ('precision', 'recall')
            for threshold in (None, 0.5, 0.75)
        ]
        by_crowding = self.get_type_result(first=0.2, second=0.8)
        for name, value in zip(('easy', 'medium', 'hard'), by_crowding, strict=True):
            print(f' Average Precision  (AP) @[ IoU=0.50:0.95 | type={name:>6s} | maxDets= 20 ] = {value:0.3f}')  # fmt: skip  # noqa: E501
        return np.array([*stats, *by_crowding])

    def get_type_result(self, first: float = 0.01, second: float = 0.85) -> list[float]:
        """AP of images with few, some and many people over each other, rounded to 4 digits.

        Afterwards ``params`` and ``eval`` are those of the last.

        Args:
            first: below this ``crowdIndex`` an image has few.
            second: below this, some.
        """
        groups: tuple[list, list, list] = ([], [], [])
        for image in self.cocoGt.dataset['images']:
            index = image['crowdIndex']
            groups[0 if index < first else 1 if index < second else 2].append(image['id'])
        result = []
        for images in groups:
            self.params.imgIds = images
            with contextlib.redirect_stdout(io.StringIO()):
                self.evaluate()
                self.accumulate()
            result.append(round(np.mean(self.eval['precision'][:, :, :, 0, :]), 4))
        return result

    def __str__(self) -> str:
        self.summarize()
        return ''


def _best(
    overlaps: np.ndarray, free: np.ndarray, ignored: np.ndarray, threshold: float
) -> int | None:
    """The object that a prediction matches: a regular one if it can, the last of equal ones."""
    for group in (free & (ignored == 0), free & (ignored == 1)):
        candidates = np.where(group & (overlaps >= threshold), overlaps, -np.inf)
        if len(candidates) and candidates.max() > -np.inf:
            return len(candidates) - 1 - int(np.argmax(candidates[::-1]))
    return None


def _curve(
    rows: list[dict], most: int, recalls: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Precision at recalls, recall, and scores there, per threshold; None without objects."""
    objects = sum(int((row['gtIgnore'] == 0).sum()) for row in rows)
    if not objects:
        return None
    score = np.concatenate([row['dtScores'][:most] for row in rows])
    order = np.argsort(-score, kind='mergesort')
    matches, ignored = (
        np.concatenate([row[key][:, :most] for row in rows], axis=1)[:, order]
        for key in ('dtMatches', 'dtIgnore')
    )
    right = np.cumsum((matches >= 0) & ~ignored, axis=1).astype(float)
    wrong = np.cumsum((matches < 0) & ~ignored, axis=1).astype(float)
    steps, count = right.shape
    precision = np.zeros((steps, len(recalls)))
    scores = np.zeros((steps, len(recalls)))
    if not count:
        return precision, np.zeros(steps), scores
    envelope = right / (wrong + right + np.spacing(1))
    envelope = np.maximum.accumulate(envelope[:, ::-1], axis=1)[:, ::-1]
    for t in range(steps):
        place = np.searchsorted(right[t] / objects, recalls, side='left')
        reached = place < count
        precision[t, reached] = envelope[t, place[reached]]
        scores[t, reached] = score[order][place[reached]]
    return precision, right[:, -1] / objects, scores
