"""Which implementation serves, and that each of them computes the paper's formulas."""

import copy
from types import SimpleNamespace

import golden
import pytest
import torch
from plain import plain_block, plain_forward

from moganet_dense import MogaNet
from moganet_dense.models import blocks, kernels
from moganet_dense.models.kernels import Implementation, choice, implementation_for

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 2, 1, 1), ffn_ratios=(2, 2, 2, 2))


def a_map(device: str, channels_last: bool, dtype: torch.dtype = torch.float32):
    """What the decision asks of a map, without a device."""
    return SimpleNamespace(
        device=torch.device(device), dtype=dtype, is_contiguous=lambda memory_format: channels_last,
        is_cuda=device == 'cuda', get_device=lambda: 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    'device, channels_last, grad, wanted',
    [
        ('cpu', False, True, Implementation.REARRANGED),
        ('cpu', True, False, Implementation.REARRANGED),
        ('cuda', False, True, Implementation.FORMULAS),
        ('cuda', True, True, Implementation.FORMULAS),
        ('cuda', True, False, Implementation.FORMULAS),
        ('cuda', False, False, Implementation.REARRANGED),
        ('mps', True, True, Implementation.FORMULAS),
    ],
)
def test_without_the_kernels(device, channels_last, grad, wanted):
    with torch.set_grad_enabled(grad), kernels.use_kernels(False):
        assert implementation_for(a_map(device, channels_last)) is wanted


def test_the_kernels_serve_channels_last_on_cuda_where_they_are_on(monkeypatch):
    monkeypatch.setattr(choice, 'INTERPRETED', False)
    monkeypatch.setattr(choice._switch, 'reason', None)
    monkeypatch.setattr(choice, '_capabilities', {0: (8, 6)})
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert implementation_for(a_map('cuda', True, dtype)) is Implementation.KERNELS
    assert implementation_for(a_map('cpu', True)) is Implementation.REARRANGED
    assert implementation_for(a_map('cuda', True, torch.float64)) is Implementation.FORMULAS
    assert 'channels_last' in kernels.reason_against(a_map('cuda', False))
    assert 'float64' in kernels.reason_against(a_map('cuda', True, torch.float64))
    assert 'on cpu' in kernels.reason_against(a_map('cpu', True))


def test_the_kernels_do_not_serve_old_gpus(monkeypatch):
    monkeypatch.setattr(choice._switch, 'reason', None)
    monkeypatch.setattr(choice, '_capabilities', {})
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (7, 5))  # a T4
    assert kernels.reason_against(a_map('cuda', True)) == (
        'they need a GPU of compute capability 8.0 or later, and this one has 7.5'
    )
    assert implementation_for(a_map('cuda', True)) is Implementation.FORMULAS
    monkeypatch.setattr(torch.cuda, 'get_device_capability', None)  # asked once for each GPU
    assert kernels.reason_against(a_map('cuda', True))


def test_the_capability_is_a_constant_in_a_graph(monkeypatch):
    monkeypatch.setattr(choice, '_capabilities', {})
    asked = []
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda i: asked.append(i) or (9, 0))

    @torch.compile(fullgraph=True, backend='eager')
    def added(x):
        return x + choice.capability_of(0)[0]

    assert added(torch.zeros(1)).item() == 9 and added(torch.zeros(1)).item() == 9
    assert asked == [0]


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(choice.importlib.util, 'find_spec', lambda name: None)
    assert kernels.unavailable()
    with pytest.raises(RuntimeError, match='cannot be turned on'), kernels.use_kernels():
        pass


@pytest.mark.parametrize('gate', ['single', 'double'])
@pytest.mark.parametrize('training', [True, False])
def test_the_formulas_are_the_formulas(monkeypatch, gate, training):
    monkeypatch.setattr(blocks, 'implementation_for', lambda x: Implementation.FORMULAS)
    options = dict(drop_rate=0.2, drop_path_rate=0.5) if training else {}
    net = golden.fill(MogaNet(TINY, gate=gate, **options)).double().train(training)
    other, x, results = copy.deepcopy(net), golden.image(33, 41, 2).double(), []
    for model, forward in [(net, lambda x: plain_forward(net, x)), (other, other)]:
        torch.manual_seed(3)
        maps = forward(x)
        sum(f.square().mean() for f in maps).backward()
        results.append([*maps, *(p.grad for p in model.parameters())])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-14)


def test_the_formulas_are_guarded_in_float16(monkeypatch):
    monkeypatch.setattr(blocks, 'implementation_for', lambda x: Implementation.FORMULAS)
    block = golden.fill(MogaNet(TINY)).eval().blocks1[0]
    with torch.no_grad():
        block.attn.gate.bias.fill_(1000)
        block.attn.value.PW_conv.bias.fill_(1000)
        block.layer_scale_1.fill_(1e-4)
        x = torch.randn(1, 8, 6, 6)
        wanted = plain_block(copy.deepcopy(block).double(), x.double(), 'single')
        try:
            found = block.half()(x.half())
        except RuntimeError:
            pytest.skip('this PyTorch has no float16 on the CPU')
    assert found.dtype == torch.float16
    assert (found - wanted).abs().max() <= 1e-2 * wanted.abs().max()
