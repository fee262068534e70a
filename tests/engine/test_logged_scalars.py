"""Losses stay on the device until the log is written, and the log is the same."""

import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import build_optim_wrapper
from torch.utils._python_dispatch import TorchDispatchMode

from moganet_dense.engine import logged_scalars
from moganet_dense.engine.logged_scalars import DeviceHistoryBuffer, DeviceRuntimeInfoHook


class Reads(TorchDispatchMode):
    """Counts how often a tensor's value is asked for: on a GPU each of them waits."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.count += operator is torch.ops.aten._local_scalar_dense.default
        return operator(*args, **(kwargs or {}))


class Runner:
    def __init__(self, name: str) -> None:
        self.message_hub = MessageHub(name)


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setattr(logged_scalars, 'must_wait', lambda value: True)


def losses(number: int) -> dict:
    value = torch.tensor(1.0) / (number + 3)
    return dict(loss=value, loss_cls=value.reshape(1) / 7, acc=torch.tensor(number), lr=0.1)


def trained(hook, iterations: int) -> MessageHub:
    runner = Runner(f'{type(hook).__name__}{np.random.rand()}')
    for number in range(iterations):
        hook.after_train_iter(runner, number, None, losses(number))
    return runner.message_hub


@pytest.mark.parametrize('iterations', [1, 57, 2100])
def test_what_is_logged_is_the_same(on_gpu, iterations):
    ours = trained(DeviceRuntimeInfoHook(), iterations)
    theirs = trained(RuntimeInfoHook(), iterations)
    assert set(ours.log_scalars) == set(theirs.log_scalars)
    for name, wanted in theirs.log_scalars.items():
        found = ours.get_scalar(name)
        for statistic in ('mean', 'min', 'max'):
            assert found.statistics(statistic, 50) == wanted.statistics(statistic, 50)
        assert found.current() == wanted.current()
        for a, b in zip(found.data, wanted.data, strict=True):
            assert np.array_equal(a, b), name


def test_an_iteration_reads_nothing_and_the_log_once_for_each_name(on_gpu):
    hook, runner = DeviceRuntimeInfoHook(), Runner('reads')
    with Reads() as reads:
        for number in range(50):
            hook.after_train_iter(runner, number, None, losses(number))
        assert reads.count == 0
    assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 50


def test_on_a_cpu_it_is_mmengines():
    hub = trained(DeviceRuntimeInfoHook(), 3)
    assert all(type(buffer) is HistoryBuffer for buffer in hub.log_scalars.values())


def test_a_checkpoint_has_plain_buffers_and_is_continued(on_gpu):
    hook, runner = DeviceRuntimeInfoHook(), Runner('saved')
    for number in range(5):
        hook.after_train_iter(runner, number, None, losses(number))
    state = runner.message_hub.state_dict()
    buffer = state['log_scalars']['train/loss']
    assert type(buffer) is HistoryBuffer and len(buffer.data[0]) == 5
    waiting = runner.message_hub.get_scalar('train/loss')
    waiting.wait(torch.tensor(2.0))
    assert type(pickle.loads(pickle.dumps(waiting))) is HistoryBuffer
    assert pickle.loads(pickle.dumps(waiting)).current() == 2.0
    assert type(copy.deepcopy(waiting)) is HistoryBuffer
    resumed = Runner('resumed')
    resumed.message_hub.load_state_dict(state)
    for number in range(5, 9):
        hook.after_train_iter(resumed, number, None, losses(number))
    wanted = trained(RuntimeInfoHook(), 9).get_scalar('train/loss').data[0]
    assert np.array_equal(resumed.message_hub.get_scalar('train/loss').data[0], wanted)


def test_numbers_may_be_mixed_in():
    buffer = DeviceHistoryBuffer()
    buffer.wait(torch.tensor(1.0))
    buffer.update(2.0)
    buffer.wait(torch.tensor([3.0]))
    assert buffer.data[0].tolist() == [1.0, 2.0, 3.0] and buffer.data[1].tolist() == [1, 1, 1]


def test_norms_of_gradients_are_read_for_the_log_alone(on_gpu):
    """mmengine reads each before the step."""
    norms = {}
    for constructor in ('GroupedOptimWrapperConstructor', 'DefaultOptimWrapperConstructor'):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        wrapper = build_optim_wrapper(
            model,
            dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1),
                 clip_grad=dict(max_norm=0.1), constructor=constructor),
        )  # fmt: skip
        hub = wrapper.message_hub
        hub.log_scalars.clear()
        with Reads() as reads:
            for number in range(4):
                wrapper.update_params(model(torch.ones(2, 3) * number).square().sum())
            assert reads.count == (4 if constructor.startswith('Default') else 0)
        norms[constructor] = [*hub.get_scalar('train/grad_norm').data[0], *model.weight[0].tolist()]
    ours, theirs = norms.values()
    assert ours == theirs and len(ours) == 7 and ours[1] > 0.1
