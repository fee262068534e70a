"""Mixed precision: which one serves, options, and trainings that are resumed in another one."""

import copy

import click
import pytest
import torch
import torch.nn as nn
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from moganet_dense.commands.options import spread
from moganet_dense.engine import amp
from moganet_dense.engine.amp import Bfloat16OptimWrapper, enable_amp
from moganet_dense.utils.errors import UserError


@pytest.mark.parametrize(
    ('device', 'capability', 'asked', 'expected'),
    [
        ('cpu', None, 'auto', 'Bfloat16OptimWrapper'),
        ('cpu', None, 'bf16', 'Bfloat16OptimWrapper'),
        ('cuda', (9, 0), 'auto', 'Bfloat16OptimWrapper'),
        ('cuda', (8, 0), 'auto', 'Bfloat16OptimWrapper'),
        ('cuda', (7, 5), 'auto', 'AmpOptimWrapper'),
        ('cuda', (7, 5), 'bf16', 'Bfloat16OptimWrapper'),
        ('cuda', (9, 0), 'fp16', 'AmpOptimWrapper'),
    ],
)
def test_which_precision_serves(device, capability, asked, expected, monkeypatch):
    monkeypatch.setattr(amp, 'get_device', lambda: device)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: capability)
    monkeypatch.setattr(torch.version, 'hip', None)
    cfg = ConfigDict(type='OptimWrapper', dtype='bfloat16', loss_scale=2.0, clip_grad=1)
    enable_amp(cfg, asked)
    scaled = dict(loss_scale='dynamic', dtype='float16') if expected == 'AmpOptimWrapper' else {}
    assert cfg == dict(type=expected, clip_grad=1, **scaled)


def test_float16_needs_a_gpu(monkeypatch):
    monkeypatch.setattr(amp, 'get_device', lambda: 'cpu')
    with pytest.raises(UserError, match='on a CPU use --amp, which is bf16'):
        enable_amp(ConfigDict(type='OptimWrapper'), 'fp16')


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        (['--amp', 'a.py'], ['--amp', 'auto', 'a.py']),
        (['a.py', '--amp'], ['a.py', '--amp', 'auto']),
        (['--amp', 'fp16', 'a.py'], ['--amp', 'fp16', 'a.py']),
        (['--amp', '--mini', 'a.py'], ['--amp', 'auto', '--mini', 'a.py']),
        (['--amp=bf16', 'a.py'], ['--amp=bf16', 'a.py']),
        (['--', '--amp'], ['--', '--amp']),
    ],
)
def test_the_option_takes_no_config_for_its_value(given, expected):
    assert spread(['train', *given]) == ['train', *expected]


def test_a_wrong_value_lists_the_right_ones():
    from moganet_dense.commands.train import command

    with pytest.raises(click.BadParameter, match='fp16'):
        command.make_context('train', ['--amp', 'fp8', 'a.py'])


def wrapped(kind: str = 'Bfloat16OptimWrapper') -> tuple[nn.Module, OptimWrapper]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return model, OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimizer))


def step(model, wrapper, number: int) -> torch.Tensor:
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(number))
    with wrapper.optim_context(model):
        y = model(x)
    wrapper.update_params(y.float().square().mean())
    return y


def test_the_name_of_earlier_versions():
    assert type(wrapped('CpuAmpOptimWrapper')[1]) is Bfloat16OptimWrapper


def test_the_forward_pass_is_in_bfloat16_and_the_weights_are_not():
    model, wrapper = wrapped()
    assert step(model, wrapper, 0).dtype == torch.bfloat16
    assert all(p.dtype == p.grad.dtype == torch.float32 if p.grad is not None else True
               for p in model.parameters())  # fmt: skip


@pytest.mark.parametrize('scaler', [None, {}, dict(scale=65536.0, growth_factor=2.0)])
def test_a_training_is_resumed_bitwise_whatever_it_was_scaled_by(scaler):
    model, wrapper = wrapped()
    step(model, wrapper, 0)
    saved, weights = copy.deepcopy(wrapper.state_dict()), copy.deepcopy(model.state_dict())
    assert 'loss_scaler' not in saved
    step(model, wrapper, 1)
    if scaler is not None:  # as mmengine's wrapper for float16 saves it
        saved['loss_scaler'] = scaler
    other, again = wrapped()
    other.load_state_dict(weights)
    again.load_state_dict(saved)
    step(other, again, 1)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_float16_takes_up_a_training_in_bfloat16(monkeypatch):
    """mmengine's wrapper starts with a new scale where the checkpoint has none."""
    monkeypatch.setattr('mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available',
                        lambda: True)  # fmt: skip
    model, wrapper = wrapped()
    step(model, wrapper, 0)
    _, scaled = wrapped('AmpOptimWrapper')
    scaled.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    state = scaled.optimizer.state_dict()['state']
    assert len(state) == len(list(model.parameters()))
