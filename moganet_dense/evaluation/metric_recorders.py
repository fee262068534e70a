"""Looks over the shoulder of the toolboxes' metrics, and changes nothing of what they compute.

What the metric gathered is used where it is gathered, in the first process; no second copy of
the predictions is kept. Metrics of other kinds are left alone: a report then has their figures.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, is_main_process

from ..utils.nonfatal import nonfatal
from .coco_precision import Precision, after_accumulate
from .summary import Evaluation

Keep = Callable[[Callable[[], Evaluation]], None]


def watch(metrics: Sequence[Any], dataset: Any, keep: Keep) -> None:
    """Watches those of the metrics that are known.

    Args:
        metrics: of an evaluator.
        dataset: what is evaluated.
        keep: is given, after every evaluation and in the first process, what makes the
            :class:`Evaluation`; it takes care of errors.
    """
    for metric in metrics:
        for kind in type(metric).__mro__:
            if look := _WATCHES.get((kind.__module__.partition('.')[0], kind.__name__)):
                look(metric, dataset, keep)
                break


def _boxes(metric: Any, dataset: Any, keep: Keep) -> None:
    from .detection import DetectionRecord

    compute = metric.compute_metrics

    def compute_metrics(results: list) -> dict:
        precisions: list[Precision] = []

        def look(found: Any) -> None:
            with nonfatal('looking at precisions'):
                if found.params.useCats:  # else boxes of no class, as proposals are
                    precisions.append(Precision(found))

        with after_accumulate(look):
            metrics = compute(results)
        keep(lambda: DetectionRecord(metric, Paths(metric._coco_api, dataset)).evaluation(
            results, precisions))  # fmt: skip
        return metrics

    metric.compute_metrics = compute_metrics


def _joints(metric: Any, dataset: Any, keep: Keep) -> None:
    from .keypoints import KeypointRecord

    compute = metric.compute_metrics

    def look(found: Any) -> None:
        keep(lambda: KeypointRecord(
            found, metric.dataset_meta, Paths(metric.coco, dataset)).evaluation())  # fmt: skip

    def compute_metrics(results: list) -> dict:
        with after_accumulate(look):
            return compute(results)

    metric.compute_metrics = compute_metrics


def _pixels(metric: Any, dataset: Any, keep: Keep) -> None:
    from .segmentation import SegmentationRecord

    process, evaluate = metric.process, metric.evaluate
    meta = metric.dataset_meta
    gathered: list[SegmentationRecord] = []

    def process_and_count(batch: Any, samples: Sequence[dict]) -> None:
        process(batch, samples)
        with nonfatal('counting pixels'):
            if not gathered:
                gathered.append(
                    SegmentationRecord(meta['classes'], meta.get('palette'), metric.ignore_index)
                )
            for sample in samples:
                truth, found = (sample[k]['data'].squeeze() for k in ('gt_sem_seg', 'pred_sem_seg'))
                gathered[0].add(sample['img_path'], truth, found)

    def evaluate_and_merge(size: int) -> dict:
        metrics = evaluate(size)
        parts = [part for parts in all_gather_object(gathered) for part in parts]
        gathered.clear()

        def merged() -> Evaluation:
            for part in parts[1:]:
                parts[0].merge(part)
            return parts[0].evaluation()

        if is_main_process():
            keep(merged)
        return metrics

    metric.process, metric.evaluate = process_and_count, evaluate_and_merge


def _labels(metric: Any, dataset: Any, keep: Keep) -> None:
    from .classification import evaluation

    compute = metric.compute_metrics

    def path(place: int) -> str:
        return dataset.get_data_info(place)['img_path']

    def compute_metrics(results: list) -> dict:
        count = len(results[0].get('pred_score', ()))
        names = metric.dataset_meta.get('classes') or [str(k) for k in range(count)]
        if count:
            keep(lambda: evaluation(results, names, path))
        return compute(results)

    metric.compute_metrics = compute_metrics


_WATCHES = {
    ('mmdet', 'CocoMetric'): _boxes,
    ('mmpose', 'CocoMetric'): _joints,
    ('mmseg', 'IoUMetric'): _pixels,
    ('mmpretrain', 'Accuracy'): _labels,
}


class Paths:
    """Files of images by their ids in a COCO annotation file, looked for when asked for."""

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
