"""The kernels, run by Triton's interpreter on the CPU: what test_kernels.py runs in a process.

Every tensor is small: the interpreter takes a millisecond for an operation of any size.
"""

import copy

import golden
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import triton.language as tl
from plain import plain_block, plain_ffn, plain_forward, plain_moga
from quick_interpreter import quick_interpreter
from steps import a_map, distance, error, step, under_autocast
from torch import nn
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

from moganet_dense import MogaNet
from moganet_dense.models import kernels
from moganet_dense.models.kernels import (
    Implementation,
    calls,
    implementation_for,
    launchers,
    operators,
    parts,
)
from moganet_dense.models.kernels.launching import counted_launches

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
LAST = torch.channels_last
HALVES = (torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.long))


@pytest.fixture(autouse=True, scope='module')
def rounded_as_a_gpu_does():
    """The interpreter cuts float32 off to bfloat16; a GPU rounds to the nearest."""
    cast = InterpreterBuilder.cast_impl

    def rounded(self, source, target):
        if (source.dtype.scalar, target.scalar) != (tl.float32, tl.bfloat16):
            return cast(self, source, target)
        bits = torch.from_numpy(np.array(source.data)).bfloat16().view(torch.int16)
        return TensorHandle(bits.numpy().view(np.uint16), target.scalar)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InterpreterBuilder, 'cast_impl', rounded)
        yield


@pytest.fixture(autouse=True, scope='module')
def quick():
    with quick_interpreter():
        yield


def a_block(stage: int = 2, gate: str = 'single', training: bool = True) -> nn.Module:
    net = golden.fill(MogaNet(TINY, gate=gate)).train(training)
    return getattr(net, f'blocks{stage}')[0].to(memory_format=LAST)


@pytest.mark.parametrize(
    'kernel, dilation, size', [(3, 1, (4, 5)), (5, 1, (5, 9)), (5, 2, (7, 3)), (7, 3, (5, 13))]
)
def test_depthwise_convolutions(kernel, dilation, size, batch=2, channels=8):
    torch.manual_seed(0)
    conv = nn.Conv2d(
        channels, channels, kernel, padding=dilation * (kernel // 2), dilation=dilation,
        groups=channels,
    )  # fmt: skip
    x, taps = a_map(batch, channels, *size), parts.turned(conv.weight.detach())
    exact, at = copy.deepcopy(conv).double(), x.double().requires_grad_()
    grad = a_map(batch, channels, *size)
    wanted = exact(at)
    found, _ = parts.depthwise(x, taps, conv.bias.detach(), kernel, dilation)
    assert error(found, wanted) < 1e-6
    assert found.is_contiguous(memory_format=LAST)
    wanted.backward(grad.double())
    gradients = parts.depthwise_backward(grad, x, taps, kernel, dilation)
    for part, of in zip(gradients, (at, exact.weight, exact.bias), strict=True):
        assert error(part, of.grad) < 1e-6


@pytest.mark.parametrize(
    'kernel, dilation, size', [(7, 3, (14, 5)), (5, 2, (9, 6)), (3, 1, (5, 3))]
)
def test_rows_of_the_kernel_outside_a_narrow_map(monkeypatch, kernel, dilation, size):
    """Programs of four tiles, as on a GPU: the first and the last leave different rows out."""
    monkeypatch.setattr(launchers, 'tiles_at_once', lambda *_: 4)
    conv = launchers.depthwise((3, 4, *size), kernel, dilation, True, False, False, False)
    assert conv.constants['WHOLE'] and conv.constants['TILES'] == 4
    test_depthwise_convolutions(kernel, dilation, size, batch=3, channels=4)


@pytest.mark.parametrize('dtype', HALVES)
def test_context_in_half_precision(dtype):
    """Products of rounded inputs, added in float32: the result alone is rounded."""
    torch.manual_seed(0)
    u0, grad = a_map(1, 16, 5, 6, dtype=dtype), a_map(1, 16, 5, 6, dtype=dtype)
    convs = [
        nn.Conv2d(6, 6, 5, padding=4, dilation=2, groups=6).double(),
        nn.Conv2d(8, 8, 7, padding=9, dilation=3, groups=8).double(),
    ]
    at = u0.double().requires_grad_()
    low, middle, high = at.split([2, 6, 8], dim=1)
    wanted = torch.cat([low, convs[0](middle), convs[1](high)], dim=1)
    weights = [parts.turned(conv.weight.detach()) for conv in convs]
    biases = [conv.bias.detach().float() for conv in convs]
    found = parts.context(u0, weights[0], biases[0], weights[1], biases[1])
    rounding = torch.finfo(dtype).eps
    assert error(found, wanted) < rounding
    wanted.backward(grad.double())
    gradients = parts.context_backward(grad, u0, *weights)
    of = [at, *(p for conv in convs for p in (conv.weight, conv.bias))]
    for part, tensor in zip(gradients, of, strict=True):
        assert error(part, tensor.grad) < (rounding if tensor is at else 1e-6)


@pytest.mark.parametrize(
    'gate, training, size',
    [('single', True, (5, 7)), pytest.param('double', False, (1, 3), marks=pytest.mark.long)],
)
def test_a_block_in_float32(gate, training, size):
    torch.manual_seed(0)
    block = a_block(gate=gate, training=training)
    exact, x, grad = copy.deepcopy(block).double(), a_map(2, 16, *size), a_map(2, 16, *size)
    wanted = step(exact, lambda x: plain_block(exact, x, gate), x.double(), grad)
    with counted_launches() as made:
        found = step(block, block, x, grad)
    assert not training or len(made) <= 14 + 31, made  # forward and backward
    assert found['y'].is_contiguous(memory_format=LAST) and found['x'].dtype == torch.float32
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        if value.is_floating_point():
            assert error(found[name], value) < 2e-6, name
        else:
            assert found[name] == value, name


def test_operators_are_what_is_called_without_the_dispatcher(monkeypatch):
    torch.manual_seed(0)
    x, grad, results = a_map(1, 8, 3, 4), a_map(1, 8, 3, 4), []
    for eager in (True, False):
        monkeypatch.setattr(operators, 'has_eager', lambda x, eager=eager: eager)
        results.append(step(block := a_block(stage=1), block, x, grad))
    assert results[0].keys() == results[1].keys()
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]), name


@pytest.mark.parametrize('dtype', HALVES)
def test_a_block_under_autocast(dtype):
    """Values as precise as by the formulas under the same autocast, within a fifth."""
    torch.manual_seed(0)
    block = a_block()
    exact, plain = copy.deepcopy(block).double(), copy.deepcopy(block)
    x, grad = a_map(2, 16, 5, 7), a_map(2, 16, 5, 7)
    wanted = step(exact, lambda x: plain_block(exact, x, 'single'), x.double(), grad)

    with kernels.use_kernels(False):
        formulas = under_autocast(lambda x: plain_block(plain, x, 'single'), dtype)
        by_formulas = step(plain, formulas, x, grad)
    found = step(block, under_autocast(block, dtype), x, grad)
    assert found['y'].dtype == torch.float32  # the sum of the branches, as autocast has it
    keys = [name for name, p in block.named_parameters()]
    rounding = torch.finfo(dtype).eps / 2

    assert error(found['y'], wanted['y']) <= 1.2 * error(by_formulas['y'], wanted['y']) + 1e-4
    assert error(found['x'], wanted['x']) <= 1.2 * error(by_formulas['x'], wanted['x']) + 1e-4
    for key in keys:  # the layer scale of Moga: 9 times as far in bfloat16, and below its rounding
        allowed = max(1.2 * distance(by_formulas[key], wanted[key]), rounding)
        assert distance(found[key], wanted[key]) <= allowed, key
    assert all(found[key].dtype == torch.float32 for key in keys)


def test_large_factors_stay_finite_in_float16():
    torch.manual_seed(0)
    block = a_block(stage=1, training=False)
    with torch.no_grad():
        block.attn.gate.bias.fill_(1000)
        block.attn.value.PW_conv.bias.fill_(1000)
        block.layer_scale_1.fill_(1e-4)
        x = a_map(1, 8, 3, 4)
        wanted = plain_block(copy.deepcopy(block).double(), x.double(), 'single')
        found = block.half()(x.half())
    assert found.dtype == torch.float16
    assert error(found, wanted) < 1e-2


@pytest.mark.long
def test_drop_path_and_two_runs_alike():
    """The factor of each image is applied and propagated; no sum depends on an order."""
    torch.manual_seed(0)
    block, x, grad = a_block(), a_map(3, 16, 4, 5), a_map(3, 16, 4, 5)
    exact = copy.deepcopy(block).double()
    kept = [torch.tensor(values).view(3, 1, 1, 1) for values in ([2.0, 0, 2], [0.0, 0, 2])]

    def formula(x):
        z = exact.norm1(x)
        x = x + kept[0] * exact.layer_scale_1 * plain_moga(exact.attn, z, 'single')
        return x + kept[1] * exact.layer_scale_2 * plain_ffn(exact.mlp, exact.norm2(x))

    wanted = step(exact, formula, x.double(), grad)
    first, second = (step(copied := copy.deepcopy(block), lambda x, b=copied: b.computed(x, *kept),
                          x, grad) for _ in 'ab')  # fmt: skip
    for name, value in wanted.items():
        if value.is_floating_point():
            assert error(first[name], value) < 2e-6, name
        assert torch.equal(first[name], second[name]), name


def test_launches_in_evaluation():
    """By the running statistics, which nothing computes before."""
    block = a_block(stage=1, training=False)
    with torch.no_grad():
        block.norm1.running_var.fill_(4e-6)  # eps counts
        x = a_map(1, 8, 2, 3)
        wanted = plain_block(copy.deepcopy(block).double(), x.double(), 'single')
        with counted_launches() as made:
            found = block(x)
    assert len(made) == 12 and error(found, wanted) < 2e-6, made


@pytest.mark.long  # their sum is counted with a block in float32
def test_launches():
    block, x = a_block(), a_map(1, 16, 2, 3).requires_grad_()
    with counted_launches() as forward:
        y = block(x)
    assert len(forward) <= 14, forward
    with counted_launches() as backward:
        y.sum().backward()
    assert len(backward) <= 31, backward


@pytest.mark.long
def test_gradients_of_gradients_are_those_of_the_formulas():
    torch.manual_seed(0)
    block = a_block(stage=1)
    exact, x = copy.deepcopy(block).double(), a_map(2, 8, 3, 4)
    grad = a_map(2, 8, 3, 4)
    results = []
    for model, forward, at in [
        (exact, lambda x: plain_block(exact, x, 'single'), x.double()),
        (block, block, x),
    ]:
        at = at.clone().requires_grad_()
        (first,) = torch.autograd.grad(forward(at), at, grad.to(at.dtype), create_graph=True)
        weights = [model.mlp.fc1.weight, model.attn.sigma.scale, model.norm1.weight]
        results.append(torch.autograd.grad(first.square().sum(), [at, *weights]))
    for wanted, found in zip(*results, strict=True):
        assert error(found, wanted) < 1e-4


@pytest.mark.long
def test_checkpointed_and_compiled():
    torch.manual_seed(0)
    net = golden.fill(MogaNet({**TINY, 'embed_dims': (8, 8, 8, 8)}, out_indices=(0,)))
    net = net.train().to(memory_format=LAST)
    x, results = golden.image(12, 12, 1).contiguous(memory_format=LAST), []
    for way in ('plain', 'checkpointed', 'compiled'):
        model = copy.deepcopy(net)
        model.with_cp = way == 'checkpointed'
        run = torch.compile(model, backend='aot_eager') if way == 'compiled' else model
        run(x)[0].square().sum().backward()
        results.append([p.grad for p in model.parameters() if p.grad is not None])
        results[-1] += list(model.buffers())
    for found in results[1:]:
        for a, b in zip(found, results[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_a_whole_backbone():
    torch.manual_seed(0)
    sizes = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
    net = golden.fill(MogaNet(sizes)).train().to(memory_format=LAST)
    exact, x = copy.deepcopy(net).double(), golden.image(33, 40, 2)
    assert implementation_for(a_map(1, 8, 2, 2)) is Implementation.KERNELS
    wanted, found = plain_forward(exact, x.double()), net(x.contiguous(memory_format=LAST))
    for a, b in zip(found, wanted, strict=True):
        assert error(a, b) < 1e-5
    grads = [torch.randn_like(f) for f in wanted]
    torch.autograd.backward(wanted, grads)
    torch.autograd.backward(found, [grad.to(torch.float32) for grad in grads])
    largest = max(p.grad.abs().max() for p in exact.parameters())
    for (name, p), q in zip(net.named_parameters(), exact.parameters(), strict=True):
        assert (p.grad - q.grad).abs().max() <= 1e-5 * max(q.grad.abs().max(), 0.1 * largest), name


def test_weights_that_are_no_parameters_of_their_module():
    """Parametrized, as by weight norm, or replaced for a call."""
    torch.manual_seed(0)
    block, x = a_block(stage=1), a_map(1, 8, 2, 3)
    changed = {'attn.gate.weight': 0.5 * block.attn.gate.weight, 'norm2.bias': torch.ones(8)}
    exact = copy.deepcopy(block).double()
    exact.load_state_dict(changed, strict=False)
    wanted = plain_block(exact, x.double(), 'single')
    del changed['attn.gate.weight']

    class Halved(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return 0.5 * weight

    nn.utils.parametrize.register_parametrization(block.attn.gate, 'weight', Halved())
    with torch.no_grad(), counted_launches() as made:
        found = torch.func.functional_call(block, changed, (x,))
    assert made and error(found, wanted) < 2e-6


def test_what_is_not_served_is_computed_by_the_formulas():
    net = golden.fill(MogaNet(TINY, norm_cfg=dict(type='GN', num_groups=4))).double().eval()
    block, x = net.float().blocks1[0], a_map(1, 8, 3, 3)
    assert 'GroupNorm' in kernels.reason_against_block(block)
    with counted_launches() as made, torch.no_grad():
        torch.testing.assert_close(block(x), plain_block(block, x, 'single'))
    assert made == []


def test_gelu_is_that_of_pytorch():
    x = a_map(1, 8, 3, 5)
    taps = torch.zeros(9, 8)
    taps[4] = 1
    y, _ = parts.depthwise(3 * x, taps, None, 3, gelu=True)
    torch.testing.assert_close(y, F.gelu(3 * x), rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings('ignore:overflow encountered:RuntimeWarning')  # inf, as on a GPU
@pytest.mark.parametrize('double', [False, True])
def test_gating_of_any_number(double):
    """exp(-x) is infinite below -89, and SiLU and its slope are zero there."""
    edges = [0, 1, -1.3, 5, -5, 17, -17, 40, -40, 88, -88, 89.5, -89.5, 1000, -1000, 3e4]
    g = torch.tensor(edges).repeat(16, 1).t().reshape(1, 1, 16, 16).expand(1, 8, 16, 16)
    v = torch.tensor(edges).repeat(16, 1).reshape(1, 1, 16, 16).expand(1, 8, 16, 16)
    g, v = (x.contiguous(memory_format=LAST) for x in (g, v))
    exact = [x.double().requires_grad_() for x in (g, v)]
    first, second = (F.silu(F.silu(x)) if double else F.silu(x) for x in exact)
    (first * second).sum().backward()
    a, *grads = (torch.empty_like(g) for _ in range(3))
    calls.gating_backward(torch.ones_like(g), g, v, *grads, a, torch.empty(2, 16), double)
    torch.testing.assert_close(a.double(), first * second, rtol=1e-6, atol=1e-6)
    for found, wanted in zip(grads, exact, strict=True):
        torch.testing.assert_close(found.double(), wanted.grad, rtol=3e-6, atol=1e-5)
    identity, none = torch.eye(8), torch.zeros(8)
    a, *_ = calls.gated(g, v, (identity, none), (identity, none), double, False)
    torch.testing.assert_close(a.double(), first * second, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    'dtype', [torch.float32, pytest.param(torch.float16, marks=pytest.mark.long)]
)
def test_the_fused_form(dtype):
    torch.manual_seed(0)
    net = golden.fill(MogaNet({**TINY, 'embed_dims': (16, 8, 8, 8)}, out_indices=(0,))).eval()
    exact, x = copy.deepcopy(net).double(), golden.image(20, 12, 2)
    fused = net.switch_to_deploy().to(dtype).to(memory_format=LAST)
    with torch.no_grad(), counted_launches() as made:
        (found,) = fused(x.to(dtype).contiguous(memory_format=LAST))
        (wanted,) = plain_forward(exact, x.double())
    assert len(made) <= (9 if dtype == torch.float32 else 10), made
    assert found.dtype == dtype
    assert error(found, wanted) < (1e-5 if dtype == torch.float32 else 1e-2)
    with torch.no_grad(), counted_launches():
        fused.blocks1[0].dwconv.weight.zero_()  # is seen, though taps are kept
        (changed,) = fused(x.to(dtype).contiguous(memory_format=LAST))
    assert not torch.equal(changed, found)


def test_the_fused_form_under_autocast():
    """As `predict --deploy --dtype bf16` runs it: weights in bfloat16, and autocast."""
    torch.manual_seed(0)
    net = golden.fill(MogaNet({**TINY, 'embed_dims': (8, 8, 8, 8)}, out_indices=(0,))).eval()
    fused, x = net.switch_to_deploy().bfloat16().to(memory_format=LAST), a_map(1, 3, 12, 16)
    with torch.no_grad(), counted_launches() as made:
        (wanted,) = fused(x.bfloat16())
        before = len(made)
        with torch.autocast('cpu', torch.bfloat16):
            (found,) = fused(x)
    assert len(made) == 2 * before > 0
    assert torch.equal(found, wanted)
    with torch.no_grad(), counted_launches() as made, torch.autocast('cpu', torch.bfloat16):
        fused.float()(x)
    assert not made  # its weights are float32, the maps under autocast are not
