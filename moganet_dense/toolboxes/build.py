"""Models of configs, and the outputs of their parts."""

import inspect

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement

from ..config.mini_config import start_from_scratch
from ..utils.errors import one_line

BOXES, MASKS = 1000, 100
"""Number of regions for the FLOPs of a two-stage detector, as in mmdet's tool."""


def build(cfg: Config) -> nn.Module:
    """The model of a config, without published weights.

    Raises:
        UserError: it cannot be built.
    """
    cfg = cfg.copy()
    start_from_scratch(cfg)
    scope = DefaultScope.overwrite_default_scope(cfg.default_scope)
    with one_line('the model cannot be built'), scope:
        return MODELS.build(cfg.model)


def outputs(model: nn.Module, image: torch.Tensor) -> list:
    """The outputs of each part of a model, without the selection of boxes.

    Args:
        model: of any task, in eval mode.
        image: (1, 3, H, W), normalised. A two-stage detector's heads get regions of ones.
    """
    if not hasattr(model, 'roi_head'):
        return _one_stage_outputs(model, image)
    maps = model.extract_feat(image)
    found, head = [maps, model.rpn_head(maps)], model.roi_head
    for count, part in [(BOXES, 'bbox'), (MASKS, 'mask')]:
        extractors = listed(getattr(head, f'{part}_roi_extractor', None))
        heads = listed(getattr(head, f'{part}_head', None))
        for extractor, part_head in zip(extractors, heads, strict=True):
            size = extractor.roi_layers[0].output_size
            found.append(part_head(image.new_ones(count, extractor.out_channels, *size)))
    return found


def _one_stage_outputs(model: nn.Module, image: torch.Tensor) -> list:
    """Those of models without regions; heads with queries need the image's shape."""
    shape = tuple(image.shape[-2:])
    meta = dict.fromkeys(('batch_input_shape', 'img_shape', 'ori_shape', 'pad_shape'), shape)
    samples = [BaseDataElement(metainfo=meta) for _ in image]
    head = getattr(model, 'decode_head', None)
    if 'batch_data_samples' in inspect.signature(getattr(head, 'forward', print)).parameters:
        return [head(model.extract_feat(image), samples)]  # mmseg's model passes no samples
    asks = hasattr(model, 'forward_transformer') or hasattr(model, 'panoptic_head')
    return [model(image, data_samples=samples if asks else None, mode='tensor')]


def listed(modules: nn.Module | None) -> list[nn.Module]:
    """A part of mmdet's region heads as a list: a cascade has several, others one or none."""
    if modules is None:
        return []
    return list(modules) if isinstance(modules, nn.ModuleList) else [modules]
