"""Convolutions whose argument is computed again in backward: values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from moganet_dense.models import functional
from moganet_dense.models.functional import conv1x1_of, convs_of, dilated_depthwise


def silu_silu(x: torch.Tensor) -> torch.Tensor:
    return F.silu(F.silu(x))


CHEAP = [
    (functional.Gelu(), 1, F.gelu),
    (functional.Silu(), 1, F.silu),
    (functional.Gating(), 2, lambda g, v: F.silu(g) * F.silu(v)),
    (functional.DoubleGating(), 2, lambda g, v: silu_silu(g) * silu_silu(v)),
]


def double(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize('cheap, count, formula', CHEAP, ids=lambda c: type(c).__name__)
def test_values_and_both_gradients(cheap, count, formula):
    torch.manual_seed(0)
    arguments = [double(2, 3, 3, 4) for _ in range(count)]
    weights = double(4, 3, 1, 1), double(4)

    def ours(*tensors):
        return functional._apply(cheap, [functional.Geometry()], *tensors)[0]

    wanted = F.conv2d(formula(*arguments), *weights)
    torch.testing.assert_close(ours(*arguments, *weights), wanted)
    assert torch.autograd.gradcheck(ours, (*arguments, *weights))
    assert torch.autograd.gradgradcheck(ours, (*arguments, *weights))


def test_several_convolutions_of_one_value():
    torch.manual_seed(0)
    x = double(2, 4, 5, 6)
    mix, depthwise = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4)
    mix.double(), depthwise.double()

    def ours(x):
        return convs_of(functional.Silu(), [x], mix, depthwise)

    for found, conv in zip(ours(x), (mix, depthwise), strict=True):
        torch.testing.assert_close(found, conv(F.silu(x)))
    assert torch.autograd.gradcheck(ours, (x,))
    assert torch.autograd.gradgradcheck(ours, (x,))


@pytest.mark.parametrize('dilation, kernel', [(2, 5), (3, 7)])
@pytest.mark.parametrize('size', [(1, 1), (4, 9), (7, 5)])
def test_dilated_convolution_of_any_size(dilation, kernel, size):
    torch.manual_seed(0)
    conv = nn.Conv2d(
        2, 2, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=2
    ).double()
    x = double(2, 2, *size)
    torch.testing.assert_close(dilated_depthwise(x, conv), conv(x))
    assert torch.autograd.gradcheck(lambda x: dilated_depthwise(x, conv), (x,))
    assert torch.autograd.gradgradcheck(lambda x: dilated_depthwise(x, conv), (x,))


def test_interleaved_images():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    images = functional.Interleaved(2).value(x)
    assert images[:, 0].tolist() == [
        [[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [0, 0]], [[5, 7], [0, 0]],
    ]  # fmt: skip


def test_frozen_weights_get_no_gradient():
    conv = nn.Conv2d(3, 3, 1).requires_grad_(False)
    x = torch.randn(1, 3, 2, 2, requires_grad=True)
    convs_of(functional.Silu(), [x], conv)[0].sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is None and conv.bias.grad is None


def test_autocast_gives_the_gradients_of_its_precision():
    torch.manual_seed(0)
    conv, x = nn.Conv2d(8, 8, 1), torch.randn(2, 8, 4, 4, requires_grad=True)
    wanted = torch.autograd.grad(conv(F.gelu(x)).square().mean(), (x, conv.weight, conv.bias))
    with torch.autocast('cpu', torch.bfloat16):
        y = conv1x1_of(functional.Gelu(), x, conv.weight, conv.bias)
    assert y.dtype == torch.bfloat16
    found = torch.autograd.grad(y.float().square().mean(), (x, conv.weight, conv.bias))
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).abs().max() < 0.03 * b.abs().max()


@pytest.mark.parametrize('cheap', [functional.Gating(), functional.DoubleGating()])
def test_gating_of_large_values_is_finite_in_float16(cheap):
    g = torch.full((1, 8, 1, 2), 3000.0, dtype=torch.float16)
    v = torch.tensor([2000.0, -3000.0], dtype=torch.float16).expand(1, 8, 1, 2)
    conv = nn.Conv2d(8, 1, 1)
    nn.init.constant_(conv.weight, 0.5)
    nn.init.zeros_(conv.bias)
    assert torch.isinf(g * v).all()  # what float16 makes of it
    (y,) = convs_of(cheap, [g.requires_grad_(), v], conv.half())
    assert y.flatten().tolist() == [8 * 0.5 * 3000 * 2000, 0]  # SiLU(x) = x, and 0 below
    (y / 2**20).sum().backward()
    assert g.grad.flatten().tolist() == pytest.approx([0.5 * 2000 / 2**20, 0] * 8, rel=1e-2)


def test_what_is_kept_is_the_argument():
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    conv, kept = nn.Conv2d(4, 4, 1), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        convs_of(functional.Gelu(), [x], conv)
    wide = {t.data_ptr() for t in kept if t.numel() == x.numel()}
    assert wide == {x.data_ptr()}
