"""MogaNet in configs of the toolboxes: what is changed, and that they train."""

from pathlib import Path

import pytest
import torch.nn as nn
from conftest import ROOT
from mmengine.config import Config
from toolbox_configs import FITS, MISFITS, QUICK

from moganet_dense import ARCHITECTURES, MogaNet
from moganet_dense.adopt import adoption, backbone_swap
from moganet_dense.adopt.adopted_text import adopted_text, code
from moganet_dense.adopt.adoption import adopt, read_toolbox_config
from moganet_dense.adopt.backbone_swap import swap
from moganet_dense.adopt.trial_step import trial_step
from moganet_dense.engine.optim_groups import BackboneDecayConstructor
from moganet_dense.utils.errors import UserError
from moganet_dense.weights import releases

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))


@pytest.fixture
def tiny(monkeypatch):
    """Makes size xt a tiny one."""
    monkeypatch.setitem(backbone_swap.ARCHITECTURES, 'xt', TINY)


def adopted(name: str) -> Config:
    """A config with MogaNet-xt, as it would be read from its file."""
    cfg = read_toolbox_config(name)
    return Config.fromstring(adopted_text(name, cfg, swap(cfg, 'xt'), Path('x.py')), '.py')


def train_one_step(name: str) -> nn.Module:
    return trial_step(adopted(name), dict(arch=TINY, drop_path_rate=0.0))[0]


@pytest.mark.parametrize('name', QUICK)
def test_a_config_trains_a_step(name, tiny):
    model = train_one_step(name)
    assert sum(isinstance(module, MogaNet) for module in model.modules()) == 1


@pytest.mark.long
@pytest.mark.parametrize('name', [name for name in FITS if name not in QUICK])
def test_every_config_of_the_list_trains_a_step(name, tiny):
    train_one_step(name)


@pytest.mark.long
@pytest.mark.parametrize('name', MISFITS)
def test_a_config_that_does_not_fit_says_why(name, tiny):
    with pytest.raises(Exception, match=MISFITS[name]):
        train_one_step(name)


def test_the_list_has_forty_configs_of_the_four_toolboxes_and_the_page_names_them():
    page = (ROOT / 'docs/adopt.md').read_text()
    assert len(FITS) == len(set(FITS)) >= 40 and not set(FITS) & set(MISFITS)
    assert {name.partition('::')[0] for name in FITS} == set(adoption.TOOLBOXES)
    for name in [*FITS, *MISFITS]:
        assert Path(name).stem in page, name


@pytest.mark.slow
def test_a_recipe_of_sgd_gets_adamw_by_the_root_of_the_ratio_of_batches():
    cfg = adopted('mmdet::detr/detr_r50_8xb2-150e_coco.py')
    assert cfg.optim_wrapper.optimizer.type == 'AdamW'
    assert cfg.optim_wrapper.optimizer.lr == 1e-4  # the recipe's own
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult == 0.1
    given = read_toolbox_config('mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py')
    cfg = adopted('mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py')
    assert given.optim_wrapper.optimizer.type == 'SGD' and given.param_scheduler[0].eta_min == 1e-4
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-4, weight_decay=0.01)
    assert cfg.param_scheduler[0].eta_min == 1e-6  # 1e-4 of a rate of 0.01
    cfg = adopted('mmpretrain::resnet/resnet50_8xb32_in1k.py')
    assert cfg.optim_wrapper.optimizer.lr == 5e-4  # 1e-3 * sqrt(256 / 1024)


def test_channels_strides_preprocessing_and_loops_are_set():
    cfg = adopted('mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py')
    assert cfg.model.neck.in_channels == [64, 96, 192] and cfg.model.neck.out_channels == 128
    assert cfg.model.backbone.out_indices == (1, 2, 3)
    assert cfg.model.backbone.norm_cfg.type == 'SyncBN'  # as the recipe's backbone had it
    assert cfg.model.backbone.init_cfg.checkpoint == 'moganet://xt_in1k_224'
    assert 'depth' not in cfg.model.backbone and 'deepen_factor' not in cfg.model.backbone
    means = cfg.model.data_preprocessor
    assert means.bgr_to_rgb and means.mean == [123.675, 116.28, 103.53]
    assert cfg.train_cfg.type == 'ResumableEpochLoop' and cfg.train_cfg.max_epochs == 300
    assert cfg.default_hooks.checkpoint.type == 'AtomicCheckpointHook'
    assert cfg.default_hooks.checkpoint.interval == 10 and cfg.default_hooks.record
    cfg = adopted('mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py')
    assert cfg.model.head.in_channels == 192 and cfg.train_cfg.max_epochs == 420
    assert 'by_epoch' not in cfg.train_cfg


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_the_weights_of_each_size_are_published(arch):
    changes = swap(read_toolbox_config('mmpretrain::resnet/resnet50_8xb32_in1k.py'), arch)
    checkpoint = changes.model['backbone']['init_cfg']['checkpoint']
    assert checkpoint.removeprefix('moganet://') in releases.WEIGHTS


def test_a_config_of_ones_own_is_the_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('mine.py').write_text("_base_ = 'mmpretrain::van/van-tiny_8xb128_in1k.py'")
    list(adopt('mine.py', 't', trial=False))
    cfg = Config.fromfile('mine_moganet_t.py')
    assert cfg.model.backbone.arch == 't' and cfg.model.head.in_channels == 256
    Path('bare.py').write_text(Path('mine.py').read_text() + '\noptim_wrapper = None')
    with pytest.raises(UserError, match=r'bare\.py does not fit'):
        list(adopt('bare.py', 't', trial=False))


def test_norms_scales_and_sigmas_are_not_decayed_whatever_else_is_said():
    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = MogaNet(TINY), nn.BatchNorm2d(2)

    model = Detector()
    build = BackboneDecayConstructor(
        dict(optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.5)),
        dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    )
    groups = build(model).optimizer.param_groups
    found = {id(p): (g['lr'], g['weight_decay']) for g in groups for p in g['params']}
    block = model.backbone.blocks1[0]
    stem_norm = model.backbone.patch_embed1.projection[1]
    for free in (block.norm1.weight, block.layer_scale_1, block.attn.sigma.scale, stem_norm.bias):
        assert found[id(free)] == (0.1, 0.0)
    assert found[id(block.attn.gate.weight)] == found[id(block.attn.gate.bias)] == (0.1, 0.5)
    assert found[id(model.head.weight)] == (1.0, 0.5)
    plain = BackboneDecayConstructor(dict(optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.5)))
    groups = plain(model).optimizer.param_groups
    assert sorted(g['weight_decay'] for g in groups) == [0.0, 0.5]


@pytest.mark.slow
def test_the_command_writes_a_config_that_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = 'mmpretrain::convnext/convnext-tiny_32xb128_in1k.py'
    lines = list(adopt(name, 'xt'))
    assert lines[0].startswith('convnext-tiny_32xb128_in1k_moganet_xt.py; 3.0 M parameters')
    text = Path('convnext-tiny_32xb128_in1k_moganet_xt.py').read_text()
    assert f'moganet-dense adopt {name} --arch xt' in text and 'not run at scale' in text
    cfg = Config.fromfile('convnext-tiny_32xb128_in1k_moganet_xt.py')
    assert cfg.model.head.in_channels == 192 and cfg.model.neck.type == 'GlobalAveragePooling'
    with pytest.raises(UserError, match='exists; give another name by --out'):
        list(adopt(name, 'xt'))


@pytest.mark.parametrize(
    'name, reason',
    [
        ('mmdet::dino/dino_r50_8xb2-12e_coco.py', 'mean mmdet::dino/dino-4scale_r50_8xb2-12e'),
        ('mmrotate::x.py', 'expected one of mmdet, mmseg, mmpose, mmpretrain before ::'),
        ('nothing.py', 'no such config: nothing.py; expected TOOLBOX::PATH or a file'),
        ('mmdet::_base_/default_runtime.py', 'expected a config with a model'),
        (
            'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py',
            'expected maps down to stride 32, found one of stride 4 alone',
        ),
        (
            'mmpose::body_3d_keypoint/image_pose_lift/h36m/image-pose-lift_tcn_8xb64-200e_h36m.py',
            'the backbone TCN cannot be built',
        ),
    ],
)
def test_what_does_not_fit_is_a_line(name, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=reason):
        list(adopt(name, 't', trial=False))
    assert not list(tmp_path.iterdir())


def test_values_are_written_as_python():
    value = dict(a=[1, 2], b=dict(_delete_=True, c='x'), d={'not-a-name': (1,)}, e=['y' * 50] * 3)
    assert eval(code(value)) == value
    assert max(map(len, code(value).splitlines())) <= 100
