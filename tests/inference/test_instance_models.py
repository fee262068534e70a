"""RTMDet-Ins and Mask2Former of mmdet, tiny, built from our configs: their tasks and results."""

import copy

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config

from moganet_dense.inference.predictor import load_model

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
WIDTH = 32


def rtmdet_ins() -> Config:
    cfg = Config.fromfile(ROOT / 'configs/heads/rtmdet_ins_moganet_t.py')
    cfg.model.neck.update(in_channels=[16, 24, 32], out_channels=WIDTH, num_csp_blocks=1)
    cfg.model.bbox_head.update(in_channels=WIDTH, feat_channels=WIDTH, num_prototypes=4)
    cfg.model.test_cfg.score_thr = 0.0
    cfg.model.test_cfg.max_per_img = 5
    return cfg


def mask2former(kind: str) -> Config:
    cfg = Config.fromfile(ROOT / f'configs/heads/mask2former_{kind}_moganet_t.py')
    head = cfg.model.panoptic_head
    head.update(in_channels=[8, 16, 24, 32], feat_channels=WIDTH, out_channels=WIDTH,
                num_queries=12)  # fmt: skip
    head.positional_encoding.num_feats = WIDTH // 2
    pixels, queries = head.pixel_decoder, head.transformer_decoder
    pixels.positional_encoding.num_feats = WIDTH // 2
    pixels.encoder.num_layers, queries.num_layers = 1, 2
    encoder, decoder = pixels.encoder.layer_cfg, queries.layer_cfg
    for part in (encoder.self_attn_cfg, decoder.self_attn_cfg, decoder.cross_attn_cfg):
        part.embed_dims = WIDTH
    for part in (encoder.ffn_cfg, decoder.ffn_cfg):
        part.update(embed_dims=WIDTH, feedforward_channels=WIDTH)
    return cfg


def loaded(cfg: Config):
    """On small images, with random weights that say different things of an image's parts."""
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.update(arch=TINY, init_cfg=None)
    for step in cfg.test_dataloader.dataset.pipeline:
        if step.type in ('Resize', 'Pad'):
            step.update({key: (96, 96) for key in ('scale', 'size') if key in step})
    torch.manual_seed(0)
    predictor = load_model(cfg, 'random', device='cpu')
    head = getattr(predictor.model, 'panoptic_head', None)
    if head is not None:
        with torch.no_grad():
            head.cls_embed.weight.normal_(std=2)
            head.query_feat.weight.normal_()
    return predictor


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)


@pytest.mark.parametrize('make', [rtmdet_ins, lambda: mask2former('instance')])
def test_instances_have_masks_of_the_images_size(make, image):
    predictor = loaded(make())
    assert predictor.task == 'instance segmentation'
    found = predictor(image, order='bgr')
    assert len(found) > 0 and found.masks.shape == (len(found), 60, 80)
    assert found.masks.dtype == bool and found.panoptic is None
    assert (np.diff(found.scores) <= 0).all()
    rows = found.rows()
    assert len(rows) == len(found) and all('segmentation' in row for row in rows)


def test_a_panoptic_model_returns_its_map_beside_the_instances(image):
    predictor = loaded(mask2former('panoptic'))
    predictor.model.panoptic_fusion_head.test_cfg.object_mask_thr = 0.0
    predictor.model.panoptic_fusion_head.test_cfg.iou_thr = 0.0
    found = predictor(image, order='bgr')
    panoptic = found if predictor.task == 'panoptic segmentation' else found.panoptic
    assert panoptic is not None and panoptic.segment_map.shape == (60, 80)
    assert len(panoptic) > 1
    assert set(np.unique(panoptic.segment_map)) <= {0, *(s.id for s in panoptic.segments)}
    names = predictor.names.meta['thing_classes']
    assert all(s.is_thing == (panoptic.names[s.label] in names) for s in panoptic.segments)
    rows = panoptic.rows()
    assert sum(row['area'] for row in rows) == (panoptic.segment_map > 0).sum()
