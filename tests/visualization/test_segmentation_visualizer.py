"""The visualizer of segmentation: colors by hand, what is ignored, the list of classes."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample

import moganet_dense.toolboxes.mmseg  # noqa: F401

CLASSES, PALETTE = ('wall', 'sky'), [[200, 0, 0], [0, 0, 100]]
GREY = 100


@pytest.fixture
def visualizer(monkeypatch):
    built = VISUALIZERS.build(dict(type='SegmentationVisualizer', name='test', alpha=0.25))
    built.dataset_meta = dict(classes=CLASSES, palette=PALETTE)
    built.seen = []
    monkeypatch.setattr(built, 'add_image', lambda name, image, step: built.seen.append(image))
    return built


def sample(labels: np.ndarray, kind: str = 'pred_sem_seg') -> SegDataSample:
    return SegDataSample(**{kind: PixelData(data=torch.from_numpy(labels)[None])})


def test_every_pixel_has_the_color_of_its_class(visualizer):
    labels = np.zeros((80, 120), np.uint8)
    labels[:, 40:], labels[:, 80:] = 1, 255
    image = np.full((80, 120, 3), GREY, np.uint8)
    visualizer.add_datasample('x', image, sample(labels), with_labels=False)
    (drawn,) = visualizer.seen
    # three quarters of 100, and a quarter of the class's color; ignored: of black
    assert drawn[:, :40].reshape(-1, 3).tolist() == [[125, 75, 75]] * 3200
    assert drawn[:, 40:80].reshape(-1, 3).tolist() == [[75, 75, 100]] * 3200
    assert drawn[:, 80:].reshape(-1, 3).tolist() == [[75, 75, 75]] * 3200
    assert (image == GREY).all()


def test_the_largest_classes_are_listed_on_patches_of_their_colors(visualizer):
    labels = np.zeros((200, 200), np.int64)
    labels[:50] = 1
    visualizer.add_datasample('x', np.full((200, 200, 3), GREY, np.uint8), sample(labels))
    (drawn,) = visualizer.seen
    assert drawn[0, 0].tolist() == [200, 0, 0]  # the larger one first
    below = [tuple(pixel) for pixel in drawn[1:60, 0].tolist()]
    assert (0, 0, 100) in below and drawn[199, 199].tolist() == [125, 75, 75]


def test_truth_is_left_and_what_was_found_right(visualizer):
    both = sample(np.zeros((60, 70), np.int64), 'gt_sem_seg')
    both.pred_sem_seg = PixelData(data=torch.ones(1, 60, 70, dtype=torch.int64))
    image = np.full((60, 70, 3), GREY, np.uint8)
    visualizer.add_datasample('x', image, both, with_labels=False)
    (drawn,) = visualizer.seen
    assert drawn.shape == (60, 140, 3)
    assert drawn[30, 30].tolist() == [125, 75, 75] and drawn[30, 100].tolist() == [75, 75, 100]


def test_the_segmentors_draw_with_it():
    from moganet_dense.config.reading import read_config

    assert read_config('seg/sem_fpn_moganet_s.py').visualizer.type == 'SegmentationVisualizer'
