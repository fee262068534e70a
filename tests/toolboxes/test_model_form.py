"""Whole models in the deploy form, in half precision and with channels last."""

import copy
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from randomised import randomised
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from moganet_dense.toolboxes import model_form as api
from moganet_dense.toolboxes.build import build, outputs
from moganet_dense.utils.errors import UserError

CONFIGS = [
    'det/retinanet_moganet_xt', 'seg/upernet_moganet_xt', 'pose/topdown_moganet_xt_256x192',
    'det/mask_rcnn_moganet_xt', 'seg/sem_fpn_moganet_xt',
]  # fmt: skip
RETINANET = str(ROOT / 'configs' / 'det/retinanet_moganet_xt.py')


def tensors(value) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in tensors(item)]


def worst(found, wanted) -> float:
    pairs = zip(tensors(found), tensors(wanted), strict=True)
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_whole_models_compute_the_same(name):
    torch.manual_seed(0)
    model = randomised(build(Config.fromfile(ROOT / 'configs' / f'{name}.py')))
    image = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        wanted = outputs(model, image)
        api.switch(model)
        assert worst(outputs(model, image), wanted) < 1e-4
        assert not any(isinstance(module, _BatchNorm) for module in model.modules())
        api.to_channels_last(model)
        assert worst(outputs(model, image), wanted) < 1e-4
        api.to_precision(model, torch.bfloat16)
        if 'rcnn' not in name:  # called part by part, outside of what sets the precision
            found = outputs(model, image)
            assert all(t.dtype == torch.float32 for t in tensors(found))
            assert 1e-4 < worst(found, wanted) < 0.1


def test_pairs_around_the_backbone():
    torch.manual_seed(0)
    shared = nn.Conv2d(4, 4, 3, padding=1)
    parts = nn.ModuleList(
        [
            api.ConvModule(3, 4, 3, padding=1, norm_cfg=dict(type='BN')),
            api.ConvModule(4, 4, 3, norm_cfg=dict(type='BN'), order=('norm', 'conv', 'act')),
            api.ConvModule(4, 4, 3, padding=1, norm_cfg=dict(type='BN')),
            api.ConvModule(4, 4, 3, padding=1, norm_cfg=dict(type='BN')),
            nn.Sequential(
                nn.ConvTranspose2d(4, 8, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 8, 3, groups=4),
                nn.BatchNorm2d(8),
            ),
        ]
    )
    parts[2].conv = parts[3].conv = shared  # as the heads of some detectors share theirs
    chain = nn.Sequential(*randomised(parts)).eval()
    wanted = chain(x := torch.randn(2, 3, 9, 8))
    for module in parts:
        fold = api._fold_conv_module if isinstance(module, api.ConvModule) else api._fold_sequential
        fold(module)
    assert worst(chain(x), wanted) < 1e-5
    left = [m for m in parts.modules() if isinstance(m, _BatchNorm)]
    assert left == [parts[1].norm]  # before its convolution


@pytest.fixture(scope='module')
def retinanet(tmp_path_factory) -> Path:
    """A checkpoint of RetinaNet with MogaNet-XT, random."""
    torch.manual_seed(0)
    model = randomised(build(Config.fromfile(RETINANET)))
    path = tmp_path_factory.mktemp('plain') / 'plain.pth'
    torch.save(dict(meta=dict(epoch=3), state_dict=model.state_dict()), path)
    return path


def test_written_file_is_read_in_its_form_only(retinanet, tmp_path):
    out = api.deploy(RETINANET, str(retinanet), str(tmp_path / 'new' / 'deployed.pth'))
    content = torch.load(out, weights_only=True)
    assert content['meta'] == dict(epoch=3, deployed=True)
    assert [path.name for path in out.parent.iterdir()] == ['deployed.pth']
    models = [build(Config.fromfile(RETINANET)).eval() for _ in range(2)]
    for model, path in zip(models, (retinanet, out), strict=True):
        api.load(model, str(path), deploy=True)
        api.Form(deploy=True).apply(model)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert worst(outputs(models[1], image), outputs(models[0], image)) == 0
    with pytest.raises(UserError, match='deployed.pth: the weights are in the deploy form'):
        api.load(build(Config.fromfile(RETINANET)), str(out))
    with pytest.raises(UserError, match='deployed.pth: the weights are in the deploy form'):
        api.deploy(RETINANET, str(out), str(tmp_path / 'again.pth'))
    assert not (tmp_path / 'again.pth').exists()


def test_written_as_safetensors(retinanet, tmp_path):
    out = api.deploy(RETINANET, str(retinanet), str(tmp_path / 'deployed.safetensors'))
    content = api.read_checkpoint(out)
    assert content['meta'] == dict(deployed='true', gate='single')
    model = build(Config.fromfile(RETINANET)).eval()
    api.load(model, str(out), deploy=True)
    state = model.state_dict()
    assert all(torch.equal(content['state_dict'][key], state[key]) for key in state)


def test_nothing_is_written_if_outputs_differ(retinanet, tmp_path, monkeypatch):
    def broken(model: nn.Module) -> None:
        nn.init.ones_(model.bbox_head.retina_reg.bias)

    monkeypatch.setattr(api, 'switch', broken)
    with pytest.raises(UserError, match='differs from the model by .*nothing was written'):
        api.deploy(RETINANET, str(retinanet), str(tmp_path / 'deployed.pth'))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_deployed():
    model = nn.Module()
    model.backbone = nn.Conv2d(3, 3, 1)
    with pytest.raises(UserError, match='is one of MogaNet, the backbone is Conv2d'):
        api.switch(model)
    with pytest.raises(UserError, match='fp16 needs a GPU'):
        api.to_precision(copy.deepcopy(model), torch.float16)
