"""Configs whose test pipeline makes small images, for tests that load models."""

from conftest import ROOT
from mmengine.config import Config

from moganet_dense.config.reading import read_config


def small(config: str) -> Config:
    """The config at a path below the root; a detector tells all that it finds."""
    cfg = read_config(ROOT / config)
    for step in cfg.test_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = (192, 160) if cfg.default_scope == 'mmdet' else (512, 128)
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline  # where mmseg's function looks
    test_cfg = cfg.model.get('test_cfg') or {}
    if 'rcnn' in test_cfg:
        test_cfg.rcnn.score_thr, test_cfg.rpn.max_per_img = 0.0, 40
    elif cfg.default_scope == 'mmdet':
        test_cfg.score_thr = 0.0
    elif cfg.default_scope == 'mmpose':
        test_cfg.flip_test = False
    return cfg
