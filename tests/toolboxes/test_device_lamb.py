"""LAMB whose parameters are updated together, against mmpretrain's own."""

import copy
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from mmpretrain.engine.optimizers import Lamb
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from moganet_dense.engine.resume_check import _other_optimizer, describe, differences

OPTIONS = [
    {}, dict(trust_clip=True), dict(always_adapt=True), dict(bias_correction=False),
    dict(grad_averaging=False, betas=(0.8, 0.9), eps=1e-3),
]  # fmt: skip
SMALL, LARGE = 1e-3, 10.0
"""Sizes of gradients: below the norm at which they are clipped, 1, and beyond."""


def parameters(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    """Of several shapes, one in channels last; the last but one is zero."""
    random = torch.Generator().manual_seed(0)
    shapes = [(8, 3, 3, 3), (8,), (6, 4, 5, 5), (1, 6, 1, 1), (5, 7), (1,), (4, 4), (3,)]
    values = [torch.randn(shape, generator=random) for shape in shapes]
    values[0] = values[0].contiguous(memory_format=torch.channels_last)
    values[-2].zero_()
    return [nn.Parameter(value.to(dtype)) for value in values]


def grouped(params: list[nn.Parameter]) -> list[dict]:
    """Matrices, and the others, which are not decayed."""
    return [
        dict(params=[p for p in params if p.ndim > 1]),
        dict(params=[p for p in params if p.ndim <= 1], weight_decay=0.0),
    ]


def ours(params: list[nn.Parameter], **options) -> torch.optim.Optimizer:
    return OPTIMIZERS.build(dict(type='DeviceLamb', params=grouped(params), **options))


def set_gradients(params: list[nn.Parameter], step: int, size: float) -> None:
    """Noise; zeros for the first, and none for the last."""
    random = torch.Generator().manual_seed(step)
    for parameter in params[:-1]:
        value = size * torch.randn(parameter.shape, generator=random)
        parameter.grad = value.to(parameter)
    params[1].grad.zero_()


def step(optimizer: torch.optim.Optimizer, params: list[Tensor], number: int, size: float) -> None:
    set_gradients(params, number, size)
    optimizer.step()


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_a_step_is_bitwise_mmpretrains(options):
    options = dict(options, lr=6e-3, weight_decay=0.02)
    found, wanted = parameters(), parameters()
    optimizers = ours(found, **options), Lamb(grouped(wanted), **options)
    for number in range(6):
        if number == 3:  # resumed, each from a checkpoint of the other
            states = [copy.deepcopy(optimizer.state_dict()) for optimizer in optimizers]
            assert states[0]['param_groups'] == states[1]['param_groups']
            optimizers = ours(found, lr=1), Lamb(grouped(wanted), lr=1)
            optimizers[0].load_state_dict(states[1])
            optimizers[1].load_state_dict(states[0])
        step(optimizers[0], found, number, SMALL)
        step(optimizers[1], wanted, number, SMALL)
        for a, b in zip(found, wanted, strict=True):
            assert torch.equal(a, b) and a.stride() == b.stride()
    for a, b in zip(*(optimizer.state_dict()['state'].values() for optimizer in optimizers),
                    strict=True):  # fmt: skip
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize('largest', [1.0, 0.1])
def test_clipped_gradients_differ_by_the_rounding_of_their_norm(largest):
    options = dict(lr=6e-3, weight_decay=0.02, max_grad_norm=largest)
    found, theirs, exact = parameters(), parameters(), parameters(torch.float64)
    pairs = [(ours(found, **options), found), (Lamb(grouped(theirs), **options), theirs),
             (Lamb(grouped(exact), **options), exact)]  # fmt: skip
    for number in range(6):
        for optimizer, params in pairs:
            step(optimizer, params, number, LARGE)
    norms = [torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in params[:-1]]))
             for params in (found, theirs)]  # fmt: skip
    assert norms == pytest.approx([largest, largest], rel=1e-5)
    for a, b, c in zip(found, theirs, exact, strict=True):
        assert (a - c).abs().max() <= (b - c).abs().max() + 1e-7


def test_a_step_has_few_operators_however_many_parameters():
    class Counts(TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            if not operator.is_view:
                found[str(operator)] += 1
            return operator(*args, **(kwargs or {}))

    params = [p for _ in range(20) for p in parameters()[:-1]]
    optimizer = ours(params)
    step(optimizer, params, 0, SMALL)
    set_gradients(params, 1, SMALL)
    found: Counter[str] = Counter()
    with Counts():
        optimizer.step()
    assert found.total() < 50, found
    assert not any('item' in name or 'local_scalar' in name for name in found)


def test_what_is_not_covered_is_computed_by_mmpretrain():
    found, wanted = parameters(torch.float64), parameters(torch.float64)
    step(ours(found), found, 0, LARGE)
    step(Lamb(grouped(wanted)), wanted, 0, LARGE)
    assert all(map(torch.equal, found, wanted))
    sparse = [nn.Parameter(torch.ones(2, 2))]
    sparse[0].grad = torch.eye(2).to_sparse()
    with pytest.raises(RuntimeError, match='sparse gradients'):
        ours(sparse).step()


def test_closure_and_unknown_options():
    (parameter,) = params = [nn.Parameter(torch.ones(1, 1))]

    def closure() -> Tensor:
        loss = parameter.square().sum()
        loss.backward()
        return loss

    assert ours(params).step(closure) == 1 and parameter.item() < 1
    with pytest.raises(TypeError, match='decoupled'):
        ours(params, decoupled=True)


def test_a_training_with_mmpretrains_is_resumed_with_ours():
    found = [
        describe(Config(dict(optim_wrapper=dict(optimizer=dict(type=kind, lr=1e-3)))), 1)
        for kind in ('Lamb', 'DeviceLamb')
    ]
    assert differences(*found) == []


def test_a_saved_optimizer_is_lamb_by_its_options():
    params = parameters()
    saved = Lamb(params)
    step(saved, params, 0, SMALL)  # from here on it counts steps
    for fresh, wanted in [
        (ours(params), ['optimizer: 1 groups of 8 parameters were saved, there are 2 of 8']),
        (Lamb(params), []),
        (torch.optim.Adam(params), ['optimizer: another than Adam was saved']),
    ]:
        runner = SimpleNamespace(optim_wrapper=SimpleNamespace(optimizer=fresh))
        found = _other_optimizer(runner, dict(optimizer=saved.state_dict()))
        assert list(found) == wanted
