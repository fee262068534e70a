"""The visualizer of detections: what is drawn, where, and where it goes."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import VISUALIZERS
from mmengine.structures import InstanceData

import moganet_dense  # noqa: F401

GREY = 100


@pytest.fixture
def visualizer():
    built = VISUALIZERS.build(dict(type='DetectionVisualizer', name='test'))
    built.dataset_meta = dict(classes=('cat', 'dog'))
    return built


@pytest.fixture
def sample() -> DetDataSample:
    """One object annotated, two found of which one is sure."""
    boxes = torch.tensor([[10.0, 20.0, 40.0, 60.0], [5.0, 5.0, 95.0, 95.0]])
    truth = InstanceData(bboxes=boxes[:1], labels=torch.tensor([1]))
    found = InstanceData(bboxes=boxes, labels=torch.tensor([1, 0]), scores=torch.tensor([0.9, 0.1]))
    return DetDataSample(gt_instances=truth, pred_instances=found)


def changed(image: np.ndarray) -> np.ndarray:
    return (image != GREY).any(-1)


def test_truth_is_left_and_what_was_found_right(visualizer, sample, tmp_path):
    image = np.full((100, 100, 3), GREY, np.uint8)
    file = tmp_path / 'made' / 'drawn.png'
    visualizer.add_datasample('x', image, sample, out_file=str(file))
    drawn = cv2.imread(str(file))
    assert drawn.shape == (100, 200, 3)
    left, right = changed(drawn[:, :100]), changed(drawn[:, 100:])
    for side in (left, right):
        assert side[20, 10:41].all() and side[60, 10:41].all()  # edges of the box
        assert side[20:61, 10].all() and side[20:61, 40].all()
        assert not side[95].any() and not side[:, 95].any()  # the other one is below the threshold
    visualizer.add_datasample('x', image, sample, out_file=str(file), pred_score_thr=0.05)
    assert changed(cv2.imread(str(file))[:, 100:])[95, 5:96].all()
    visualizer.add_datasample('x', image, sample, draw_gt=False, out_file=str(file))
    assert cv2.imread(str(file)).shape == (100, 100, 3)


def test_masks_of_both_kinds_tint_what_they_cover(visualizer, sample, tmp_path):
    image = np.full((100, 100, 3), GREY, np.uint8)
    mask = np.zeros((1, 100, 100), bool)
    mask[0, 30:50, 15:35] = True
    sample.gt_instances.masks = BitmapMasks(mask.astype(np.uint8), 100, 100)
    sample.pred_instances.masks = torch.from_numpy(np.concatenate([mask, ~mask]))
    file = tmp_path / 'drawn.png'
    visualizer.add_datasample('x', image, sample, out_file=str(file))
    drawn = cv2.imread(str(file))
    for side in (drawn[:, :100], drawn[:, 100:]):
        assert changed(side)[32:48, 17:33].all() and not changed(side)[64:90, 45:].any()


def test_without_a_file_the_backends_get_it_in_rgb(visualizer, sample, monkeypatch):
    image = np.zeros((100, 100, 3), np.uint8)
    image[..., 0] = 200  # red
    seen = []
    monkeypatch.setattr(visualizer, 'add_image', lambda *arguments: seen.append(arguments))
    visualizer.add_datasample('x', image, sample, step=7)
    ((name, drawn, step),) = seen
    assert (name, step) == ('x', 7) and drawn[99, 99].tolist() == [200, 0, 0]
    visualizer.add_datasample('x', image, None)
    assert np.array_equal(seen[1][1], image)


def test_a_label_beyond_the_known_classes_is_drawn(visualizer, sample, tmp_path):
    visualizer.dataset_meta = None
    file = tmp_path / 'drawn.png'
    visualizer.add_datasample('x', np.zeros((99, 99, 3), np.uint8), sample, out_file=str(file))
    drawn = cv2.imread(str(file))
    assert drawn.shape == (99, 198, 3) and drawn.any()  # two, of a black image


def test_the_detectors_draw_with_it():
    from moganet_dense.config.reading import read_config

    assert read_config('det/retinanet_moganet_s.py').visualizer.type == 'DetectionVisualizer'
