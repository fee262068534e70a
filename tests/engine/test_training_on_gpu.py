"""What a training does by default on a GPU alone, decided so on the CPU."""

import pytest
import torch
from conftest import ROOT
from mmdet.models import DetTTAModel
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from narrow import narrow
from torch import nn

from moganet_dense import MogaNet
from moganet_dense.engine import train as training
from moganet_dense.toolboxes import model_form
from moganet_dense.utils.errors import UserError

SEG = ROOT / 'configs/seg/sem_fpn_moganet_xt.py'
SMALL = [f'{loader}_dataloader.dataset.indices=4' for loader in ('train', 'val', 'test')]


@pytest.fixture
def layouts(monkeypatch) -> list[tuple[bool, bool]]:
    """Of each map that a backbone takes: is it of training, and in channels last?"""
    seen, forward = [], MogaNet.forward

    def noted(self, x):
        seen.append((self.training, x.is_contiguous(memory_format=torch.channels_last)))
        return forward(self, x)

    monkeypatch.setattr(MogaNet, 'forward', noted)
    monkeypatch.setattr(training, 'channels_last_is_faster', lambda device, training: True)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize('last', [False, True])
def test_channels_last_is_of_the_training_alone(last, workspace, cli, layouts, monkeypatch):
    """A work dir's config is tested as the command says, on augmented images too; at the end of a
    training, as is faster in a test."""
    monkeypatch.setattr(model_form, 'channels_last_is_faster', lambda *args: last)
    run = ['--mini', '--work-dir', 'work', '--cfg-options', *SMALL]
    run += ['train_cfg.max_iters=1', 'train_cfg.val_interval=1']
    cli('train', narrow(SEG, workspace), *run, '--amp', '--ema', '--tta')
    assert (True, True) in layouts and (True, False) not in layouts
    assert layouts[-1] == (False, last)
    if last:
        return
    for form, expected in [([], False), (['--channels-last'], True), (['--deploy'], False)]:
        layouts.clear()
        cli('test', 'work', *form)
        assert layouts and set(layouts) == {(False, expected)}


def test_the_model_of_a_group_on_augmented_images_is_found():
    """A model is wrapped for the images, and that for the group: weights are the innermost's."""
    model = BaseDataPreprocessor()
    model.test_step = model.forward  # which a wrapped model needs
    augmented = DetTTAModel(module=model)
    group = nn.DataParallel(augmented)
    assert all(training._unwrapped(each) is model for each in (model, augmented, group))


def test_hooks_of_a_saved_config():
    """None is there twice, and channels last goes where it is refused, nothing else does."""
    other, last, compiled = 'StrictLoadingHook', 'ChannelsLastHook', 'CompileBlocksHook'
    cfg = Config(dict(model=dict(backbone=dict(type='MogaNet')), custom_hooks=[dict(type=other)]))
    for channels_last, compile, kinds in [
        (True, False, [other, last]),
        (True, True, [other, last, compiled]),
        (None, False, [other, last, compiled]),  # on the CPU: as it was trained
        (False, False, [other, compiled]),
    ]:
        training._set_model_hooks(cfg, channels_last, compile)
        assert [hook.type for hook in cfg.custom_hooks] == kinds


def test_a_model_without_maps_has_no_memory_format(monkeypatch):
    monkeypatch.setattr(training, 'channels_last_is_faster', lambda device, training: True)
    cfg = Config(dict(model=dict(type='SimVP')))
    training._set_model_hooks(cfg, None, False)
    assert not cfg.get('custom_hooks')
    for asked in [(True, False), (None, True)]:
        with pytest.raises(UserError, match='is for (models with a backbone|MogaNet)'):
            training._set_model_hooks(cfg, *asked)
