"""Records evaluations for the report, next to the metrics of the toolboxes.

COCO metrics pass their data to the listeners of
:func:`~moganet_dense.evaluation.fast_coco_eval.FastCocoMetric`. Next to mmseg's IoUMetric,
mmpretrain's Accuracy, mmpose's InterHandMetric and our metrics of videos and 3D poses a metric of
ours is added, which collects data and returns no values. Of other metrics a report shows only the
values.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, is_main_process
from mmengine.evaluator import BaseMetric, Evaluator

from .coco_precision import Precision
from .summary import Evaluation

Keep = Callable[[Callable[[], Evaluation]], None]
"""Called after every evaluation, in the first process, with the function that creates the
:class:`Evaluation`; handles its errors."""


def record(evaluator: Evaluator, dataset: Any, keep: Keep) -> None:
    """Makes the supported metrics pass their evaluations to ``keep``."""
    for metric in list(evaluator.metrics):
        for kind in type(metric).__mro__:
            if kind.__name__ in _BASELINES:
                break
            name = (kind.__module__.partition('.')[0], kind.__name__)
            if name in _LISTENERS and hasattr(metric, 'listeners'):
                metric.listeners.append(_LISTENERS[name](dataset, keep))
                break
            if name in _COMPANIONS:
                evaluator.metrics.append(_COMPANIONS[name](metric, dataset, keep))
                break


def _boxes(dataset: Any, keep: Keep) -> Callable:
    from .detection import DetectionRecord

    def listen(metric: BaseMetric, results: list, evaluated: list[Any]) -> None:
        def make() -> Evaluation:
            # boxes without classes, such as proposals, have no table
            precisions = [Precision(found) for found in evaluated if found.params.useCats]
            paths = Paths(metric._coco_api, dataset)
            return DetectionRecord(metric, paths).evaluation(results, precisions)

        keep(make)

    return listen


def _keypoints(dataset: Any, keep: Keep) -> Callable:
    from .keypoints import KeypointRecord

    def listen(metric: BaseMetric, results: list, evaluated: list[Any]) -> None:
        paths = Paths(metric.coco, dataset)
        for found in evaluated:
            keep(lambda found=found: KeypointRecord(found, metric.dataset_meta, paths).evaluation())

    return listen


class _Companion(BaseMetric):
    """A metric that collects data for the report next to another metric, and returns no values.

    Args:
        metric: the other metric.
        dataset: the evaluated data set.
        keep: called with the function that creates the evaluation.
    """

    def __init__(self, metric: BaseMetric, dataset: Any, keep: Keep) -> None:
        super().__init__()
        self.metric, self.dataset, self.keep = metric, dataset, keep
        self.dataset_meta = metric.dataset_meta

    def compute_metrics(self, results: list) -> dict:
        return {}

    def evaluate(self, size: int) -> dict:
        """Gathers the data of all processes; returns no values."""
        parts = all_gather_object(self.results)
        self.results = []
        if is_main_process():
            self.finish(parts, size)
        return {}

    def finish(self, parts: list[list], size: int) -> None:
        """Passes on the gathered data of ``size`` samples in total."""
        raise NotImplementedError


class SegmentationRecorder(_Companion):
    """Counts pixels next to mmseg's IoUMetric; results are one record."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        from .segmentation import SegmentationRecord

        meta = self.dataset_meta
        if not self.results:
            ignored = self.metric.ignore_index
            self.results = [SegmentationRecord(meta['classes'], meta.get('palette'), ignored)]
        for sample in data_samples:
            truth, found = (sample[k]['data'].squeeze() for k in ('gt_sem_seg', 'pred_sem_seg'))
            self.results[0].add(sample['img_path'], truth, found)

    def finish(self, parts: list[list], size: int) -> None:
        records = [record for part in parts for record in part]

        def merged() -> Evaluation:
            for record in records[1:]:
                records[0].merge(record)
            return records[0].evaluation()

        self.keep(merged)


class ClassificationRecorder(_Companion):
    """Records predictions next to mmpretrain's Accuracy: (predicted class, score, true class)."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            if 'pred_score' in sample:
                scores, truth = sample['pred_score'].float(), sample['gt_label'].flatten()[0]
                found = int(scores.argmax())
                self.results.append((found, float(scores[found]), int(truth), len(scores)))

    def finish(self, parts: list[list], size: int) -> None:
        from .classification import evaluation

        # samples are distributed in turn, and the last batch may be padded
        longest = max((len(part) for part in parts), default=0)
        rows = [part[i] for i in range(longest) for part in parts if i < len(part)][:size]
        if not rows:
            return
        names = self.dataset_meta.get('classes') or [str(k) for k in range(rows[0][3])]

        def path(place: int) -> str:
            return self.dataset.get_data_info(place)['img_path']

        self.keep(lambda: evaluation([row[:3] for row in rows], names, path))


class _MergingCompanion(_Companion):
    """A companion whose results are one record, with ``merge`` and ``evaluation``."""

    def finish(self, parts: list[list], size: int) -> None:
        records = [record for part in parts for record in part]

        def merged() -> Evaluation:
            for record in records[1:]:
                records[0].merge(record)
            return records[0].evaluation(size)

        self.keep(merged)


class VideoRecorder(_MergingCompanion):
    """Notes errors by frame beside our VideoPredictionMetric."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        from .predicted_frames import VideoRecord

        if not self.results:
            self.results = [VideoRecord()]
        for sample in data_samples:
            self.results[0].add(sample)


class Pose3DRecorder(_MergingCompanion):
    """Notes errors by keypoint beside our Pose3DMetric."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        from .poses_3d import Pose3DRecord

        meta = self.dataset.metainfo
        if not self.results:
            names = meta['keypoint_id2name'].values()
            self.results = [Pose3DRecord(names, meta['skeleton_links'], self.metric.roots)]
        for sample in data_samples:
            truth, found = self.metric.points(sample)
            self.results[0].add(sample['img_path'], truth, found)


class HandsRecorder(_MergingCompanion):
    """Notes errors by keypoint beside mmpose's InterHandMetric, of whose last results it reads."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        from .hands_3d import HandsRecord

        if not {'MPJPE', 'MRRPE'} <= set(self.metric.modes):
            return
        meta = self.dataset.metainfo
        if not self.results:
            names = meta['keypoint_id2name'].values()
            self.results = [HandsRecord(names, meta['skeleton_links'])]
        last = self.metric.results[-len(data_samples) :]
        for sample, result in zip(data_samples, last, strict=True):
            self.results[0].add(sample['img_path'], result)

    def finish(self, parts: list[list], size: int) -> None:
        if any(parts):
            super().finish(parts, size)


_LISTENERS = {('mmdet', 'CocoMetric'): _boxes, ('mmpose', 'CocoMetric'): _keypoints}
_BASELINES = {'FlatInterHandMetric'}
"""Metrics that do not measure the model's predictions."""
_COMPANIONS = {
    ('mmseg', 'IoUMetric'): SegmentationRecorder,
    ('mmpretrain', 'Accuracy'): ClassificationRecorder,
    ('moganet_dense', 'VideoPredictionMetric'): VideoRecorder,
    ('moganet_dense', 'Pose3DMetric'): Pose3DRecorder,
    ('mmpose', 'InterHandMetric'): HandsRecorder,
}


class Paths:
    """Files of images by their ids in a COCO annotation file, read on first use."""

    def __init__(self, coco: Any, dataset: Any) -> None:
        self.coco = coco
        self.folders = [part.data_prefix['img'] for part in _leaves(dataset)]

    def __getitem__(self, image: Any) -> str:
        name = self.coco.imgs[image]['file_name']
        files = [Path(folder, name) for folder in self.folders]
        return str(next((file for file in files if file.is_file()), files[0]))


def _leaves(dataset: Any) -> Iterator[Any]:
    inner = [*getattr(dataset, 'datasets', []), getattr(dataset, 'dataset', None)]
    inner = [part for part in inner if part is not None]
    if not inner:
        yield dataset
    for part in inner:
        yield from _leaves(part)
