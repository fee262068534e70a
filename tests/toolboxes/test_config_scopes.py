"""Bases by scope, from a folder that has nothing to do with the checkout."""

import pytest
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from moganet_dense.toolboxes import config_scopes
from moganet_dense.utils.errors import UserError


def read(folder, base: str, more: str = '') -> Config:
    (folder / 'mine.py').write_text(f'_base_ = {base!r}\n{more}')
    return Config.fromfile(folder / 'mine.py')


def test_a_config_of_ours_is_a_base_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = 'model = dict(bbox_head=dict(num_classes=3))\n'
    cfg = read(tmp_path, 'moganet_dense::det/retinanet_moganet_s.py', more)
    assert cfg.model.backbone.type == 'MogaNet' and cfg.model.backbone.arch == 's'
    assert cfg.model.bbox_head.num_classes == 3
    assert cfg.default_scope == 'mmdet' and '_scope_' not in cfg.model


@pytest.mark.parametrize(
    ('base', 'kind'),
    [
        ('mmdet::_base_/models/retinanet_r50_fpn.py', 'RetinaNet'),
        ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 'RetinaNet'),
        ('mmseg::_base_/models/fpn_r50.py', 'EncoderDecoder'),
        ('mmseg::upernet/upernet_r50_4xb2-80k_cityscapes-512x1024.py', 'EncoderDecoder'),
        ('mmpretrain::_base_/models/resnet50.py', 'ImageClassifier'),
        (
            'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py',
            'TopdownPoseEstimator',
        ),
    ],
)
def test_a_config_of_a_toolbox_is_a_base_whichever_distribution_serves_it(tmp_path, base, kind):
    assert read(tmp_path, base).model.type == kind


def test_a_base_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r'did you mean one of det/retinanet_moganet_s\.py'):
        read(tmp_path, 'moganet_dense::det/retinanet_moganets.py')


@pytest.mark.parametrize(
    ('installed', 'expected'),
    [
        ({'onedl-mmengine', 'onedl-mmsegmentation'}, 'onedl-mmsegmentation'),
        ({'onedl-mmengine'}, 'onedl-mmsegmentation'),  # what it then advises to install
        ({'mmengine', 'mmsegmentation'}, 'mmsegmentation'),
        ({'mmengine'}, 'mmsegmentation'),
    ],
)
def test_the_table_has_the_distribution_of_this_line(monkeypatch, installed, expected):
    for module in config_scopes.DISTRIBUTIONS:
        monkeypatch.setitem(MODULE2PACKAGE, module, 'unknown')
    monkeypatch.setattr(config_scopes, '_installed', installed.__contains__)
    config_scopes.register()
    assert MODULE2PACKAGE['mmseg'] == expected
