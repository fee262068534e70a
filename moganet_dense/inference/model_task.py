"""Which task a model has, by what it returns; and panoptic maps of mmdet."""

from typing import Any

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config

from ..config.reading import SCOPES
from ..results import Panoptic, Segment
from ..utils.nonfatal import nonfatal
from .metainfo import Names

INSTANCES, PANOPTIC = 'instance segmentation', 'panoptic segmentation'
OFFSET = 1000
"""mmdet's: code of a pixel = class + OFFSET times number of the instance."""
PROBE = 64
"""Pixels of the side of an empty image by which the outputs of a model are found."""
_QUERY_HEADS = {'MaskFormerHead', 'Mask2FormerHead', 'SideAdapterCLIPHead'}


def task_of(model: nn.Module, cfg: Config) -> str:
    """The task of a model.

    A detector that has no region head for masks is run on a small empty image: RTMDet-Ins, SOLO and
    Mask2Former return masks, and Mask2Former, if its config enables it, a panoptic map.
    """
    task = SCOPES[cfg.default_scope]
    if cfg.default_scope != 'mmdet':
        return task
    if getattr(model, 'with_mask', False) and hasattr(model, 'roi_head'):
        return INSTANCES
    if not _may_return_masks(model):
        return task
    returned = _returned(model)
    if 'masks' in returned.get('pred_instances', {}):
        return INSTANCES
    if 'pred_panoptic_seg' in returned and 'pred_instances' not in returned:
        return PANOPTIC
    return task


def _may_return_masks(model: nn.Module) -> bool:
    names = (name for name, _ in model.named_modules())
    kinds = ' '.join(type(module).__name__ for module in model.children())
    return 'Ins' in kinds or any('mask' in name or 'panoptic' in name for name in names)


def _returned(model: nn.Module) -> Any:
    """What the model returns for an empty image; {} if it fails on one."""
    from mmdet.structures import DetDataSample

    size = (PROBE, PROBE)
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size, scale_factor=(1.0, 1.0),
                batch_input_shape=size)  # fmt: skip
    sample = DetDataSample(metainfo=meta)
    data = dict(inputs=[torch.zeros(3, *size, dtype=torch.uint8)], data_samples=[sample])
    found: list[Any] = []
    with nonfatal('the task of the model is not found by a trial'), torch.no_grad():
        found = model.test_step(data)
    return found[0] if found else {}


def sums_queries(head: nn.Module) -> bool:
    """Whether a head of mmseg returns sums over queries, which are probabilities, not logits."""
    return any(kind.__name__ in _QUERY_HEADS for kind in type(head).__mro__)


def panoptic_map(codes: np.ndarray, classes: tuple[str, ...], names: Names) -> Panoptic:
    """A panoptic map of mmdet with segments that count from 1.

    Args:
        codes: (H, W), class + 1000 times the instance; the number of classes, or more, for none.
        classes: names of things and stuff.
        names: with the data set's metainfo, which separates things from stuff.
    """
    things = set(names.meta.get('thing_classes') or ())
    segment_map, segments = np.zeros(codes.shape, np.int32), []
    for code in np.unique(codes):
        label = int(code) % OFFSET
        if label >= len(classes):
            continue
        is_thing = classes[label] in things if things else int(code) >= OFFSET
        segments.append(Segment(len(segments) + 1, label, is_thing))
        segment_map[codes == code] = len(segments)
    return Panoptic(segment_map, tuple(segments), classes, names.palette)
