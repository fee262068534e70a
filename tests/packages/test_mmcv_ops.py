"""mmcv.ops on this repository's operators: values worked out by hand, formulas, gradients.

The front ends are mmcv's own; ``ext_module``, where each takes its operators from, is replaced.
"""

import importlib
import json
import math

import make_operators
import numpy as np
import pytest
import torch
from mmcv_operators import load
from torch.nn import functional as F

mmcv = pytest.importorskip('mmcv')
mmcv_ops = pytest.importorskip('mmcv.ops')
OURS = load()
BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30], [0, 0, 10, 9]])
SCORES = torch.tensor([0.9, 0.8, 0.7, 0.6])


@pytest.fixture(autouse=True)
def on_ours(monkeypatch):
    names = ['bbox', 'carafe', 'deform_conv', 'focal_loss', 'masked_conv', 'modulated_deform_conv']
    names += ['multi_scale_deform_attn', 'nms', 'psa_mask', 'roi_align', 'roi_pool', 'knn', 'info']
    for name in names:
        module = importlib.import_module(f'mmcv.ops.{name}')
        monkeypatch.setattr(module, 'ext_module', OURS)


def front(name):
    return importlib.import_module(f'mmcv.ops.{name}')


def derivative(function, tensor, step=1e-5):
    """Central differences of a sum, in float64."""
    grad = torch.zeros_like(tensor)
    for i in range(tensor.numel()):
        shift = torch.zeros_like(tensor).view(-1)
        shift[i] = step
        shift = shift.view_as(tensor)
        change = function(tensor + shift).sum() - function(tensor - shift).sum()
        grad.view(-1)[i] = change / (2 * step)
    return grad


# boxes


@pytest.mark.parametrize('threshold, kept', [(0.4, [0, 2]), (0.5, [0, 1, 2]), (0.9, [0, 1, 2, 3])])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_nms(threshold, kept, dtype):
    # IoU with the first box: 0.5, 0, 0.9; only greater ones are dropped
    _, indices = mmcv_ops.nms(BOXES.to(dtype), SCORES.to(dtype), threshold)
    assert indices.tolist() == kept


@pytest.mark.parametrize('offset, overlap', [(0, 0.25), (1, 36 / 121)])
def test_nms_counts_the_last_pixel_with_offset_1(offset, overlap):
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 10, 10]])  # 25 of 100, or 36 of 121
    for threshold, count in ((overlap - 0.01, 1), (overlap + 0.01, 2)):
        assert len(mmcv_ops.nms(boxes, SCORES[:2], threshold, offset)[1]) == count


def test_an_overlap_of_exactly_the_threshold_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 3]])
    assert mmcv_ops.nms(boxes, SCORES[:2], 0.3)[1].tolist() == [0, 1]


def test_nms_options():
    dets, indices = mmcv_ops.nms(BOXES, SCORES, 0.95, score_threshold=0.65, max_num=2)
    assert indices.tolist() == [0, 1] and dets[:, 4].tolist() == SCORES[:2].tolist()
    assert mmcv_ops.nms(BOXES[:0], SCORES[:0], 0.5)[0].shape == (0, 5)
    assert mmcv_ops.nms(BOXES.numpy(), SCORES.numpy(), 0.4)[1].tolist() == [0, 2]
    labels = torch.tensor([0, 1, 0, 0])
    assert mmcv_ops.batched_nms(BOXES, SCORES, labels, dict(iou_threshold=0.4))[1].tolist() == [0, 1, 2]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    'method, scores',
    [
        ('naive', [0.9, 0.7]),
        ('linear', [0.9, 0.7, 0.8 * 0.5]),
        ('gaussian', [0.9, 0.7, 0.8 * math.exp(-0.25 / 0.5)]),
    ],
)
def test_soft_nms(method, scores):
    dets, indices = mmcv_ops.soft_nms(
        BOXES[:3], SCORES[:3], iou_threshold=0.3, sigma=0.5, min_score=0.05, method=method
    )
    assert indices.tolist() == [0, 2, 1][: len(scores)]
    assert dets[:, 4].tolist() == pytest.approx(scores)
    assert torch.equal(dets[:, :4], BOXES[indices])


def test_soft_nms_drops_low_scores_and_takes_nothing():
    assert mmcv_ops.soft_nms(BOXES, SCORES, min_score=0.85)[1].tolist() == [0]
    assert mmcv_ops.soft_nms(BOXES[:0], SCORES[:0])[0].shape == (0, 5)


def test_nms_match():
    groups = mmcv_ops.nms_match(torch.cat([BOXES, SCORES[:, None]], 1), 0.5)
    assert [g.tolist() for g in groups] == [[0, 1, 3], [2]]  # reached counts here


def test_bbox_overlaps():
    ious = torch.empty(1, 4)
    OURS.bbox_overlaps(BOXES[:1], BOXES, ious, mode=0, aligned=False, offset=0)
    assert ious.tolist() == [pytest.approx([1, 0.5, 0, 0.9])]
    aligned = torch.empty(4)
    OURS.bbox_overlaps(BOXES, BOXES.flip(0), aligned, mode=1, aligned=True, offset=0)
    assert aligned.tolist() == pytest.approx([0.9, 0, 0, 1])


# regions


def ramp(height=6, width=8, dtype=torch.float32):
    """An image whose value at (y, x) is 10 y + x: its mean over a box is that of the centre."""
    y, x = torch.arange(height), torch.arange(width)
    return (10 * y[:, None] + x).to(dtype)[None, None]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('sampling', [0, 2])
def test_roi_align_is_the_mean_of_each_bin(dtype, sampling):
    rois = torch.tensor([[0.0, 1, 1, 5, 5]], dtype=dtype)  # bins of 2 x 2, centres at 2 and 4
    out = mmcv_ops.roi_align(ramp(dtype=dtype), rois, 2, 1.0, sampling, 'avg', True)
    assert out.dtype == dtype
    assert out.flatten().tolist() == [16.5, 18.5, 36.5, 38.5]  # 10 (2 - .5) + (2 - .5), ...


def test_roi_align_takes_the_maximum():
    rois = torch.tensor([[0.0, 1, 1, 5, 5]])
    features = ramp().requires_grad_()
    out = mmcv_ops.roi_align(features, rois, 2, 1.0, 2, 'max', True)
    # samples of the first bin at 1.5 and 2.5, half a pixel less: the pixels 1 and 2
    assert out.flatten().tolist() == [22, 24, 42, 44]
    out.sum().backward()
    expected = torch.zeros(6, 8)
    expected[2:5:2, 2:5:2] = 1
    assert torch.equal(features.grad[0, 0], expected)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling', [0, 3])
def test_roi_align_has_the_gradient_of_its_values(mode, aligned, sampling):
    torch.manual_seed(0)
    features = torch.randn(2, 2, 6, 7, dtype=torch.float64)
    rois = torch.tensor([[0, 0.3, 1.2, 4.1, 5.7], [1, 2.2, -1, 9.6, 3.1]], dtype=torch.float64)

    def pooled(x):
        return mmcv_ops.roi_align(x, rois, (2, 3), 0.9, sampling, mode, aligned)

    tensor = features.clone().requires_grad_()
    pooled(tensor).sum().backward()
    assert torch.allclose(tensor.grad, derivative(pooled, features), atol=1e-8)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_regions_of_nothing_and_channels_last(mode):
    features = torch.randn(1, 3, 6, 7, requires_grad=True)
    out = mmcv_ops.roi_align(features, torch.zeros(0, 5), 2, 1.0, 0, mode, True)
    out.sum().backward()
    assert out.shape == (0, 3, 2, 2) and not features.grad.any()
    rois = torch.tensor([[0, 1.0, 0.5, 4, 5.5]])
    strided = features.detach().to(memory_format=torch.channels_last)
    plain, last = (mmcv_ops.roi_align(x, rois, 2, 1.0, 0, mode, True) for x in (features, strided))
    assert torch.equal(plain, last)


def test_autocast_leaves_the_dtype_alone():
    rois = torch.tensor([[0.0, 1, 1, 5, 5]])
    with torch.autocast('cpu', torch.bfloat16):
        out = mmcv_ops.roi_align(ramp(dtype=torch.bfloat16), rois, 2, 1.0, 2, 'avg', True)
    assert out.dtype == torch.bfloat16 and out[0, 0, 0, 0] == 16.5


def roi_pool_by_loops(features, rois, size, scale):
    """Both ends of a region count; bins from floor to ceil."""
    out = torch.zeros(len(rois), features.shape[1], size, size, dtype=features.dtype)
    for k, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        if x2 <= x1 or y2 <= y1:
            continue
        w, h = (x2 - x1) / size, (y2 - y1) / size
        for i in range(size):
            for j in range(size):
                rows = slice(max(math.floor(i * h + y1), 0), max(math.ceil((i + 1) * h + y1), 0))
                cols = slice(max(math.floor(j * w + x1), 0), max(math.ceil((j + 1) * w + x1), 0))
                window = features[int(image), :, rows, cols].flatten(1)
                if window.shape[1]:
                    out[k, :, i, j] = window.max(1).values
    return out


def test_roi_pool():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 9, 11, dtype=torch.float64, requires_grad=True)
    corners = torch.rand(20, 2, dtype=torch.float64) * 16 - 3
    sizes = torch.rand(20, 2, dtype=torch.float64) * 20 - 2  # some are empty, some outside
    images = torch.randint(0, 2, (20, 1)).double()
    rois = torch.cat([images, corners, corners + sizes], 1)
    out = mmcv_ops.roi_pool(features, rois, 3, 0.5)
    expected = roi_pool_by_loops(features, rois, 3, 0.5)
    assert torch.equal(out, expected) and (out == 0).any()
    (out * torch.arange(27.0).view(3, 3, 3)).sum().backward()
    ours = features.grad.clone()
    features.grad = None
    (expected * torch.arange(27.0).view(3, 3, 3)).sum().backward()
    assert torch.allclose(ours, features.grad)
    assert mmcv_ops.roi_pool(features, rois[:0], 3, 0.5).shape == (0, 3, 3, 3)


def test_roi_pool_by_hand():
    # columns 0..5 (5 + 1 is the end), bins of 3: the greatest is the lower right of each
    out = mmcv_ops.roi_pool(ramp(), torch.tensor([[0.0, 0, 0, 5, 5]]), 2, 1.0)
    assert out.flatten().tolist() == [22, 25, 52, 55]


# focal loss


def test_sigmoid_focal_loss_by_hand():
    # p = 0.5: -0.25 (1/2)² log(1/2) for the target, -0.75 (1/2)² log(1/2) for another class
    logits, target = torch.zeros(2, 3), torch.tensor([1, 3])  # 3 is the background
    loss = mmcv_ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'none')
    unit = 0.25 * math.log(2)
    expected = [[0.75 * unit, 0.25 * unit, 0.75 * unit], [0.75 * unit] * 3]
    assert torch.allclose(loss, torch.tensor(expected))


@pytest.mark.parametrize('gamma', [2.0, 1.5, 0.0])
@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('kind', ['sigmoid', 'softmax'])
def test_focal_losses_have_the_gradient_of_their_formula(kind, gamma, weighted):
    torch.manual_seed(0)
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 3, 2, 1, 0, 2 if kind == 'softmax' else 4])
    weight = torch.tensor([0.5, 1, 2, 3], dtype=torch.float64) if weighted else None
    loss = getattr(mmcv_ops, f'{kind}_focal_loss')(logits, target, gamma, 0.3, weight, 'none')
    onehot = F.one_hot(target, 5)[:, :4]
    of_row = torch.ones(6) if weight is None else torch.cat([weight, torch.ones(1)])[target]
    if kind == 'sigmoid':
        p = logits.sigmoid()
        pt = torch.where(onehot.bool(), p, 1 - p)
        alpha = torch.where(onehot.bool(), 0.3, 0.7)
        expected = -alpha * (1 - pt) ** gamma * pt.log() * of_row[:, None]
    else:
        p = logits.softmax(1)[torch.arange(6), target]
        expected = -0.3 * (1 - p) ** gamma * p.log() * of_row
    assert torch.allclose(loss, expected)
    (grad,) = torch.autograd.grad(expected.sum(), logits)
    # the front end scales its gradient by that of a sum or a mean
    total = getattr(mmcv_ops, f'{kind}_focal_loss')(logits, target, gamma, 0.3, weight, 'sum')
    assert torch.allclose(torch.autograd.grad(total, logits)[0], grad)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_focal_loss_of_sure_answers_is_finite(dtype):
    logits = torch.tensor([[-200.0, 200.0, 12.0]], dtype=dtype, requires_grad=True)
    loss = mmcv_ops.sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, 'sum')
    (grad,) = torch.autograd.grad(loss, logits)
    assert loss.dtype == grad.dtype == dtype and loss.isfinite() and grad.isfinite().all()
    least = 0.25 * -math.log(torch.finfo(torch.float32).tiny)  # of the target, which has p = 0
    assert loss.item() == pytest.approx(least + 0.75 * 87.34 + 0.75 * 12, rel=0.01)


def test_focal_loss_of_nothing():
    empty, target = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    assert mmcv_ops.sigmoid_focal_loss(empty, target, 2.0, 0.25, None, 'sum') == 0


# convolutions


def test_deformable_convolution_without_offsets_is_a_convolution():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 7, 8, requires_grad=True)
    weight = torch.randn(6, 2, 3, 3, requires_grad=True)
    offset, mask = torch.zeros(2, 36, 4, 4), torch.full((2, 18, 4, 4), 0.5)
    plain = F.conv2d(x, weight, None, 2, 1, 1, 2)
    first = mmcv_ops.deform_conv2d(x, offset, weight, 2, 1, 1, 2, 2)
    second = mmcv_ops.modulated_deform_conv2d(x, offset, mask, weight, None, 2, 1, 1, 2, 2)
    assert torch.allclose(first, plain, atol=1e-5) and torch.allclose(second, plain / 2, atol=1e-5)
    expected = torch.autograd.grad(plain.sum(), [x, weight])
    for out, factor in ((first, 1), (second, 2)):
        for grad, right in zip(torch.autograd.grad(out.sum(), [x, weight]), expected, strict=True):
            assert torch.allclose(grad * factor, right, atol=1e-4)


def test_an_offset_moves_a_tap_down_and_right():
    weight = torch.ones(1, 1, 1, 1)
    offset = torch.zeros(1, 2, 6, 8)
    offset[0, 0, 2, 3], offset[0, 1, 2, 3] = 1, 0.5  # dy, dx
    out = mmcv_ops.deform_conv2d(ramp(), offset, weight)
    assert out[0, 0, 2, 3] == 33.5 and out[0, 0, 2, 4] == 24


def test_offsets_of_a_larger_map_are_the_first_numbers_of_each_sample():
    """As mmcv reads them: of 2 x 4 x 4 offsets for 2 x 2 places, the first 2 x 2 x 2."""
    x, weight = torch.arange(1.0, 5).view(1, 1, 2, 2), torch.ones(1, 1, 1, 1)
    offset = torch.zeros(1, 2, 4, 4, requires_grad=True)
    with torch.no_grad():
        offset.view(-1)[4 + 2] = 0.5  # dx of the place (1, 0)
        offset.view(-1)[8:] = 100  # not read
    out = mmcv_ops.modulated_deform_conv2d(
        x, offset, torch.ones(1, 1, 4, 4), weight, None, 1, 0, 1, 1, 1
    )
    assert out.tolist() == [[[[1, 2], [3.5, 4]]]]
    out.sum().backward()
    assert offset.grad.view(-1)[8:].tolist() == [0] * 24
    assert offset.grad.view(-1)[6] == 1  # from 3 to 4 within a pixel
    with pytest.raises(ValueError, match=r'expected offsets and masks for \(4, 4\) places'):
        mmcv_ops.modulated_deform_conv2d(
            torch.ones(1, 1, 4, 4), torch.zeros(1, 2, 2, 2), torch.ones(1, 1, 2, 2), weight, None,
            1, 0, 1, 1, 1,
        )  # fmt: skip


def test_only_the_weight_needs_a_gradient():
    x, weight = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3, requires_grad=True)
    offset = torch.randn(1, 18, 3, 3)
    alone = torch.autograd.grad(mmcv_ops.deform_conv2d(x, offset, weight).sum(), weight)[0]
    with_input = mmcv_ops.deform_conv2d(x.requires_grad_(), offset, weight).sum()
    for _ in range(2):  # the second time over the same graph
        both = torch.autograd.grad(with_input, [x, weight], retain_graph=True)
        assert torch.allclose(alone, both[1])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_deformable_convolution_in_half_precision(dtype):
    layer = mmcv_ops.ModulatedDeformConv2dPack(4, 4, 3, padding=1)
    if dtype == torch.float16 and torch.__version__.startswith('2.1.'):
        pytest.skip('PyTorch 2.1 has no float16 autocast on a CPU')
    x = torch.randn(1, 4, 6, 6)
    (expected,) = torch.autograd.grad(layer(x).sum(), layer.weight)
    with torch.autocast('cpu', dtype):
        out = layer(x)
    assert out.dtype == dtype
    out.float().sum().backward()
    rounding = torch.finfo(dtype).eps * expected.abs().max()
    torch.testing.assert_close(layer.weight.grad, expected, rtol=0, atol=8 * rounding.item())


# attention


def attended(value, shapes, places, weights):
    start = torch.tensor([0, *np.cumsum([h * w for h, w in shapes])[:-1]])
    function = front('multi_scale_deform_attn').MultiScaleDeformableAttnFunction
    return function.apply(value, torch.tensor(shapes), start, places, weights, 64)


def test_attention_by_hand():
    shapes = [(2, 2), (1, 1)]
    value = torch.tensor([1.0, 2, 3, 4, 10])[None, :, None, None]  # two levels, one head, D = 1
    places = torch.tensor([[0.25, 0.25], [0.5, 0.5]]).view(1, 1, 1, 2, 1, 2)
    weights = torch.tensor([0.5, 0.5]).view(1, 1, 1, 2, 1)
    # the centre of the first pixel, and of the only one: 1 and 10
    assert attended(value, shapes, places, weights).item() == 5.5
    places[..., 0, 0, :] = 0.5  # between the four pixels: 2.5
    assert attended(value, shapes, places, weights).item() == 6.25


def test_attention_and_gradients_are_those_of_the_formula():
    torch.manual_seed(0)
    shapes = [(5, 4), (3, 2)]
    value = torch.randn(2, 26, 3, 4, dtype=torch.float64, requires_grad=True)
    places = torch.rand(2, 7, 3, 2, 5, 2, dtype=torch.float64) * 1.4 - 0.2
    places.requires_grad_()
    weights = torch.rand(2, 7, 3, 2, 5, dtype=torch.float64, requires_grad=True)
    formula = front('multi_scale_deform_attn').multi_scale_deformable_attn_pytorch
    outs = [
        attended(value, shapes, places, weights),
        formula(value, torch.tensor(shapes), places, weights),
    ]
    assert torch.allclose(*outs)
    inputs = (value, places, weights)
    factor = torch.randn_like(outs[0])
    grads = [torch.autograd.grad((out * factor).sum(), inputs) for out in outs]
    for ours, theirs in zip(*grads, strict=True):
        assert torch.allclose(ours, theirs)


# others


def test_masked_convolution_is_the_convolution_at_the_mask():
    torch.manual_seed(0)
    x, mask = torch.randn(1, 3, 6, 7), (torch.rand(1, 6, 7) > 0.5).float()
    layer = mmcv_ops.MaskedConv2d(3, 5, 3, padding=1)
    with torch.no_grad():
        assert torch.allclose(layer(x, mask), layer(x) * mask, atol=1e-5)
        assert not layer(x, mask * 0).any()


@pytest.mark.parametrize('name', ['carafe', 'carafe_naive'])
def test_carafe_is_its_sum(name, monkeypatch):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    masks = torch.rand(2, 2 * 9, 6, 10, dtype=torch.float64, requires_grad=True)
    out = torch.zeros(2, 4, 6, 10, dtype=torch.float64)
    padded = F.pad(x, [1] * 4)
    for c in range(4):
        for k in range(9):
            tap = padded[:, c, k // 3 : k // 3 + 3, k % 3 : k % 3 + 5]
            up = tap.repeat_interleave(2, 1).repeat_interleave(2, 2)
            out[:, c] = out[:, c] + up * masks[:, (c // 2) * 9 + k]
    ours = getattr(mmcv_ops, name)(x, masks, 3, 2, 2)
    assert torch.allclose(ours, out)
    if name == 'carafe_naive':  # its front end takes gradients on a GPU alone
        grads = torch.zeros_like(x), torch.zeros_like(masks)
        OURS.carafe_naive_backward(out.detach().cos(), x.detach(), masks.detach(), *grads, 3, 2, 2)
    else:
        grads = torch.autograd.grad((ours * out.detach().cos()).sum(), [x, masks])
    expected = torch.autograd.grad((out * out.detach().cos()).sum(), [x, masks])
    for grad, right in zip(grads, expected, strict=True):
        assert torch.allclose(grad, right)


@pytest.mark.parametrize('kind', ['collect', 'distribute'])
def test_psa_mask_by_hand(kind):
    # 1 x 3 pixels, 1 x 3 taps: one row for left, own and right; the digits are pixel and tap
    taps = torch.tensor([[10.0, 20, 30], [11, 21, 31], [12, 22, 32]]).view(1, 3, 1, 3)
    taps.requires_grad_()
    out = mmcv_ops.PSAMask(kind, (1, 3))(taps)
    # row: pixel of the mask; column: the pixel that it is about
    expected = torch.tensor([[11.0, 12, 0], [20, 21, 22], [0, 30, 31]])
    assert out.shape == (1, 3, 1, 3)
    rows = out[0, :, 0] if kind == 'distribute' else out[0, :, 0].T
    assert torch.equal(rows, expected)
    out.sum().backward()
    assert taps.grad[0, 0, 0].tolist() == [0, 1, 1]  # the left tap of the first pixel: nowhere


def test_an_operator_that_is_not_here_says_how_to_get_it():
    with pytest.raises(NotImplementedError) as raised:
        OURS.knn_forward(1, two=2)
    text = str(raised.value)
    assert '\n' not in text and text.startswith('mmcv operator knn_forward needs a compiled mmcv')
    assert text.endswith(': python -m moganet_mmcv_ops.compile_mmcv')
    with pytest.raises(AttributeError):
        OURS.__wrapped__  # noqa: B018
    assert 'torchvision' in mmcv_ops.get_compiler_version()


def test_every_operator_that_mmcv_asks_for_is_there_or_says_so():
    names = make_operators.asked_for()
    assert len(names) > 80 and set(OURS.__all__) <= set(names)
    assert all(callable(getattr(OURS, name)) for name in names)


def test_the_table_of_operators_is_up_to_date():
    """Its numbers are measured beside a compiled mmcv: python docs/make_operators.py --compute."""
    assert make_operators.PAGE.read_text() == make_operators.page()
    data = json.loads(make_operators.DATA.read_text())
    measured = {o.fronts for o in make_operators.OPERATORS if o.measure}
    assert set(data['differences']) == measured and max(data['differences'].values()) < 1e-5
    assert not set(data['missing']) & set(OURS.__all__)
    if data['versions']['mmcv'] == mmcv.__version__:
        missing = set(make_operators.asked_for()) - set(OURS.__all__)
        assert set(data['missing']) == missing
