"""This repository's operators against mmcv's compiled ones, where those are installed.

On a CPU mmcv compiles nms, soft-nms, nms_match, RoIAlign, deformable convolution, PSANet's mask and
the overlaps of boxes; the rest it compiles for a GPU alone. With a GPU here, those run too.
"""

import importlib

import pytest
import torch
from mmcv_operators import compiled, load

OURS = load()
DEVICES = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']


@pytest.fixture(scope='module')
def theirs():
    return compiled()


def on_both(theirs, monkeypatch, modules, function):
    """The same call with mmcv's front ends on each of the two."""
    results = []
    for extension in (OURS, theirs):
        for name in modules.split():
            module = importlib.import_module(f'mmcv.ops.{name}')
            monkeypatch.setattr(module, 'ext_module', extension)
        results.append(function())
    return results


def multiplies_halves() -> bool:
    """Torch below 2.2 does not, on a CPU, and so neither convolution can."""
    half = torch.ones(2, 2, dtype=torch.float16)
    try:
        return torch.equal(half @ half, 2 * half)
    except RuntimeError:
        return False


def boxes(count, seed, whole=False):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 100
    sizes = torch.rand(count, 2, generator=generator) * 100
    found = torch.cat([corners, corners + sizes], 1)
    return (found / 10).round() if whole else found, torch.rand(count, generator=generator)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('whole', [False, True])
def test_nms_keeps_the_same(theirs, offset, whole):
    for seed in range(5):
        found, scores = boxes(300, seed, whole)
        for threshold in (0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9):
            ours, right = (e.nms(found, scores, threshold, offset) for e in (OURS, theirs))
            assert torch.equal(ours, right), (seed, threshold)
    assert torch.equal(*(e.nms(found[:0], scores[:0], 0.5, offset) for e in (OURS, theirs)))


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('tied', [False, True])
def test_soft_nms_is_the_same(theirs, monkeypatch, method, offset, tied):
    from mmcv.ops import soft_nms

    for seed, whole in ((0, False), (1, True)):
        found, scores = boxes(200, seed, whole)
        scores = (scores * 10).round() / 10 if tied else scores
        (ours, first), (right, second) = on_both(
            theirs, monkeypatch, 'nms',
            lambda: soft_nms(found, scores, 0.3, 0.5, 0.05, method, offset),  # noqa: B023
        )  # fmt: skip
        assert torch.equal(first, second)
        assert torch.allclose(ours, right, atol=1e-6, equal_nan=True)


def test_nms_match_is_the_same(theirs):
    found, scores = boxes(200, 3, whole=True)
    dets = torch.cat([found, scores[:, None]], 1)
    assert OURS.nms_match(dets, 0.3) == theirs.nms_match(dets, 0.3)


@pytest.mark.parametrize('mode', [0, 1])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('aligned', [False, True])
def test_overlaps_are_the_same(theirs, mode, offset, aligned):
    (first, _), (second, _) = boxes(50, 0), boxes(50, 1)
    ours, right = (torch.empty(50 if aligned else (50, 50)) for _ in range(2))
    for extension, out in ((OURS, ours), (theirs, right)):
        extension.bbox_overlaps(first, second, out, mode, aligned, offset)
    assert torch.equal(ours, right)


def regions(dtype, device='cpu'):
    found, _ = boxes(60, 7)
    image = torch.arange(60) % 2
    return torch.cat([image[:, None], found], 1).to(dtype).to(device)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize('sampling', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_is_the_same(theirs, monkeypatch, mode, aligned, sampling, dtype, device):
    from mmcv.ops import roi_align

    torch.manual_seed(0)
    features = torch.randn(2, 5, 20, 30, dtype=dtype, device=device)
    factor = torch.randn(60, 5, 7, 6, dtype=dtype, device=device)

    def forward_and_gradient():
        x = features.clone().requires_grad_()
        out = roi_align(x, regions(dtype, device), (7, 6), 0.25, sampling, mode, aligned)
        return out, torch.autograd.grad((out * factor).sum(), x)[0]

    (ours, first), (right, second) = on_both(theirs, monkeypatch, 'roi_align', forward_and_gradient)
    if mode == 'avg' and device == 'cpu':
        assert torch.equal(ours, right) and torch.equal(first, second)
        return
    # the maximum places its samples by one multiplication less
    eps = torch.finfo(dtype).eps
    assert torch.allclose(ours, right, atol=200 * eps)
    if dtype != torch.float16:  # there, rounding decides between samples
        assert torch.allclose(first, second, atol=1000 * eps)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize(
    'stride, padding, dilation, groups, offset_groups',
    [(1, 1, 1, 1, 1), (2, 1, 1, 2, 1), (1, 2, 2, 1, 4), ((1, 2), (0, 2), (2, 1), 2, 2)],
)
@pytest.mark.parametrize('modulated', [False, True])
def test_deformable_convolution_is_the_same(
    theirs, monkeypatch, modulated, stride, padding, dilation, groups, offset_groups, dtype, device
):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    if device == 'cpu' and dtype is torch.float16 and not multiplies_halves():
        pytest.skip('this torch multiplies no float16 matrices on a CPU')
    torch.manual_seed(0)
    shape = torch.nn.functional.conv2d(
        torch.zeros(4, 4, 9, 10), torch.zeros(6, 4, 3, 3), None, stride, padding, dilation
    ).shape[2:]
    make = dict(dtype=dtype, device=device)
    tensors = [
        torch.randn(4, 4, 9, 10, **make),
        torch.randn(4, 18 * offset_groups, *shape, **make) * 2,
        torch.rand(4, 9 * offset_groups, *shape, **make),
        torch.randn(6, 4 // groups, 3, 3, **make),
        torch.randn(6, **make),
    ]

    def forward_and_gradients(dtype=dtype):
        inputs = [t.to(dtype, copy=True).requires_grad_() for t in tensors]
        x, offset, mask, weight, bias = inputs
        rest = stride, padding, dilation, groups, offset_groups
        if modulated:
            out = modulated_deform_conv2d(x, offset, mask, weight, bias, *rest)
        else:
            out = deform_conv2d(x, offset, weight, *rest, False, 2)
            inputs = [x, offset, weight]
        return [out, *torch.autograd.grad(out.double().square().sum(), inputs)]

    pairs = on_both(theirs, monkeypatch, 'deform_conv modulated_deform_conv', forward_and_gradients)
    if dtype is not torch.float16:
        for ours, right in zip(*pairs, strict=True):
            scale = right.abs().max().item()
            assert torch.allclose(ours, right, atol=30 * torch.finfo(dtype).eps * scale)
        return
    # both round: no farther from the same in float64 than the compiled ones
    for ours, right, exact in zip(*pairs, forward_and_gradients(torch.float64), strict=True):
        error, allowed = ((each - exact).norm().item() for each in (ours, right))
        assert error <= 1.2 * allowed + torch.finfo(dtype).eps * exact.norm().item()


@pytest.mark.parametrize('device', DEVICES)
def test_offsets_of_a_larger_map_are_read_as_mmcv_reads_them(theirs, monkeypatch, device):
    """mmdet's DyHead passes offsets for 8 x 8 places to a convolution of 4 x 4."""
    from mmcv.ops import modulated_deform_conv2d

    torch.manual_seed(0)
    shapes = ((2, 4, 4, 4), (2, 18, 8, 8), (2, 9, 8, 8), (6, 4, 3, 3), (6,))
    tensors = [torch.randn(shape, device=device) for shape in shapes]

    def forward_and_gradients():
        inputs = [t.clone().requires_grad_() for t in tensors]
        out = modulated_deform_conv2d(*inputs, 1, 1, 1, 1, 1)
        return [out, *torch.autograd.grad(out.square().sum(), inputs)]

    pairs = on_both(theirs, monkeypatch, 'modulated_deform_conv', forward_and_gradients)
    for ours, right in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', ['collect', 'distribute'])
def test_psa_mask_is_the_same(theirs, monkeypatch, kind):
    from mmcv.ops import PSAMask

    torch.manual_seed(0)
    taps, factor = torch.randn(2, 15, 4, 6), torch.randn(2, 24, 4, 6)

    def forward_and_gradient():
        x = taps.clone().requires_grad_()
        out = PSAMask(kind, (3, 5))(x)
        return out, torch.autograd.grad((out * factor).sum(), x)[0]

    (ours, first), (right, second) = on_both(theirs, monkeypatch, 'psa_mask', forward_and_gradient)
    assert torch.equal(ours, right) and torch.equal(first, second)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='mmcv has these on a GPU alone')
def test_operators_of_a_gpu_are_the_same(theirs, monkeypatch):
    from mmcv.ops import carafe, roi_pool, sigmoid_focal_loss, softmax_focal_loss

    torch.manual_seed(0)
    x = torch.randn(2, 4, 12, 16, device='cuda', requires_grad=True)
    masks = torch.rand(2, 2 * 25, 24, 32, device='cuda', requires_grad=True)
    logits = torch.randn(50, 8, device='cuda', requires_grad=True)
    target = torch.randint(0, 8, (50,), device='cuda')

    def all_of_them():
        results = []
        for out, inputs in (
            (roi_pool(x, regions(torch.float32, 'cuda'), 5, 0.1), [x]),
            (carafe(x, masks, 5, 2, 2), [x, masks]),
            (sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'sum'), [logits]),
            (softmax_focal_loss(logits, target, 2.0, 0.25, None, 'sum'), [logits]),
        ):
            results += [out, *torch.autograd.grad(out.sum(), inputs)]
        return results

    pairs = on_both(theirs, monkeypatch, 'roi_pool carafe focal_loss', all_of_them)
    for ours, right in zip(*pairs, strict=True):
        assert torch.allclose(ours, right, atol=1e-4)
