"""docs/errors.md says what is printed, where that can be provoked quickly."""

import re

import pytest
import torch
from conftest import ROOT
from mmengine.registry import MODELS
from tiny_onnx import tiny_detector

from moganet_dense import MogaNet
from moganet_dense.runtime import load
from moganet_dense.utils.errors import UserError

PAGE = (ROOT / 'docs/errors.md').read_text()
PRINTED = re.findall(r'^```text\n(.*?)\n```', PAGE, re.MULTILINE | re.DOTALL)


class Hostile:
    def __reduce__(self):
        return print, ('hello',)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Weight files of the page, under its names."""
    folder = tmp_path_factory.mktemp('files')
    state = MogaNet('s').state_dict()
    torch.save(dict(state_dict=state, x=Hostile()), folder / 'evil.pth')
    torch.save(MogaNet('xt').state_dict(), folder / 'xt.pth')
    torch.save(dict(state_dict=MogaNet('s', gate='double').state_dict()), folder / 's_double.pth')
    (folder / 'cut.pth').write_bytes((folder / 'xt.pth').read_bytes()[:100_000])
    return folder


@pytest.mark.parametrize('name', ['xt.pth', 's_double.pth', 'cut.pth', 'evil.pth'])
def test_weights(name, files, monkeypatch):
    monkeypatch.chdir(files)
    net = MogaNet('s', init_cfg=dict(type='Pretrained', checkpoint=name))
    with pytest.raises(RuntimeError) as caught:
        net.init_weights()
    assert f'error: {caught.value}' in PRINTED


def test_onnxruntime_without_cuda(tmp_path, monkeypatch):
    offered = ['AzureExecutionProvider', 'CPUExecutionProvider']
    monkeypatch.setattr('onnxruntime.get_available_providers', lambda: offered)
    with pytest.raises(UserError) as caught:
        load(tiny_detector(tmp_path / 'tiny.onnx'), device='cuda')
    assert f'error: {caught.value}' in PRINTED


def test_an_unknown_option():
    with pytest.raises(TypeError) as caught:
        MogaNet('s', depth=5)
    assert any(str(caught.value) in text for text in PRINTED)


def test_a_name_that_is_not_registered():
    with pytest.raises(KeyError) as caught:
        MODELS.build(dict(type='MogaNett'))
    here = str(caught.value.args[0])
    middle = 'registry. Please check whether the value of `MogaNett` is correct or it was'
    assert middle in here and any(middle in text for text in PRINTED)


def test_every_entry_has_a_cause_or_a_place_and_a_fix():
    entries = re.split(r'^### ', PAGE, flags=re.MULTILINE)[1:]
    assert len(entries) >= 20
    for entry in entries:
        assert '```text\n' in entry and '**Fix.**' in entry, entry[:60]
        assert '**Cause.**' in entry or 'from' in entry.lower() or 'PyTorch' in entry, entry[:60]
    assert not re.search(r'/tmp|/root|/home|/work\b', PAGE)
