"""What --mini changes in a config, on pieces small enough to work out by hand."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

from moganet_dense.config.mini_config import SCHEDULES, apply_mini, shrunk
from moganet_dense.config.reading import read_config
from moganet_dense.data.mini import SIZES
from moganet_dense.utils.errors import UserError


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
    with pytest.raises(UserError, match='supports mmdet, mmseg, mmpose configs, this one is mmpre'):
        apply_mini(Config(dict(default_scope='mmpretrain')))


def toolbox_config(toolbox: str, name: str) -> Config:
    folder = Path(pytest.importorskip(toolbox).__file__).parent / '.mim' / 'configs'
    return Config.fromfile(folder / name)


@pytest.mark.parametrize(
    'toolbox, name',
    [
        ('mmdet', 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'),
        ('mmdet', 'ghm/retinanet_r50_fpn_ghm-1x_coco.py'),
        ('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_amp-1x_coco.py'),
        ('mmdet', 'common/lsj-200e_coco-detection.py'),
        ('mmseg', 'sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py'),
        ('mmpose', 'body_2d_keypoint/simcc/coco/simcc_res50_8xb64-210e_coco-256x192.py'),
    ],
)
def test_configs_of_the_toolboxes_can_be_made_mini(toolbox, name, workspace):
    cfg = toolbox_config(toolbox, name)
    if 'model' not in cfg:  # a base file with data and schedule only
        model = toolbox_config('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py').model
        cfg.merge_from_dict(dict(model=model, default_scope='mmdet', load_from=None))
    apply_mini(cfg)
    with DefaultScope.overwrite_default_scope(toolbox):
        model = MODELS.build(cfg.model)
        assert model.backbone.init_cfg is None or 'Pretrained' not in str(model.backbone.init_cfg)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        inputs = dataset[0]['inputs']
        assert max(inputs.shape) <= 500
        batch = model.data_preprocessor(
            dict(inputs=[inputs], data_samples=[dataset[0]['data_samples']]), True
        )
    assert batch['inputs'].ndim == 4


def test_a_loop_of_iterations_stays_one_and_of_epochs_too(workspace):
    epochs = toolbox_config('mmdet', 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    apply_mini(epochs)
    length = SCHEDULES['mmdet'].length
    assert epochs.train_cfg.max_epochs * SIZES['train'] / 4 == pytest.approx(length, rel=0.1)
    iterations = toolbox_config('mmdet', 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    iterations.train_cfg = dict(type='IterBasedTrainLoop', max_iters=90_000)
    apply_mini(iterations)
    assert iterations.train_cfg.max_iters == length
    assert iterations.param_scheduler[1].end == length


def shipped(path: str) -> Path:
    """A config of a toolbox as it ships it."""
    import importlib

    package, _, name = path.partition('::')
    return Path(importlib.import_module(package).__file__).parent / '.mim/configs' / name


@pytest.mark.slow
def test_configs_of_the_toolboxes_become_small(monkeypatch):
    monkeypatch.setattr('moganet_dense.config.mini_config.make_mini', lambda: None)
    dino = read_config(shipped('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'))
    apply_mini(dino)
    assert dino.optim_wrapper.clip_grad.max_norm == 0.1
    rtmdet = read_config(shipped('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'))
    apply_mini(rtmdet)
    assert rtmdet.optim_wrapper.paramwise_cfg.bypass_duplicate is True
    pads = [step.size for step in rtmdet.train_dataloader.dataset.pipeline if step.type == 'Pad']
    assert pads == [(96, 96)]  # 640 * 0.12 = 77
    switched = rtmdet.custom_hooks[1].switch_pipeline
    assert [step.size for step in switched if step.type == 'Pad'] == [(96, 96)]
    assert rtmdet.train_cfg.max_epochs == 4
    assert rtmdet.custom_hooks[1].switch_epoch == 2  # 280 of 300 before
    name = 'body_2d_keypoint/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py'
    dekr = read_config(shipped(f'mmpose::{name}'))
    assert dekr.optim_wrapper.type == 'OptimWrapper'  # which the file leaves out
    apply_mini(dekr)
    assert dekr.model.head.decoder.input_size == (128, 128)  # 512 before
    rtmo = read_config(
        shipped('mmpose::body_2d_keypoint/rtmo/coco/rtmo-m_16xb16-600e_coco-640x640.py')
    )
    apply_mini(rtmo)
    assert rtmo.train_cfg.max_epochs == 8
    assert rtmo.custom_hooks[0].num_last_epochs == 4  # 20 of 600 before
    assert list(rtmo.custom_hooks[1].epoch_attributes) == [4]  # 280 of 600 before
