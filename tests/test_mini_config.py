"""What --mini changes in a config, on pieces small enough to work out by hand."""

import pytest
from mmengine.config import Config

from moganet_dense.apis.mini import apply_mini, shrunk
from moganet_dense.errors import UserError


def test_every_size_shrinks_and_nothing_else_does():
    pipeline = [
        dict(type='RandomChoice', transforms=[
            [dict(type='RandomChoiceResize', scales=[(480, 1333), (800, 1333)], keep_ratio=True)],
            [dict(type='RandomCrop', crop_size=(384, 600), prob=0.5)],
        ]),
        dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0)),
        dict(type='TopdownAffine', input_size=(192, 256)),
        dict(type='GenerateTarget', encoder=dict(heatmap_size=(48, 64), sigma=2)),
    ]  # fmt: skip
    found = shrunk(pipeline, 0.25)
    assert found[0]['transforms'][0][0]['scales'] == [(120, 333), (200, 333)]
    assert found[0]['transforms'][1][0] == dict(type='RandomCrop', crop_size=(96, 150), prob=0.5)
    assert found[1] == dict(type='RandomResize', scale=(512, 128), ratio_range=(0.5, 2.0))
    assert found[2]['input_size'] == (48, 64)
    assert found[3]['encoder'] == dict(heatmap_size=(12, 16), sigma=2)
    assert pipeline[1]['scale'] == (2048, 512)


def test_another_kind_of_data_is_an_error():
    loader = dict(dataset=dict(type='VOCDataset'))
    cfg = Config(
        dict(default_scope='mmdet', train_dataloader=loader, val_dataloader=loader,
             test_dataloader=loader)
    )  # fmt: skip
    with pytest.raises(UserError, match='CocoDataset; this config reads VOCDataset'):
        apply_mini(cfg)


def test_another_task_is_an_error():
    with pytest.raises(UserError, match='serves mmdet, mmseg, mmpose configs, this one is mmpre'):
        apply_mini(Config(dict(default_scope='mmpretrain')))
