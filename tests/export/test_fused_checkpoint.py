"""Checkpoints fused: written, read back, refused."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from randomised import randomised, worst
from torch import nn

from moganet_dense.export.fused_checkpoint import deploy
from moganet_dense.toolboxes.build import build, outputs
from moganet_dense.toolboxes.load import load
from moganet_dense.toolboxes.model_form import Form
from moganet_dense.utils.errors import UserError
from moganet_dense.weights.loading import read_checkpoint

RETINANET = str(ROOT / 'configs' / 'det/retinanet_moganet_xt.py')


@pytest.fixture(scope='module')
def retinanet(tmp_path_factory) -> Path:
    """A checkpoint of RetinaNet with MogaNet-XT, random."""
    torch.manual_seed(0)
    model = randomised(build(Config.fromfile(RETINANET)))
    path = tmp_path_factory.mktemp('plain') / 'plain.pth'
    torch.save(dict(meta=dict(epoch=3), state_dict=model.state_dict()), path)
    return path


@pytest.mark.slow
def test_written_file_is_read_in_its_form_only(retinanet, tmp_path):
    out = deploy(RETINANET, str(retinanet), str(tmp_path / 'new' / 'deployed.pth'))
    content = torch.load(out, weights_only=True)
    assert content['meta'] == dict(epoch=3, deployed=True)
    assert [path.name for path in out.parent.iterdir()] == ['deployed.pth']
    models = [build(Config.fromfile(RETINANET)).eval() for _ in range(2)]
    for model, path in zip(models, (retinanet, out), strict=True):
        load(model, str(path), deploy=True)
        Form(deploy=True).apply(model)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert worst(outputs(models[1], image), outputs(models[0], image)) == 0
    with pytest.raises(UserError, match='deployed.pth: the weights are fused'):
        load(build(Config.fromfile(RETINANET)), str(out))
    with pytest.raises(UserError, match='deployed.pth: the weights are fused'):
        deploy(RETINANET, str(out), str(tmp_path / 'again.pth'))
    assert not (tmp_path / 'again.pth').exists()


@pytest.mark.slow
def test_written_as_safetensors(retinanet, tmp_path):
    out = deploy(RETINANET, str(retinanet), str(tmp_path / 'deployed.safetensors'))
    content = read_checkpoint(out)
    assert content['meta'] == dict(deployed='true', gate='single')
    model = build(Config.fromfile(RETINANET)).eval()
    load(model, str(out), deploy=True)
    state = model.state_dict()
    assert all(torch.equal(content['state_dict'][key], state[key]) for key in state)


def test_nothing_is_written_if_outputs_differ(retinanet, tmp_path, monkeypatch):
    def broken(model: nn.Module) -> None:
        nn.init.ones_(model.bbox_head.retina_reg.bias)

    monkeypatch.setattr('moganet_dense.export.fused_checkpoint.switch', broken)
    with pytest.raises(UserError, match='differs from the model by .*nothing was written'):
        deploy(RETINANET, str(retinanet), str(tmp_path / 'deployed.pth'))
    assert not list(tmp_path.iterdir())
