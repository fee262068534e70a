"""The task is what a model returns; sums over queries are probabilities; panoptic maps."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn as nn

from moganet_dense.inference.metainfo import Names
from moganet_dense.inference.model_task import (
    INSTANCES,
    PANOPTIC,
    panoptic_map,
    sums_queries,
    task_of,
)
from moganet_dense.inference.pixel_classes import label_pixels, share


def test_the_share_of_a_pixels_class_by_hand():
    """Two classes on 1 x 3 pixels: one query that is sure, three that are, one that is half."""
    sums = torch.tensor([[[[1.0, 3.0, 0.5]], [[0.0, 1.0, 0.25]]]])
    labels, highest = label_pixels(sums, 1, 3, False)
    assert labels.tolist() == [[[0, 0, 0]]]
    assert share(sums, highest, False).tolist() == [[[1.0, 0.75, 0.5]]]


def test_heads_of_queries_are_known_by_their_class():
    class MaskFormerHead(nn.Module): ...

    class Own(MaskFormerHead): ...

    class FCNHead(nn.Module): ...

    assert sums_queries(Own()) and sums_queries(MaskFormerHead()) and not sums_queries(FCNHead())


class Detector(nn.Module):
    """Returns the given results."""

    def __init__(self, child: str, **returned) -> None:
        super().__init__()
        self.add_module(child, nn.Identity())
        self.returned = returned

    def test_step(self, data):
        if self.returned.get('fails'):
            raise RuntimeError('of this size')
        from mmdet.structures import DetDataSample

        assert data['inputs'][0].shape == (3, 64, 64)
        sample = DetDataSample()
        for name, value in self.returned.items():
            setattr(sample, name, value())
        return [sample]


def instances(**fields):
    from mmengine.structures import InstanceData

    return lambda: InstanceData(bboxes=torch.zeros(0, 4), **fields)


def pixels():
    from mmengine.structures import PixelData

    return PixelData(sem_seg=torch.zeros(1, 4, 4))


def test_the_task_is_what_a_detector_returns():
    pytest.importorskip('mmdet')
    cfg = SimpleNamespace(default_scope='mmdet')
    masks = instances(masks=torch.zeros(0, 4, 4))
    models = {
        INSTANCES: Detector('mask_head', pred_instances=masks),
        PANOPTIC: Detector('panoptic_head', pred_panoptic_seg=pixels),
        'detection': Detector('bbox_head', fails=True),  # not tried: nothing in it is of masks
    }
    for task, model in models.items():
        assert task_of(model, cfg) == task
    both = Detector('panoptic_head', pred_instances=masks, pred_panoptic_seg=pixels)
    assert task_of(both, cfg) == INSTANCES
    assert task_of(Detector('mask_head', fails=True), cfg) == 'detection'
    assert (
        task_of(Detector('decode_head'), SimpleNamespace(default_scope='mmseg')) == 'segmentation'
    )


def test_a_panoptic_map_by_hand():
    """Two dogs (class 1), sky (class 2); 3 is the code of no class of three."""
    codes = np.array([[1001, 1001, 2], [2001, 3, 2]])
    names = Names(
        ('cat', 'dog', 'sky'), np.zeros((3, 3), np.uint8), meta=dict(thing_classes=('cat', 'dog'))
    )
    found = panoptic_map(codes, names.classes, names)
    assert found.segment_map.tolist() == [[2, 2, 1], [3, 0, 1]]
    assert [(s.id, s.label, s.is_thing) for s in found.segments] == [
        (1, 2, False), (2, 1, True), (3, 1, True),
    ]  # fmt: skip
