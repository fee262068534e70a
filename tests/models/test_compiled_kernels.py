"""What the compiler makes of the kernels for a GPU, run on the CPU: see ``tests/ptx``."""

import copy
import sys
from functools import partial

import golden
import pytest
import torch
from plain import plain_block, plain_forward
from steps import a_map, distance, error, step, under_autocast
from torch import nn

from moganet_dense import MogaNet
from moganet_dense.models import kernels
from moganet_dense.models.kernels.choice import INTERPRETED, reason_against_triton
from moganet_dense.models.kernels.launching import counted_launches, recorded_launches

pytestmark = pytest.mark.skipif(
    INTERPRETED or reason_against_triton() is not None,
    reason=f'no compiler of kernels here: {reason_against_triton()}',
)
LONG = pytest.mark.long


@pytest.mark.parametrize(
    'kernel, dilation, size, capability',
    [
        pytest.param(3, 1, (9, 37), 80, marks=pytest.mark.slow),
        pytest.param(5, 2, (14, 14), 90, marks=pytest.mark.slow),
        pytest.param(3, 1, (7, 7), 90, marks=LONG),
        pytest.param(5, 1, (13, 37), 90, marks=LONG),
        pytest.param(5, 2, (9, 70), 80, marks=LONG),
        pytest.param(7, 3, (14, 14), 90, marks=LONG),
        pytest.param(7, 3, (9, 70), 80, marks=LONG),
    ],
)
def test_depthwise_convolutions(kernel, dilation, size, capability, batch=3, channels=40):
    from ptx.launching import kernels_of

    from moganet_dense.models.kernels import parts

    torch.manual_seed(0)
    conv = nn.Conv2d(
        channels, channels, kernel, padding=dilation * (kernel // 2), dilation=dilation,
        groups=channels,
    )  # fmt: skip
    x, grad = (a_map(batch, channels, *size, dtype=torch.bfloat16) for _ in 'xg')
    exact, at = copy.deepcopy(conv).double(), x.double().requires_grad_()
    wanted = exact(at)
    wanted.backward(grad.double())
    taps = parts.turned(conv.weight.detach())
    with kernels_of(capability):
        y, _ = parts.depthwise(x, taps, conv.bias.detach(), kernel, dilation)
        gradients = parts.depthwise_backward(grad, x, taps, kernel, dilation)
    rounding = torch.finfo(torch.bfloat16).eps / 2
    assert error(y, wanted) < rounding and error(gradients[0], at.grad) < rounding
    assert error(gradients[1], exact.weight.grad) < 1e-6  # summed in float32
    assert error(gradients[2], exact.bias.grad) < 1e-6


@pytest.mark.parametrize(
    'arch, stage, size, dtype, capability, training',
    [
        pytest.param('xt', 2, (2, 9, 13), 'bfloat16', 90, True, marks=pytest.mark.slow),
        pytest.param('xt', 1, (2, 9, 70), 'bfloat16', 90, True, marks=LONG),
        pytest.param('xt', 3, (2, 14, 14), 'float16', 90, False, marks=LONG),
        pytest.param('xt', 1, (1, 9, 20), 'float32', 90, True, marks=LONG),
        pytest.param('xt', 2, (2, 7, 7), 'float32', 80, True, marks=LONG),
        pytest.param('xt', 4, (5, 7, 7), 'bfloat16', 80, True, marks=LONG),
        pytest.param('s', 1, (1, 11, 52), 'bfloat16', 90, True, marks=LONG),
        pytest.param('s', 3, (1, 13, 15), 'float16', 80, True, marks=LONG),
        pytest.param('s', 4, (2, 13, 20), 'bfloat16', 90, True, marks=LONG),
    ],
)
def test_a_block(arch, stage, size, dtype, capability, training):
    """Output, gradients and statistics: as far from the exact ones as by the paper's formulas."""
    from ptx.launching import kernels_of

    torch.manual_seed(0)
    dtype = getattr(torch, dtype)
    net = golden.fill(MogaNet(arch)).train(training)
    block = getattr(net, f'blocks{stage}')[0].to(memory_format=torch.channels_last)
    exact, plain = copy.deepcopy(block).double(), copy.deepcopy(block)
    batch, height, width = size
    shape = batch, block.norm1.num_features, height, width
    x, grad = a_map(*shape), a_map(*shape)
    wanted = step(exact, lambda x: plain_block(exact, x, 'single'), x.double(), grad)
    formulas = under_autocast(lambda x: plain_block(plain, x, 'single'), dtype)
    by_formulas = step(plain, formulas, x, grad)
    with kernels_of(capability), counted_launches() as made:
        found = step(block, under_autocast(block, dtype), x, grad)
    assert not training or len(made) <= 14 + 32, made
    rounding = 1e-5 if dtype == torch.float32 else torch.finfo(dtype).eps / 2
    for name, value in wanted.items():
        if value.is_floating_point():  # of few numbers, the errors are few as well
            allowed = max(1.5 * distance(by_formulas[name], value), rounding)
            assert distance(found[name], value) <= allowed, name
        else:
            assert found[name] == value, name


@pytest.mark.long
@pytest.mark.parametrize('capability', [80, 90])
def test_products_of_float32_in_tf32(capability, request):
    """Where PyTorch is allowed to use it: the ten bits of its mantissa are seen."""
    from ptx.launching import kernels_of

    torch.manual_seed(0)
    block = golden.fill(MogaNet('xt')).eval().blocks2[0].to(memory_format=torch.channels_last)
    exact, x = copy.deepcopy(block).double(), a_map(2, 64, 9, 13)
    request.addfinalizer(partial(setattr, torch.backends.cuda.matmul, 'allow_tf32', False))
    torch.backends.cuda.matmul.allow_tf32 = True
    with kernels_of(capability), torch.no_grad():
        found = block(x)
    assert 1e-6 < distance(found, plain_block(exact, x.double(), 'single')) < 1e-3


@pytest.mark.long
@pytest.mark.parametrize('dtype, capability', [('bfloat16', 90), ('float16', 80), ('float32', 90)])
def test_the_fused_form(dtype, capability):
    from ptx.launching import kernels_of

    torch.manual_seed(0)
    dtype = getattr(torch, dtype)
    net = golden.fill(MogaNet('xt', out_indices=(0, 1, 2, 3))).eval()
    exact, x = copy.deepcopy(net).double(), golden.image(65, 96, 1)
    wanted = plain_forward(exact, x.double())
    plain = copy.deepcopy(net).to(dtype)
    fused = net.switch_to_deploy().to(dtype).to(memory_format=torch.channels_last)
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        by_formulas = plain_forward(plain, x)
        with kernels_of(capability), counted_launches() as made:
            found = fused(x)
    assert made
    for one, formula, value in zip(found, by_formulas, wanted, strict=True):
        assert distance(one, value) <= max(1.05 * distance(formula, value), 1e-5)


@pytest.mark.long
def test_errors_of_a_whole_backbone(monkeypatch):
    """As `tools/benchmark.py gpu` measures them: 1e-5 in float32, in bfloat16 as the formulas."""
    monkeypatch.setattr(sys, 'path', [*sys.path])
    from kernel_errors import of_fused_maps, of_training

    plain = of_training('xt', 'bf16', 'plain, channels_last')
    half = of_training('xt', 'bf16', 'ours, kernels')
    single = of_training('xt', 'fp32', 'ours, kernels', 'double')
    eager = of_training('xt', 'bf16', 'deploy, channels_last')
    fused = of_training('xt', 'bf16', 'deploy, kernels')
    for part in ('features', 'gradients'):
        assert half[part] <= 1.2 * plain[part]
        assert single[part] <= 1e-5
    assert fused['features'] <= 1.2 * eager['features'] and fused['finite'] and half['finite']
    assert max(of_fused_maps(0)) < 1


@pytest.mark.slow
def test_a_compiled_kernel_without_its_barriers_is_refused():
    from ptx import launching
    from ptx.memory import Fault
    from ptx.reading import Module

    from moganet_dense.models.kernels import calls, kernel_report

    partial, total = torch.randn(100, 70), torch.empty(70)
    with recorded_launches() as found:
        calls.row_sums((partial,), total)
    (launch,) = found
    launching.run_launch(launch, 90)
    torch.testing.assert_close(total, partial.sum(0), rtol=1e-5, atol=1e-5)
    made = kernel_report.build(launch, 90)
    without = Module(made.asm['ptx'].replace('bar.sync', '// bar.sync'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, 'compiled', lambda *_: (without, made.metadata.shared))
        with pytest.raises(Fault, match='row_sums_kernel.*since the last barrier, in .*ld.shared'):
            launching.run_launch(launch, 90)


def test_nothing_is_patched_afterwards():
    from ptx.launching import kernels_of

    with kernels_of(90):
        assert kernels.reason_against(a_map(1, 8, 2, 2)) is None
    assert kernels.reason_against(a_map(1, 8, 2, 2)) is not None
