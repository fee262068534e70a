"""What a training does by default on a GPU alone, decided so on the CPU."""

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from narrow import narrow

from moganet_dense import MogaNet
from moganet_dense.engine import train as training
from moganet_dense.utils.errors import UserError

POSE = ROOT / 'configs/pose/topdown_moganet_xt_256x192.py'
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
def test_channels_last_is_of_the_training_alone(workspace, cli, layouts):
    """A work dir's config is tested as the command says, on augmented images too."""
    run = ['--mini', '--work-dir', 'work', '--cfg-options', *SMALL, 'train_cfg.max_epochs=1']
    cli('train', narrow(POSE, workspace), *run, '--amp', '--ema', '--tta')
    assert (True, True) in layouts and (True, False) not in layouts
    for form, expected in [([], False), (['--channels-last'], True), (['--deploy'], False)]:
        layouts.clear()
        cli('test', 'work', *form)
        assert layouts and set(layouts) == {(False, expected)}


def test_hooks_of_a_saved_config_give_way():
    other = dict(type='StrictLoadingHook')
    cfg = Config(dict(model=dict(backbone=dict(type='MogaNet')), custom_hooks=[other]))
    for channels_last, compile in [(True, True), (True, True), (True, False), (False, False)]:
        training._set_model_hooks(cfg, channels_last, compile)
        kinds = ['StrictLoadingHook']
        kinds += ['ChannelsLastHook'] * channels_last + ['CompileBlocksHook'] * compile
        assert [hook.type for hook in cfg.custom_hooks] == kinds


def test_a_model_without_maps_has_no_memory_format(monkeypatch):
    monkeypatch.setattr(training, 'channels_last_is_faster', lambda device, training: True)
    cfg = Config(dict(model=dict(type='SimVP')))
    training._set_model_hooks(cfg, None, False)
    assert not cfg.get('custom_hooks')
    for asked in [(True, False), (None, True)]:
        with pytest.raises(UserError, match='is for (models with a backbone|MogaNet)'):
            training._set_model_hooks(cfg, *asked)
