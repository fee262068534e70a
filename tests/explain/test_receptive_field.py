"""Effective receptive fields that can be worked out by hand."""

import numpy as np
import torch
import torch.nn as nn

from moganet_dense import MogaNet
from moganet_dense.explain.receptive_field import receptive_fields, side_of


def ones(kernel: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(1, 1, kernel, stride, kernel // 2, bias=False)
    nn.init.ones_(conv.weight)
    return conv


def test_of_convolutions_of_ones_it_is_binomial():
    """Three 3-tap boxes after one another: 1 3 6 7 6 3 1 along each axis; Luo et al., 2.1."""
    net = nn.Sequential(ones(3), ones(3), ones(3))
    (field,) = receptive_fields(lambda x: (net(x),), torch.rand(1, 1, 15, 15))
    taps = np.array([1, 3, 6, 7, 6, 3, 1]) / 27
    expected = np.zeros((15, 15))
    expected[4:11, 4:11] = np.outer(taps, taps)
    assert np.allclose(field, expected, atol=1e-7)
    inner = (19 / 27) ** 2  # of the middle three taps, along both axes
    assert side_of(field, inner - 0.01, 1) == 3
    assert side_of(field, inner + 0.01, 1) == 5
    assert side_of(field, 1.0, 1) == 7


def test_it_does_not_depend_on_the_values_of_a_linear_network():
    net = ones(5)
    fields = [receptive_fields(lambda x: (net(x),), torch.rand(1, 1, 9, 9))[0] for _ in range(2)]
    assert np.allclose(*fields)
    assert np.allclose(fields[0][2:7, 2:7], 1 / 25)


def test_of_a_strided_network_the_square_is_around_the_unit():
    """Unit i of a 3-tap box of stride 2 reads pixels 2 i - 1 to 2 i + 1; the middle of 8 is 4."""
    net = ones(3, stride=2)
    (field,) = receptive_fields(lambda x: (net(x),), torch.rand(1, 1, 16, 15))
    assert np.argwhere(field).min(0).tolist() == [7, 7]
    assert np.argwhere(field).max(0).tolist() == [9, 9]
    assert side_of(field, 1.0, 2) == 3


def test_of_a_backbone_it_grows_from_stage_to_stage():
    torch.manual_seed(0)
    net = MogaNet('xt', layer_scale_init_value=0.1).eval()
    image = torch.rand(1, 3, 128, 96)
    fields = receptive_fields(net, image)
    assert [field.shape for field in fields] == [(128, 96)] * 4
    assert all(np.isclose(field.sum(), 1, atol=1e-4) for field in fields)
    sides = [side_of(field, 0.5, stride) for field, stride in zip(fields, net.strides, strict=True)]
    assert sides == sorted(set(sides))
    assert image.grad is None and not image.requires_grad
