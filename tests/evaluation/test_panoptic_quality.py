"""Panoptic quality against values worked out by hand, and the maps of the sample data set."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.registry import DATASETS, DefaultScope

pytest.importorskip('mmdet')
from moganet_dense.data.validation import check_before_training
from moganet_dense.engine.job import Job
from moganet_dense.evaluation.panoptic_quality import (
    PanopticQualityMetric,
    quality_counts,
    segment_numbers,
)

CONFIG = ROOT / 'configs/heads/mask2former_panoptic_moganet_t.py'


def test_the_number_of_a_segment_is_its_color():
    assert segment_numbers(np.array([[[1, 2, 3]]], np.uint8)).tolist() == [[1 + 512 + 196608]]


def test_counts_of_a_row_of_pixels():
    """Ten pixels; classes 0 and 1, of which 1 is stuff.

    Segment 7 of class 0 has pixels 0 to 3, of which the prediction has 1 to 3: IoU 3 / 4. Segment 9
    of class 1 has 4 to 7; the prediction says 0 at two of them, and 1 at two, IoU 2 / 4, no match:
    one false negative, two false positives. Pixels 8 and 9 are void; what is predicted there alone
    counts for nothing.
    """
    truth = np.array([[7, 7, 7, 7, 9, 9, 9, 9, 0, 0]])
    found = np.array([[0, 1, 1, 1, 2, 2, 3, 3, 4, 4]])
    counts = quality_counts(truth, [(7, 0, False), (9, 1, False)], found, [0, 0, 1, 0], 2)
    assert counts.tolist() == [[1, 0], [1, 1], [0, 1], [0.75, 0]]


def test_void_is_not_part_of_a_union_and_crowds_forgive():
    """Segment 1 of class 0 has pixels 0 to 3, void 4 to 6: a prediction of 0 to 6 has IoU 1. A
    crowd of class 1 is no false negative, nor what is predicted in it a false positive."""
    truth = np.array([[1, 1, 1, 1, 0, 0, 0, 5, 5, 5]])
    found = np.array([[1, 1, 1, 1, 1, 1, 1, 2, 2, 0]])
    counts = quality_counts(truth, [(1, 0, False), (5, 1, True)], found, [0, 1], 2)
    assert counts.tolist() == [[1, 0], [0, 0], [0, 0], [1, 0]]


@pytest.fixture(scope='module')
def validation(mini, tmp_path_factory):
    """The config of a mini run, and its data set."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp('panoptic')
        (folder / 'data').mkdir()
        (folder / 'data/mini').symlink_to(mini)
        patch.chdir(folder)
        cfg = Job(CONFIG, mini=True).read()
        with DefaultScope.overwrite_default_scope('mmdet'):
            yield cfg, DATASETS.build(cfg.val_dataloader.dataset)


def test_the_true_maps_have_quality_one(validation):
    cfg, data = validation
    options = dict(cfg.val_evaluator[0])
    assert options.pop('type') == 'PanopticQualityMetric'
    metric = PanopticQualityMetric(**options)
    metric.dataset_meta = data.metainfo
    content = json.loads(Path(options['ann_file']).read_text())
    assert [each['name'] for each in content['categories']] == list(data.metainfo['classes'])
    for k in range(4):
        info = data.get_data_info(k)
        truth = metric._map(f'{info["img_id"]:012d}.png')
        codes = np.full(truth.shape, len(data.metainfo['classes']))
        for number, segment in enumerate(info['segments_info']):
            codes[truth == segment['id']] = segment['category'] + 1000 * (number + 1)
        found = dict(sem_seg=torch.as_tensor(codes)[None])
        metric.process(None, [dict(img_id=info['img_id'], pred_panoptic_seg=found)])
    found = metric.compute_metrics(metric.results)
    assert {name: round(value, 6) for name, value in found.items()} == {
        f'{name}{end}': 100 for name in ('PQ', 'SQ', 'RQ') for end in ('', '_th', '_st')
    }


def test_the_check_before_training_passes(validation):
    check_before_training(validation[0])


def test_masks_of_things_are_loaded_from_the_maps(validation):
    cfg, _ = validation
    with DefaultScope.overwrite_default_scope('mmdet'):
        data = DATASETS.build(cfg.train_dataloader.dataset)
        sample = data[0]['data_samples']
    things = sample.gt_instances
    assert len(things.masks) == len(things.labels) and sample.gt_sem_seg.sem_seg.max() <= 255
    assert 131 in sample.gt_sem_seg.sem_seg  # the wall, the last but one of 133 classes
