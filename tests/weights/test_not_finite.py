"""Weights with NaN or infinity: the model answers nonsense, and is not loaded; they are named."""

import numpy as np
import pytest
import torch
import torch.nn as nn
from mmengine.runner import CheckpointLoader

from moganet_dense.cli import main
from moganet_dense.export import _trials, parity
from moganet_dense.export.detectors import DetectionGraph
from moganet_dense.utils.errors import UserError
from moganet_dense.weights import mmengine_loader
from moganet_dense.weights.conversion import WeightsError
from moganet_dense.weights.loading import load_strictly

NAN, INF = float('nan'), float('inf')


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer('mask', torch.zeros(2))


@pytest.mark.parametrize('key, value', [
    ('head.weight', NAN), ('head.weight', INF), ('head.bias', -INF), ('norm.running_var', NAN),
    ('mask', NAN),
])  # fmt: skip
def test_a_tensor_that_is_not_finite_is_refused_by_its_name(key, value):
    model, state = Model(), Model().state_dict()
    before = model.head.weight.clone()
    state[key].view(-1)[-1] = value
    with pytest.raises(WeightsError, match=rf'1 tensors are not finite.*: {key}; use a check'):
        load_strictly(model, state)
    assert torch.equal(model.head.weight, before)


def test_a_buffer_may_be_infinite_as_masks_of_attention_are():
    state = Model().state_dict()
    state['mask'][0] = -INF
    load_strictly(model := Model(), state)
    assert model.mask[0] == -INF


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_in_every_precision(dtype):
    model = Model().to(dtype)
    state = model.state_dict()
    load_strictly(model, state)
    state['head.bias'][1] = NAN
    with pytest.raises(WeightsError, match=r'head\.bias'):
        load_strictly(model, state)


def test_mmengine_is_warned(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(mmengine_loader, 'print_log', lambda text, **_: logged.append(text))
    torch.save(dict(state_dict={'a.weight': torch.tensor([1.0, NAN])}), tmp_path / 'a.pth')
    with mmengine_loader.reading_without_code():
        CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'), 'cpu')
    assert '1 tensors are not finite (NaN or infinity): a.weight' in logged[0]


@pytest.mark.slow
def test_commands_refuse_it(tmp_path, capsys):
    """As in the report: a detector and a segmentor whose last layer is NaN."""
    from moganet_dense import load_model

    name, key = 'sem_fpn_moganet_xt', 'decode_head.conv_seg.weight'
    model = load_model(name, 'random', device='cpu').model
    model.state_dict()[key].fill_(NAN)
    torch.save(dict(state_dict=model.state_dict()), file := tmp_path / 'a.pth')
    for command in (
        ['export', name, str(file), str(tmp_path / 'a.onnx')],
        ['predict', name, 'a.jpg', '--weights', str(file)],
        ['deploy', name, str(file), str(tmp_path / 'b.pth')],
    ):
        assert main(command) == 1
        assert f'not finite (NaN or infinity): {key}; use a checkpoint' in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ['a.pth']


# --- what an export is compared by


def test_outputs_that_are_not_finite_do_not_pass_as_equal():
    with pytest.raises(UserError, match='the file returned values that are not finite'):
        parity.largest_difference(
            lambda *_: [np.array([NAN], np.float32)], None, None, (torch.ones(1),)
        )
    parity._require_finite([np.array([1.0]), np.array([1])], 'it')


def test_a_comparison_of_no_box_does_not_pass(monkeypatch):
    from types import SimpleNamespace

    none = SimpleNamespace(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0))
    monkeypatch.setattr(parity, '_predicted', lambda *_: [none])
    found = [np.zeros((0, 4), 'f4'), np.zeros(0, 'f4'), np.zeros(0, 'i8'), np.zeros(0, 'i8')]
    graph = SimpleNamespace(threshold=0.05, choice=SimpleNamespace(most=100))
    with pytest.raises(UserError, match='finds no box to compare'):
        parity._of_boxes(found, graph, None, torch.zeros(1, 3, 32, 32), torch.tensor([[32, 32]]))


@pytest.mark.parametrize(('limit', 'contrast'), [(2.0, 1.0), (0.7, 0.5)])
def test_a_detector_that_returns_nan_for_noise_is_compared_by_less_contrast(limit, contrast):
    found = _trials(_Overflowing(limit), (64, 32))
    assert [images.shape for images, _ in found] == [(2, 3, 64, 32), (1, 3, 64, 32)]
    assert found[0][0].std() == pytest.approx(contrast, rel=0.02)
    with pytest.raises(UserError, match='not finite, or none, for images of noise'):
        _trials(_Overflowing(0.1), (64, 32))


class _Overflowing(DetectionGraph):
    """NaN for images whose standard deviation is above a limit."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.conv, self.limit = torch.nn.Conv2d(3, 1, 1), limit

    def all_scores(self, images, sizes):
        return torch.full((len(images), 5), NAN if images.std() > self.limit else 0.5)
