"""The parts of a run outside the network: loading, choice of boxes, masks, drawing, evaluation.

``python tools/benchmark.py pipeline`` and ``evaluation``. Photographs of true size come from the
folder that MOGANET_TEST_DATA names (coco4, ade3, as in the tests); what a trained network would
give, and annotations in COCO's number, are drawn.
"""

import contextlib
import io
import json
import logging
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from benchmark_cpu import LAST, Form
from drawn_coco import draw
from mmdet.evaluation.metrics import CocoMetric as DetMetric
from mmdet.structures.mask import encode_mask_results
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, VISUALIZERS, DefaultScope
from mmengine.structures import InstanceData
from mmpose.evaluation.metrics import CocoMetric as PoseMetric
from mmseg.evaluation import IoUMetric
from torch import nn

from moganet_dense.config.reading import read_config
from moganet_dense.data.image_io import load_whole
from moganet_dense.evaluation.fast_coco_eval import metric_class
from moganet_dense.toolboxes.build import build, outputs

PHOTOGRAPHS = Path(os.environ.get('MOGANET_TEST_DATA', '.'))
DET, SEG, POSE = (
    'det/mask_rcnn_moganet_s.py',
    'seg/upernet_moganet_s.py',
    'pose/topdown_moganet_s_256x192.py',
)
COCO4 = dict(ann_file='annotations/person_keypoints.json', data_prefix=dict(img='images/'))
ADE3 = dict(data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'))
PHOTOGRAPHED = {
    'mmdet': dict(COCO4, data_root=f'{PHOTOGRAPHS}/coco4'),
    'mmpose': dict(COCO4, data_root=f'{PHOTOGRAPHS}/coco4', bbox_file=None),
    'mmseg': dict(ADE3, data_root=f'{PHOTOGRAPHS}/ade3'),
}
BATCH = {'mmdet': 2, 'mmseg': 2, 'mmpose': 8}
BOXES = 100
"""Boxes and masks of an image that a detector keeps."""

Seconds = dict[str, list[float]]


def time_loading(cfg: Config, part: str, rounds: int) -> tuple[Seconds, dict]:
    """Seconds of each transform on one sample, and a batch of what comes out."""
    dataset = cfg[f'{part}_dataloader'].dataset
    dataset.update(PHOTOGRAPHED[cfg.default_scope])
    dataset = DATASETS.build(dataset)
    load_whole(dataset)
    seconds, samples = defaultdict(list), []
    for _ in range(rounds + 1):
        for index in range(min(4, len(dataset))):
            sample = dataset.get_data_info(index)
            for step in dataset.pipeline.transforms:
                start = time.process_time()
                sample = step(sample)
                name = type(getattr(step, 'load', step)).__name__
                seconds[name].append(time.process_time() - start)
            samples.append(sample)
    count = len(samples) // (rounds + 1)
    seconds = {name: values[count:] for name, values in seconds.items()}
    size = BATCH[cfg.default_scope]
    batch = [samples[i] for i in range(size)]
    return seconds, pseudo_collate(batch if part == 'train' else batch[:1])


def each(runs: dict[str, Callable], rounds: int, share: int = 1) -> Seconds:
    """Seconds of the processor of each run, a ``share``-th of them; the first round left out."""
    seconds = defaultdict(list)
    for _ in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append((time.process_time() - start) / share)
    return {name: values[1:] for name, values in seconds.items()}


def time_task(config: str, rounds: int) -> dict[str, Seconds]:
    """Training up to the network, and testing, of one image or person."""
    cfg = read_config(config)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = build(cfg).eval()
        Form(deploy=True, channels_last=True).apply(model)
        trained, batch = time_loading(cfg, 'train', rounds)
        trained |= each(
            {'collated': lambda: model.data_preprocessor(batch, True)}, rounds, len(batch['inputs'])
        )
        tested, batch = time_loading(cfg, 'test', rounds)
        image = model.data_preprocessor(batch, False)['inputs'].contiguous(memory_format=LAST)
        sample = batch['data_samples'][0]
        runs = {
            'collated': lambda: model.data_preprocessor(batch, False),
            'network, deploy, channels_last': lambda: outputs(model, image),
        }
        with torch.no_grad():
            tested |= each(runs | AFTER[cfg.default_scope](model, image, sample), rounds)
    return {f'{config}, training': trained, f'{config}, testing': tested}


def after_detector(model: nn.Module, image: torch.Tensor, sample: Any) -> dict[str, Callable]:
    """Boxes of one class of 80, 100 masks of 28 x 28, as Mask R-CNN ends."""
    meta, config, head = sample.metainfo, model.test_cfg, model.roi_head
    height, width = meta['img_shape']
    corners = torch.rand(config.rpn.max_per_img, 2) * torch.tensor([width, height]) * 0.8
    boxes = torch.cat([corners, corners + torch.rand_like(corners) * 200], 1)
    regions = torch.cat([torch.zeros(len(boxes), 1), boxes], 1)
    scores = 4 * torch.randn(len(boxes), 81) - 4  # four classes of a region above 0.05
    scores[:, -1] += 8
    moves = torch.randn(len(boxes), 320) * 0.3
    maps = model.rpn_head(model.extract_feat(image))
    proposal = ConfigDict(config.rpn)

    def propose() -> None:
        model.rpn_head.predict_by_feat(*maps, batch_img_metas=[meta], cfg=proposal)

    def choose() -> list[InstanceData]:
        return head.bbox_head.predict_by_feat(
            (regions,), (scores,), (moves,), [meta], config.rcnn, rescale=True
        )

    found = choose()
    assert len(found[0]) == BOXES
    logits = torch.randn(BOXES, 80, 28, 28)

    def paste() -> list[InstanceData]:
        copied = [found[0].clone()]
        return head.mask_head.predict_by_feat((logits,), copied, [meta], config.rcnn, rescale=True)

    masks = smooth(paste()[0].masks)
    drawn = sample.clone()
    drawn.pred_instances = found[0][:15].clone()
    drawn.pred_instances.masks, drawn.pred_instances.scores[:] = masks[:15], 0.9
    visualizer = VISUALIZERS.build(dict(type='DetLocalVisualizer', name=str(time.time())))
    visualizer.dataset_meta = dict(classes=[f'c{i}' for i in range(80)], palette='random')
    canvas = np.zeros((*meta['ori_shape'], 3), np.uint8)
    return {
        'regions chosen (NMS)': propose,
        'boxes chosen (NMS)': choose,
        '100 masks pasted': paste,
        '100 masks encoded': lambda: encode_mask_results(masks.numpy()),
        '15 boxes and masks drawn': lambda: visualizer.add_datasample(
            'x', canvas, drawn, draw_gt=False
        ),
    }


def smooth(masks: torch.Tensor) -> torch.Tensor:
    """Discs in place of noise, which nobody's mask is, and which takes long to encode."""
    height, width = masks.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    centre = torch.rand(len(masks), 2, 1, 1) * torch.tensor([height, width]).view(2, 1, 1)
    return (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < 60**2


def after_segmentor(model: nn.Module, image: torch.Tensor, sample: Any) -> dict[str, Callable]:
    """Scores at the size of the network's input, resized to the image's."""
    logits = torch.randn(1, 150, *image.shape[2:])
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=[f'c{i}' for i in range(150)])
    label = sample.gt_sem_seg.data
    result = dict(
        pred_sem_seg=dict(data=torch.randint(150, label.shape)), gt_sem_seg=dict(data=label)
    )
    return {
        'scores resized, classes chosen': lambda: model.postprocess_result(
            logits, [sample.clone()]
        ),
        'areas counted (mIoU)': lambda: metric.process({}, [result]),
    }


def after_pose(model: nn.Module, image: torch.Tensor, sample: Any) -> dict[str, Callable]:
    heatmaps = torch.rand(1, 17, *(side // 4 for side in image.shape[2:]))
    return {
        'network, flipped too': lambda: outputs(model, image.flip(-1)),
        'heat maps decoded': lambda: model.head.decode(heatmaps),
    }


AFTER = {'mmdet': after_detector, 'mmseg': after_segmentor, 'mmpose': after_pose}


def time_evaluation(images: int) -> dict[str, Seconds]:
    """Whole metrics, as many results as of COCO's val2017 if ``images`` is 5000, once.

    Seconds of the processor, of all threads: other work on the machine does not count.
    """
    logging.disable(logging.INFO)
    found = {}
    for kind, detections in [('bbox', BOXES), ('segm', BOXES), ('keypoints', 20)]:
        people = kind == 'keypoints'
        drawing = dict(categories=1, objects=2.2) if people else {}
        data, results = draw(kind, images, detections, **drawing)
        with tempfile.NamedTemporaryFile('w', suffix='.json') as file:
            json.dump(data, file)
            file.flush()
            title = f'COCO, {kind}: {images} images, {len(results)} results'
            with contextlib.redirect_stdout(io.StringIO()):
                make = pose_metric if people else det_metric
                found[title] = dict(evaluated(make, file.name, kind, data, results))
    return found


def evaluated(make: Callable, *arguments: Any) -> Iterator[tuple[str, list[float]]]:
    metrics = []
    for name, ours in [('as the toolbox has it', False), ('in our runs', True)]:
        metric, results = make(ours, *arguments)
        start = time.process_time()
        metrics.append(metric.compute_metrics(results))
        yield name, [time.process_time() - start]
    assert metrics[0] == metrics[1] or np.allclose(*(list(m.values()) for m in metrics), atol=1e-9)


def grouped(data: dict, results: list[dict]) -> Iterator[tuple[int, list[dict]]]:
    by_image = defaultdict(list)
    for result in results:
        by_image[result['image_id']].append(result)
    for image in data['images']:
        yield image['id'], by_image[image['id']]


def det_metric(
    ours: bool, file: str, kind: str, data: dict, results: list[dict]
) -> tuple[DetMetric, list]:
    metric = (metric_class('mmdet') if ours else DetMetric)(file, kind)
    metric.dataset_meta = dict(classes=[c['name'] for c in data['categories']])
    rows = []
    for image, mine in grouped(data, results):
        boxes = np.array([r.get('bbox', (0, 0, 1, 1)) for r in mine]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        row = dict(
            img_id=image,
            bboxes=boxes,
            scores=np.array([r['score'] for r in mine]),
            labels=np.array([r['category_id'] - 1 for r in mine], int),
        )
        if kind == 'segm':
            row['masks'] = [
                dict(r['segmentation'], counts=r['segmentation']['counts'].encode()) for r in mine
            ]
        rows.append((dict(img_id=image, width=640, height=480), row))
    return metric, rows


def pose_metric(
    ours: bool, file: str, kind: str, data: dict, results: list[dict]
) -> tuple[PoseMetric, list]:
    metric = (metric_class('mmpose') if ours else PoseMetric)(ann_file=file, iou_type=kind)
    sigmas = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1e3
    metric.dataset_meta = dict(num_keypoints=17, sigmas=sigmas)
    rows = []
    for number, result in enumerate(results):
        keypoints = np.array(result['keypoints']).reshape(1, 17, 3)
        row = dict(
            id=number,
            img_id=result['image_id'],
            category_id=1,
            keypoints=keypoints[..., :2],
            keypoint_scores=keypoints[..., 2],
            bbox_scores=np.array([result['score']]),
            areas=np.prod([result['bbox'][2:]], axis=1),
        )
        rows.append((row, {}))
    return metric, rows


def time_tasks(rounds: int) -> dict[str, Seconds]:
    """Training up to the network, and testing, step by step for each task.

    Seconds of the processor on one thread, as in a loader's process: so that steps can be
    compared, and other work on the machine does not count.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    logging.disable(logging.INFO)
    found = {}
    for config in (DET, SEG, POSE):
        found |= time_task(config, rounds)
    return found
