"""The check of the loss as it is on a GPU, with a CPU that says that it must wait."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from test_logged_scalars import Reads

from moganet_dense.engine import nonfinite_loss
from moganet_dense.engine.device_values import EarlyCopy
from moganet_dense.engine.nonfinite_loss import NonfiniteLossHook
from moganet_dense.utils.errors import UserError


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, inputs, data_samples=None, mode: str = 'tensor'):
        return dict(loss_toy=(self.weight * inputs).sum(), acc=torch.tensor(1.0))


@pytest.fixture
def training(monkeypatch, tmp_path):
    monkeypatch.setattr(nonfinite_loss, 'must_wait', lambda value: True)
    model = Model()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), accumulative_counts=1)
    return SimpleNamespace(model=model, optim_wrapper=wrapper, iter=0, work_dir=str(tmp_path))


def run(hook, runner, value: float) -> int:
    """An iteration; returns how often a value was read before the backward pass was launched."""
    batch = dict(data_samples=[SimpleNamespace(img_path='a.jpg')])
    hook.before_train_iter(runner, 0, batch)
    with Reads() as reads:
        losses = runner.model(torch.tensor([value, 1.0]), mode='loss')
        loss, _ = runner.model.parse_losses(losses)
    runner.optim_wrapper.update_params(loss)
    hook.after_train_iter(runner, 0, batch, {})
    return reads.count


@pytest.mark.parametrize('accumulated', [1, 2])
def test_it_stops_before_weights_are_changed(training, accumulated):
    hook = NonfiniteLossHook()
    hook.before_train(training)
    training.optim_wrapper._accumulative_counts = accumulated
    for _ in range(accumulated):
        assert run(hook, training, 3.0) == 0, 'nothing waits between forward and backward'
    before = training.model.weight.detach().clone()
    assert not torch.equal(before, torch.ones(2))
    with pytest.raises(UserError) as error:
        run(hook, training, float('nan'))
    assert str(error.value).startswith(
        'iteration 1: the loss is not finite (loss_toy nan); images: a.jpg; '
    )
    assert torch.equal(training.model.weight, before)
    hook.close(training)
    assert hook.asked is None


def test_where_batches_may_be_skipped_it_asks_at_once(training):
    hook = NonfiniteLossHook(max_skipped=1)
    hook.before_train(training)
    before = training.model.weight.detach().clone()
    assert run(hook, training, float('nan')) > 0
    assert torch.equal(training.model.weight, before) and hook.asked is None
    run(hook, training, 3.0)
    assert not torch.equal(training.model.weight, before)


def test_an_early_copy_on_a_cpu():
    assert EarlyCopy(torch.tensor(True)).get() is True
    assert EarlyCopy(torch.tensor(2.5)).get() == 2.5
