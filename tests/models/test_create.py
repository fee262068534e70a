"""create_backbone: as timm's models are used, with torch and mmengine alone."""

import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from golden import fill

import moganet_dense
from moganet_dense import MogaNet, create_backbone
from moganet_dense.weights.conversion import WeightsError

BLOCKED = (
    'mmcv', 'mmdet', 'mmseg', 'mmpose', 'mmpretrain', 'timm', 'torchvision', 'click', 'onnx',
    'onnxruntime', 'faster_coco_eval', 'pycocotools', 'scipy', 'pandas',
)  # fmt: skip
ALONE = (
    f'BLOCKED = {BLOCKED}'
    + """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in BLOCKED:
            raise ImportError(name + ' is blocked')

sys.meta_path.insert(0, Block())
import torch, moganet_dense
net = moganet_dense.create_backbone('xt', features_only=True).eval()
with torch.no_grad():
    maps = net(torch.rand(1, 3, 64, 64))
print([tuple(m.shape) for m in maps], net.feature_info.channels())
"""
)


@pytest.mark.slow  # torch in a process of its own
def test_it_needs_torch_and_mmengine_alone():
    done = subprocess.run(
        [sys.executable, '-c', ALONE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    shapes = [(1, 32, 16, 16), (1, 64, 8, 8), (1, 96, 4, 4), (1, 192, 2, 2)]
    assert done.stdout.strip() == f'{shapes} {[32, 64, 96, 192]}'


def test_feature_info_tells_the_maps():
    net = create_backbone('tiny', out_indices=(1, 3))
    x = torch.rand(2, 3, 96, 64)
    maps = net.eval()(x)
    info = net.feature_info
    assert info.channels() == [m.shape[1] for m in maps] == [64, 256]
    assert info.reduction() == [96 // m.shape[2] for m in maps] == [8, 32]
    seen = {}
    for name in info.module_name():
        module = net.get_submodule(name)
        module.register_forward_hook(lambda module, args, out, name=name: seen.update({name: out}))
    for name, wanted in zip(info.module_name(), net(x), strict=True):
        assert torch.equal(seen[name], wanted)
    assert info[0] == dict(num_chs=64, reduction=8, module='net.norm2') and len(info) == 2


@pytest.mark.slow
def test_weights_are_loaded_whole(tmp_path):
    source = fill(MogaNet('xt')).eval()
    torch.save(source.state_dict(), tmp_path / 'w.pth')
    net = create_backbone('xt', pretrained=str(tmp_path / 'w.pth'), features_only=False).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net(x), source(x)[-1])
    with pytest.raises(WeightsError, match='does not fit'):
        create_backbone('t', pretrained=str(tmp_path / 'w.pth'))


def test_true_means_the_published_weights_of_the_size(monkeypatch):
    asked = []
    monkeypatch.setattr(MogaNet, 'init_weights', lambda net: asked.append(net.init_cfg))
    create_backbone('xtiny', pretrained=True)
    create_backbone('s', pretrained='s_in1k_224_openmixup')
    create_backbone('s')
    assert [cfg['checkpoint'] for cfg in asked] == [
        'moganet://xt_in1k_224', 'moganet://s_in1k_224_openmixup',
    ]  # fmt: skip


@pytest.mark.slow
def test_one_channel_sees_a_grey_image_as_three_do(tmp_path):
    torch.save(fill(MogaNet('xt')).state_dict(), tmp_path / 'w.pth')
    make = lambda count: create_backbone(  # noqa: E731
        'xt', pretrained=str(tmp_path / 'w.pth'), in_chans=count, out_indices=(-4,)
    ).eval()
    grey = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        wanted = make(3)(grey.expand(-1, 3, -1, -1))[0]
        for count in (1, 6):  # of six, red, green and blue are there twice, at half
            found = make(count)(grey.expand(-1, count, -1, -1))[0]
            assert torch.allclose(found, wanted, atol=1e-5)
        first = make(4).net.patch_embed1.projection[0].weight
        assert torch.allclose(first[:, 3], first[:, 0])


def test_negative_indices_and_the_last_map():
    net = create_backbone('xt', out_indices=(-3, -1)).eval()
    x = torch.rand(1, 3, 64, 64)
    assert net.feature_info.reduction() == [8, 32] and net.num_features == 192
    assert torch.equal(net.forward_features(x), net(x)[-1])
    with pytest.raises(ValueError, match='out_indices'):
        create_backbone('xt', out_indices=(-5,))


@pytest.mark.slow
def test_its_own_state_dict_loads_back(tmp_path):
    source = create_backbone('xt')
    fill(source.net)
    torch.save(source.state_dict(), tmp_path / 'w.pth')
    again = create_backbone('xt', pretrained=str(tmp_path / 'w.pth'))
    for key, value in source.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


def test_models_of_timm(tmp_path):
    timm = pytest.importorskip('timm')
    moganet_dense.register_names_in_timm()
    moganet_dense.register_names_in_timm()  # once is enough, twice does no harm
    assert len(timm.list_models('moganet_*')) == 6
    model = timm.create_model('moganet_xtiny', num_classes=5).eval()
    x = torch.rand(2, 3, 64, 64)
    assert model(x).shape == (2, 5)
    assert torch.allclose(model(x), model.head(model.forward_features(x).mean((2, 3))), atol=1e-6)
    model.reset_classifier(0)
    assert model(x).shape == (2, 192)
    pyramid = timm.create_model('moganet_xtiny', features_only=True, out_indices=(-2, -1))
    assert pyramid.feature_info.channels() == [96, 192]
    # the published layout, with its classifier
    net = fill(MogaNet('xt'))
    head = dict(weight=torch.rand(1000, 192), bias=torch.rand(1000))
    state = net.state_dict() | {f'head.{k}': v for k, v in head.items()}
    torch.save(dict(state_dict=state), tmp_path / 'w.pth.tar')
    from moganet_dense.models.timm_models import create

    model = create('xt', str(tmp_path / 'w.pth.tar')).eval()
    with torch.no_grad():
        wanted = net.eval()(x)[-1].mean((2, 3)) @ head['weight'].T + head['bias']
        assert torch.allclose(model(x), wanted, rtol=1e-4)
        assert create('xt', str(tmp_path / 'w.pth.tar'), num_classes=3).head.weight.shape[0] == 3


def test_an_unknown_size_is_an_error():
    with pytest.raises(ValueError, match='unknown'):
        create_backbone('huge')
    with pytest.raises(TypeError):
        create_backbone('s', num_classes=10)
