"""Panoptic segmentation without panopticapi, which no package registry has: maps and quality.

Panoptic quality: Kirillov et al., CVPR 2019, https://arxiv.org/abs/1801.00868, and, for void and
crowds, https://github.com/cocodataset/panopticapi.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmdet.datasets.transforms import LoadAnnotations, LoadPanopticAnnotations
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS, TRANSFORMS

from ..utils.errors import UserError
from ..utils.regular_files import read_regular

OFFSET = 1000
"""mmdet's: code of a predicted pixel = class + OFFSET times number of the instance."""
IGNORED = 255
"""mmdet's code of pixels that a prediction leaves out."""
GROUPS = {'': (0, 1), '_th': (1,), '_st': (0,)}
"""Endings of metrics, and the values of ``isthing`` over whose classes they are means."""


def segment_numbers(image: np.ndarray) -> np.ndarray:
    """Numbers (H, W) int32 of the segments in an image (H, W, 3) RGB of COCO's panoptic format:
    R + 256 G + 65536 B."""
    return image.astype(np.int32) @ np.array([1, 256, 65536], np.int32)


@TRANSFORMS.register_module()
class LoadPanopticMaps(LoadPanopticAnnotations):
    """mmdet's LoadPanopticAnnotations, which asks for panopticapi for one function.

    Args:
        options: of LoadPanopticAnnotations.
    """

    def __init__(self, **options: Any) -> None:
        options = dict(with_bbox=True, with_label=True, with_mask=True, with_seg=True) | options
        LoadAnnotations.__init__(self, **options)
        self.rgb2id = segment_numbers


def quality_counts(
    truth: np.ndarray,
    segments: Sequence[tuple[int, int, bool]],
    found: np.ndarray,
    labels: Sequence[int],
    classes: int,
) -> np.ndarray:
    """Matches predicted segments with true ones.

    Two segments of a class match if their intersection over union is above 0.5; void pixels of the
    prediction do not count. A prediction mostly in void, or in a crowd of its class, is ignored.

    Args:
        truth: (H, W), the number of the true segment, or one that ``segments`` has not: void.
        segments: number, class and whether it is a crowd, of each true segment.
        found: (H, W), 0 for void, else 1 + index into ``labels``.
        labels: classes of the predicted segments.
        classes: C.

    Returns:
        (4, C): true positives, false positives, false negatives, sum of intersections over unions.
    """
    place = {number: k for k, (number, _, _) in enumerate(segments, 1)}
    numbers, inverse = np.unique(truth, return_inverse=True)
    own = np.array([place.get(int(n), 0) for n in numbers])[inverse.reshape(truth.shape)]
    shape = len(segments) + 1, len(labels) + 1
    pairs = np.bincount((own * shape[1] + found).ravel(), minlength=shape[0] * shape[1])
    pairs = pairs.reshape(shape)
    own_label = np.array([-1, *(label for _, label, _ in segments)])
    crowd = np.array([False, *(is_crowd for _, _, is_crowd in segments)])
    found_label = np.array([-2, *labels])
    same = own_label[:, None] == found_label
    union = pairs.sum(1)[:, None] + pairs.sum(0) - pairs - pairs[0]
    iou = np.where(same & ~crowd[:, None], pairs / np.maximum(union, 1), 0)
    matches = iou > 0.5
    counts = np.zeros((4, classes))
    for k, j in zip(*np.nonzero(matches), strict=True):
        counts[[0, 3], own_label[k]] += 1, iou[k, j]
    ignored = pairs[0] + (pairs * (same & crowd[:, None])).sum(0)
    unmatched = ~matches.any(0) & (ignored <= 0.5 * pairs.sum(0))
    for j in np.nonzero(unmatched[1:])[0]:
        counts[1, labels[j]] += 1
    for k in np.nonzero(~matches.any(1) & ~crowd)[0]:
        if k:
            counts[2, own_label[k]] += 1
    return counts


@METRICS.register_module()
class PanopticQualityMetric(BaseMetric):
    """PQ, SQ and RQ in percent, over all classes that occur, over things and over stuff.

    PQ = sum of IoU of matches / (TP + FP / 2 + FN / 2); SQ is the mean IoU of matches, and
    RQ = TP / (TP + FP / 2 + FN / 2), so that PQ = SQ RQ for each class.

    Args:
        ann_file: COCO's panoptic annotations, JSON.
        seg_prefix: folder of the maps.
        collect_device: 'cpu' or 'gpu': where processes gather their results.
        prefix: before each metric's name.
    """

    default_prefix = 'coco_panoptic'

    def __init__(
        self,
        ann_file: str,
        seg_prefix: str,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.ann_file, self.seg_prefix = ann_file, Path(seg_prefix)
        self._content: dict[str, Any] | None = None

    @property
    def content(self) -> dict[str, Any]:
        """Annotations by image and classes by category, read on first use.

        Raises:
            UserError: the file cannot be read, or has another form.
        """
        if self._content is None:
            try:
                found = json.loads(read_regular(self.ann_file))
                places = {name: k for k, name in enumerate(self.dataset_meta['classes'])}
                listed = [each for each in found['categories'] if each['name'] in places]
                self._content = dict(
                    images={each['image_id']: each for each in found['annotations']},
                    labels={each['id']: places[each['name']] for each in listed},
                    things={places[each['name']]: each['isthing'] for each in listed},
                )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{self.ann_file}: expected COCO's panoptic annotations; found: {error!r}"
                ) from None
        return self._content

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Counts matches in some images.

        Args:
            data_batch: not used.
            data_samples: with img_id and pred_panoptic_seg.sem_seg (1, H, W), codes of mmdet.
        """
        labels, classes = self.content['labels'], len(self.dataset_meta['classes'])
        for sample in data_samples:
            annotation = self.content['images'][sample['img_id']]
            segments = [
                (each['id'], labels[each['category_id']], bool(each['iscrowd']))
                for each in annotation['segments_info']
                if each['category_id'] in labels
            ]
            codes = np.asarray(sample['pred_panoptic_seg']['sem_seg'].cpu()).squeeze(0)
            values, inverse = np.unique(codes, return_inverse=True)
            kept = [v for v in values.tolist() if v % OFFSET < classes and v != IGNORED]
            place = {v: k for k, v in enumerate(kept, 1)}
            found = np.array([place.get(v, 0) for v in values.tolist()])
            found = found[inverse.reshape(codes.shape)]
            truth = self._map(annotation['file_name'])
            kinds = [v % OFFSET for v in kept]
            self.results.append(quality_counts(truth, segments, found, kinds, classes))

    def _map(self, name: str) -> np.ndarray:
        path = self.seg_prefix / name
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(f'{path}: expected a panoptic map, PNG; it cannot be read')
        return segment_numbers(image[..., ::-1])

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Means over the classes that occur; not a number where none does."""
        hits, wrong, missed, iou = np.sum(results, axis=0)
        weight = hits + wrong / 2 + missed / 2
        things = np.array([self.content['things'].get(k, -1) for k in range(len(hits))])
        found = {}
        for ending, kinds in GROUPS.items():
            which = np.isin(things, kinds) & (weight > 0)
            qualities = dict(
                PQ=iou[which] / weight[which],
                SQ=np.divide(iou[which], hits[which], np.zeros(which.sum()), where=hits[which] > 0),
                RQ=hits[which] / weight[which],
            )
            for name, values in qualities.items():
                found[name + ending] = 100 * float(values.mean()) if len(values) else float('nan')
        return found
