"""Few parameter groups: the same training bitwise, resumed, and fused where that exists."""

import copy
import importlib
from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn
from conftest import ROOT
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from moganet_dense.engine.optim_groups import can_fuse, merged
from moganet_dense.models import MogaNet
from moganet_dense.utils.errors import UserError

ARCH = dict(embed_dims=[8, 8, 16, 16], depths=[1, 1, 1, 1], ffn_ratios=[2, 2, 2, 2])
SCHEDULES = sorted((ROOT / 'configs/_base_/schedules').glob('*.py'))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = MogaNet(ARCH)
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(x)[-1]).square().mean()


def wrapper_of(path, model: nn.Module, **options):
    cfg = Config.fromfile(path).optim_wrapper
    cfg.update(options)
    with DefaultScope.overwrite_default_scope('mmpretrain'):  # whose Lamb is
        return build_optim_wrapper(model, cfg)


def step(model, wrapper, number: int) -> None:
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(number))
    wrapper.update_params(model(x))


def per_parameter(wrapper) -> dict[int, dict]:
    return {
        id(p): {k: v for k, v in group.items() if k not in ('params', 'param_names')}
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }


@pytest.mark.parametrize('path', SCHEDULES, ids=lambda path: path.stem)
def test_every_schedule_has_few_groups_and_the_same_options(path):
    model = Model()
    if Config.fromfile(path).optim_wrapper.optimizer.type == 'Lamb':
        importlib.import_module('mmpretrain.engine.optimizers')  # registers it
    grouped = dict(constructor='GroupedOptimWrapperConstructor')
    ours = wrapper_of(path, model, **(grouped if 'BackboneDecay' in path.read_text() else {}))
    theirs = wrapper_of(path, model, constructor='DefaultOptimWrapperConstructor')
    assert len(ours.optimizer.param_groups) <= 3
    assert per_parameter(ours) == per_parameter(theirs)
    assert ours.get_lr()['lr'][0] == theirs.get_lr()['lr'][0]
    assert (ours.base_param_settings is None) == (theirs.base_param_settings is None)


def test_steps_are_bitwise_those_of_mmengine_and_so_is_a_resumed_training():
    path = ROOT / 'configs/_base_/schedules/adamw_1x.py'
    ours, theirs = Model(), Model()
    wrapper = wrapper_of(path, ours)
    default = wrapper_of(path, theirs, constructor='DefaultOptimWrapperConstructor')
    for number in range(2):
        step(ours, wrapper, number)
        step(theirs, default, number)
    resumed = Model()
    resumed.load_state_dict(ours.state_dict())
    again = wrapper_of(path, resumed)
    again.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    step(theirs, default, 2)
    step(resumed, again, 2)
    for (name, a), b in zip(resumed.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_a_checkpoint_of_a_gpu_is_resumed_as_this_device_computes():
    path = ROOT / 'configs/_base_/schedules/adamw_1x.py'
    model = Model()
    wrapper = wrapper_of(path, model)
    step(model, wrapper, 0)
    saved = copy.deepcopy(wrapper.state_dict())
    for group in saved['param_groups']:
        group['fused'] = True
    wrapper.load_state_dict(saved)
    assert [group['fused'] for group in wrapper.optimizer.param_groups] == [None, None]
    step(model, wrapper, 1)


def test_other_groups_are_reported_and_the_advice_works():
    path = ROOT / 'configs/_base_/schedules/adamw_1x.py'
    model = Model()
    old = wrapper_of(path, model, constructor='DefaultOptimWrapperConstructor')
    step(model, old, 0)
    saved = old.state_dict()
    with pytest.raises(UserError, match='groups, the optimizer in 2; ') as error:
        wrapper_of(path, model).load_state_dict(copy.deepcopy(saved))
    option, value = str(error.value).rpartition(' ')[2].split('=')
    assert option == 'optim_wrapper.constructor'
    wrapper_of(path, model, constructor=value).load_state_dict(copy.deepcopy(saved))


def test_groups_keep_the_order_of_their_first_parameters():
    groups = [
        dict(params=['a'], lr=1.0, weight_decay=0.1),
        dict(params=['b'], lr=1.0, weight_decay=0.0),
        dict(params=['c'], lr=1.0, weight_decay=0.1, param_names=['c']),
        dict(params=['d'], lr=0.5, weight_decay=0.1),
        dict(params=['e', 'f'], lr=1.0, weight_decay=0.0),
    ]
    groups[0]['param_names'] = ['a']
    before = copy.deepcopy(groups)
    assert [(g['params'], g['lr'], g['weight_decay']) for g in merged(groups)] == [
        (['a', 'c'], 1.0, 0.1), (['b', 'e', 'f'], 1.0, 0.0), (['d'], 0.5, 0.1),
    ]  # fmt: skip
    assert merged(groups)[0]['param_names'] == ['a', 'c'] and groups == before


def on_gpu(count: int, trained: bool = True, kind: type = float):
    """A model whose parameters say that they are on a GPU."""
    parameter = SimpleNamespace(
        requires_grad=trained, is_cuda=True, is_floating_point=lambda: kind is float
    )
    return SimpleNamespace(parameters=lambda: [parameter] * count)


@pytest.mark.parametrize(
    ('cfg', 'model', 'expected'),
    [
        (dict(type='AdamW', lr=1.0), on_gpu(2), True),
        (dict(type='Adam', lr=1.0), on_gpu(2), True),
        (dict(type=torch.optim.AdamW, lr=1.0), on_gpu(2), True),
        (dict(type='AdamW', lr=1.0, foreach=True), on_gpu(2), False),
        (dict(type='AdamW', lr=1.0, fused=False), on_gpu(2), False),
        (dict(type='RMSprop', lr=1.0), on_gpu(2), False),
        (dict(type='AdamW', lr=1.0), on_gpu(2, trained=False), False),
        (dict(type='AdamW', lr=1.0), on_gpu(2, kind=int), False),
        (dict(type='AdamW', lr=1.0), nn.Linear(2, 2), False),
    ],
)
def test_where_the_fused_form_serves(cfg, model, expected):
    assert can_fuse(cfg, model) is expected
