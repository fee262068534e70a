"""Traced and exported by plain PyTorch, the backbone takes other batches and sizes."""

import io

import golden
import pytest
import torch

from moganet_dense import MogaNet

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
TRACED = (2, 64, 96)
OTHERS = [(1, 64, 96), (3, 96, 64), (1, 128, 160)]
FREE = {0: 'batch', 2: 'height', 3: 'width'}


@pytest.fixture(params=['training form', 'fused'])
def net(request) -> MogaNet:
    # a drop path that acted in eval would be seen
    net = golden.fill(MogaNet(TINY, drop_path_rate=0.5)).eval()
    return net.switch_to_deploy() if request.param == 'fused' else net


def assert_same(found, net: MogaNet, x: torch.Tensor) -> None:
    with torch.no_grad():
        wanted = net(x)
    for a, b in zip(found, wanted, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        assert (torch.as_tensor(a) - b).abs().max() <= 1e-4 * b.abs().max()


def images(size: tuple[int, int, int]) -> torch.Tensor:
    batch, height, width = size
    return golden.image(height, width, batch)


@pytest.mark.parametrize('grad', [True, False])
def test_traced(net, grad):
    with torch.set_grad_enabled(grad):
        traced = torch.jit.trace(net, images(TRACED))
    file = io.BytesIO()
    torch.jit.save(traced, file)  # no Python is called from it
    traced = torch.jit.load(io.BytesIO(file.getvalue()))
    for size in OTHERS:
        assert_same(traced(images(size)), net, images(size))


@pytest.mark.slow
def test_exported(net):
    if not hasattr(torch.export, 'Dim'):
        pytest.skip('needs torch.export.Dim')
    free = {at: torch.export.Dim(name, min=1 if at == 0 else 32) for at, name in FREE.items()}
    if not hasattr(torch.export.Dim, 'AUTO'):
        pytest.skip('needs a torch.export of PyTorch 2.6')
    free = dict.fromkeys(free, torch.export.Dim.DYNAMIC)
    exported = torch.export.export(net, (images(TRACED),), dynamic_shapes=(free,)).module()
    for size in OTHERS:
        assert_same(exported(images(size)), net, images(size))


@pytest.mark.parametrize('dynamo', [True, False])
def test_as_onnx(net, dynamo, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    file, x = str(tmp_path / 'net.onnx'), images(TRACED)
    names = dict(input_names=['x'], output_names=list('abcd'))
    if dynamo:
        pytest.importorskip('onnxscript')
        free = dict.fromkeys(FREE, torch.export.Dim.DYNAMIC)
        torch.onnx.export(
            net, (x,), file, dynamo=True, dynamic_shapes=(free,), verbose=False, **names
        )
    else:
        free = {'x': FREE, **dict.fromkeys('abcd', FREE)}
        only = dict(dynamo=False) if hasattr(torch.export, 'Dim') else {}  # before torch 2.5
        torch.onnx.export(net, (x,), file, dynamic_axes=free, **only, **names)
    session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
    for size in OTHERS:
        assert_same(session.run(None, {'x': images(size).numpy()}), net, images(size))
