"""CUDA graphs and memory format of models that are loaded, tested and served, on a CPU: with a
capture that keeps to fixed memory as a graph does."""

import numpy as np
import pytest
import torch
from fake_capture import FakeCapturer
from small import small

from moganet_dense import load_model
from moganet_dense.demo.model_cache import ModelCache
from moganet_dense.models import memory_format
from moganet_dense.models.cuda_graphs import GRAPHS, GraphCache
from moganet_dense.models.memory_format import channels_last_is_faster
from moganet_dense.toolboxes.build import build
from moganet_dense.toolboxes.model_form import Form

DET = 'configs/det/retinanet_moganet_xt.py'
POSE = 'configs/pose/topdown_moganet_xt_256x192.py'


@pytest.fixture(scope='module')
def detector():
    torch.manual_seed(0)
    return load_model(small(DET), 'random', device='cpu', deploy=True)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (120, 170, 3), np.uint8)


@pytest.mark.slow
def test_replayed_detections_are_the_same(detector, pixels):
    backbone = detector.model.backbone
    assert backbone.graph_cache.size == GRAPHS, 'on by default'
    backbone.use_cuda_graphs(0)
    wanted = detector([pixels, pixels[::-1]], order='rgb')
    backbone.graph_cache = GraphCache(GRAPHS, FakeCapturer())
    for _ in range(2):
        found = detector([pixels, pixels[::-1]], order='rgb')
        for a, b in zip(found, wanted, strict=True):
            assert np.array_equal(a.boxes, b.boxes) and np.array_equal(a.scores, b.scores)
    assert len(backbone.graph_cache.capturer.replayed) == 3, 'all but the first image'


def test_it_can_be_turned_off():
    assert load_model(small(POSE), 'random', cuda_graphs=False).model.backbone.graph_cache is None
    made = []
    cache = ModelCache.of(['retinanet_moganet_s=random'], cuda_graphs=False)
    cache._load = lambda *args: made.append(args)
    assert cache.cuda_graphs is False and cache.get('retinanet_moganet_s (random)') is None
    assert made == [('retinanet_moganet_s', 'random')]


@pytest.mark.parametrize(
    ('form', 'expected'),
    [
        (Form(deploy=True, cuda_graphs=True), True),
        (Form(deploy=True), False),
        (Form(cuda_graphs=True), False),
        (Form(deploy=True, compiled=True, cuda_graphs=True), False),
    ],
)
def test_the_fused_model_of_a_test_replays(form, expected):
    model = build(small(POSE)).eval()
    form.apply(model)
    assert (model.backbone.graph_cache is not None) == expected


@pytest.mark.parametrize(
    ('device', 'options', 'kernels', 'expected'),
    [
        ('cpu', dict(training=True), True, False),
        ('cuda', dict(training=True), False, True),
        ('cuda', dict(training=False), False, False),
        ('cuda', dict(training=False, small_images=True), False, False),
        ('cuda', dict(training=False, fused=True), False, False),
        ('cuda', dict(training=False, fused=True, small_images=True), False, True),
        ('cuda', dict(training=False), True, True),
    ],
)
def test_memory_format_by_measurement(device, options, kernels, expected, monkeypatch):
    monkeypatch.setattr(memory_format, 'kernels_serve', lambda device: kernels)
    assert channels_last_is_faster(device, **options) is expected


def test_the_kernels_do_not_serve_a_cpu():
    assert not memory_format.kernels_serve(torch.device('cpu'))


@pytest.mark.parametrize(('asked', 'expected'), [(None, False), (False, False), (True, True)])
def test_memory_format_can_be_forced(asked, expected, pixels):
    model = load_model(small(POSE), 'random', channels_last=asked)
    seen = []
    model.model.backbone.patch_embed1.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    model(pixels, order='rgb')
    assert seen == [expected]
    config = build(small(POSE)).eval()
    Form(channels_last=asked).apply(config, small_images=True)
    assert len(config.backbone._forward_pre_hooks) == expected
