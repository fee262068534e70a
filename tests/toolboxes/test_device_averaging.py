"""Averages of weights that are updated together, against the toolboxes' own."""

import copy
from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from mmdet.models.layers import ema as mmdet_ema
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage, MomentumAnnealingEMA
from mmengine.registry import MODELS, DefaultScope
from mmpose.engine.hooks import ema_hook as mmpose_ema
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from moganet_dense.engine.resume_check import describe, differences

KINDS = {
    'DeviceExponentialMovingAverage': (ExponentialMovingAverage, dict(momentum=0.3)),
    'DeviceMomentumAnnealingEMA': (MomentumAnnealingEMA, dict(momentum=0.01, gamma=3)),
    'mmdet.DeviceExpMomentumEMA': (mmdet_ema.ExpMomentumEMA, dict(momentum=0.01, gamma=3)),
    'mmpose.DeviceExpMomentumEMA': (mmpose_ema.ExpMomentumEMA, dict(momentum=0.01, gamma=3)),
}


class Net(nn.Module):
    """Parameters and buffers of several kinds: tied, empty, of other dtypes and memory formats."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(*[nn.Conv2d(4, 4, 3) for _ in range(5)])
        self.norm, self.low = nn.BatchNorm2d(4), nn.Linear(3, 5, dtype=torch.bfloat16)
        self.tied, self.empty = self.convs[0], nn.Parameter(torch.zeros(0, 3))
        self.frozen = nn.Parameter(torch.randn(2), requires_grad=False)
        self.register_buffer('mask', torch.tensor([True, False]))
        self.register_buffer('hidden', torch.randn(3), persistent=False)
        self.wide = nn.Parameter(torch.randn(2, dtype=torch.float64))


def moved(model: nn.Module, step: int) -> nn.Module:
    """The model after another step of training."""
    random = torch.Generator().manual_seed(step)
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point():
            value.data.add_(torch.randn(value.shape, generator=random).to(value.dtype))
        else:
            value.data.copy_(torch.randint(0, 2, value.shape, generator=random))
    return model


def same(ours: nn.Module, theirs: nn.Module) -> None:
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        found = ours.state_dict()[name]
        assert torch.equal(found, value) and found.dtype == value.dtype, name
    for found, value in zip(ours.buffers(), theirs.buffers(), strict=True):  # not saved, too
        assert torch.equal(found, value)


def built(kind: str, model: nn.Module, options: dict) -> nn.Module:
    """The average, in the scope that its name begins with."""
    scope, _, name = kind.rpartition('.')
    with DefaultScope.overwrite_default_scope(scope) if scope else nullcontext():
        return MODELS.build(dict(options, type=name, model=model))


@pytest.mark.parametrize('buffers', [False, True])
@pytest.mark.parametrize('interval', [1, 2])
@pytest.mark.parametrize('kind', KINDS)
def test_an_average_is_bitwise_that_of_the_toolbox(kind, interval, buffers):
    cls, options = KINDS[kind]
    options = dict(options, interval=interval, update_buffers=buffers)
    torch.manual_seed(0)
    model = Net()
    ours, theirs = built(kind, model, options), cls(model, **options)
    model.convs[1:3].to(memory_format=torch.channels_last)  # after the averages were made
    for step in range(6):
        moved(model, step)
        for average in (ours, theirs):
            average.update_parameters(model)
        same(ours, theirs)
        if step == 3:  # resumed, each from a checkpoint of the other
            saved = [copy.deepcopy(average.state_dict()) for average in (ours, theirs)]
            ours, theirs = built(kind, model, options), cls(model, **options)
            theirs.load_state_dict(saved[0])
            ours.load_state_dict(saved[1])
    assert int(ours.steps) == 6 and not any(p.requires_grad for p in ours.parameters())


def test_an_average_with_exponential_momentum_is_of_mmdet_or_mmpose():
    model = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"default_scope of \['mmdet', 'mmpose'\], found mmseg"):
        built('mmseg.DeviceExpMomentumEMA', model, {})
    with pytest.raises(ValueError, match='a positive gamma, found 0'):
        built('mmdet.DeviceExpMomentumEMA', model, dict(gamma=0))


def test_an_average_has_few_launches():
    class Counts(TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            if not operator.is_view:
                found[str(operator)] += 1
            return operator(*args, **(kwargs or {}))

    model = nn.Sequential(*[nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
                            for _ in range(30)])  # fmt: skip
    totals = {}
    for buffers in (False, True):
        average = MODELS.build(
            dict(type='DeviceExponentialMovingAverage', model=model, update_buffers=buffers)
        )
        average.update_parameters(model)
        found: Counter[str] = Counter()
        with Counts():
            average.update_parameters(model)
        totals[buffers] = {k: n for k, n in found.items() if 'foreach' in k}
        assert sum('lerp_.Scalar' in k or 'copy_.default' in k for k in found) == len(
            totals[buffers]
        )
        assert found.total() < 10
    assert totals == {
        False: {'aten._foreach_lerp_.Scalar': 1, 'aten._foreach_copy_.default': 2},
        True: {'aten._foreach_lerp_.Scalar': 1},
    }


@pytest.mark.parametrize(
    ('before', 'now', 'equal'),
    [
        ({}, dict(ema_type='DeviceExponentialMovingAverage'), True),
        (
            dict(ema_type='MomentumAnnealingEMA', gamma=100),
            dict(ema_type='DeviceMomentumAnnealingEMA', gamma=100),
            True,
        ),
        (dict(ema_type='ExpMomentumEMA'), dict(ema_type='DeviceExpMomentumEMA'), True),
        ({}, dict(ema_type='DeviceExpMomentumEMA'), False),
        ({}, dict(ema_type='DeviceMomentumAnnealingEMA'), False),
        (dict(ema_type='WarmupEMA', warmup=3), dict(ema_type='WarmupEMA', warmup=4), False),
    ],
    ids=str,
)
def test_a_training_with_mmengines_average_is_resumed_with_ours(before, now, equal):
    found = [
        describe(Config(dict(custom_hooks=[dict(hook, type='EMAHook')], optim_wrapper={})), 1)
        for hook in (before, now)
    ]
    assert (differences(*found) == []) == equal
