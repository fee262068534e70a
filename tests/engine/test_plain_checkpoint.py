"""Checkpoints hold plain data, come back as they were, and run no code."""

from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import MultiStepLR
from mmengine.runner import CheckpointLoader

from moganet_dense.engine.plain_checkpoint import from_plain, to_plain
from moganet_dense.weights.conversion import WeightsError
from moganet_dense.weights.mmengine_loader import read_without_code


def test_what_mmengine_keeps_survives_a_file_read_without_code(tmp_path):
    history = HistoryBuffer([3.0, 1.0, 2.0], [1, 2, 1], max_length=7)
    content = dict(
        log_scalars={'train/loss': history},
        runtime_info=dict(epoch=3, best=np.float32(0.5), path='x'),
        dataset_meta=dict(classes=('a', 'b'), sigmas=np.array([0.1, 0.2], np.float32)),
    )
    torch.save(to_plain(content), tmp_path / 'c.pth')
    found = from_plain(torch.load(tmp_path / 'c.pth', weights_only=True))

    buffer = found['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.data[0].tolist() == [3.0, 1.0, 2.0] and buffer.data[1].tolist() == [1, 2, 1]
    assert buffer.mean() == pytest.approx((3 + 1 + 2) / (1 + 2 + 1))
    buffer.update(4.0)
    assert buffer.current() == 4.0
    assert found['runtime_info'] == dict(epoch=3, best=0.5, path='x')
    assert found['dataset_meta']['classes'] == ('a', 'b')
    assert isinstance(found['dataset_meta']['sigmas'], np.ndarray)
    assert found['dataset_meta']['sigmas'].dtype == np.float32


def test_a_schedule_with_milestones_survives_a_file_read_without_code(tmp_path):
    weight = torch.nn.Parameter(torch.ones(1))
    schedule = MultiStepLR(torch.optim.SGD([weight], lr=1.0), milestones=[3, 3, 8])
    torch.save(to_plain([schedule.state_dict()]), tmp_path / 's.pth')
    (found,) = from_plain(torch.load(tmp_path / 's.pth', weights_only=True))
    assert found == schedule.state_dict()
    assert type(found['milestones']) is Counter and found['milestones'][3] == 2


def test_an_object_becomes_its_text():
    assert to_plain([torch.device('cpu'), {1: (None, True)}]) == ['cpu', {1: (None, True)}]


class Hostile:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, 'w')


@pytest.fixture
def safe_loader(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    read_without_code()


def test_mmengine_reads_through_us(safe_loader, tmp_path):
    torch.save({'state_dict': {'a': torch.ones(2)}}, tmp_path / 'good.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'good.pth'), 'cpu')
    assert torch.equal(loaded['state_dict']['a'], torch.ones(2))

    marker = tmp_path / 'code-has-run'
    torch.save({'state_dict': {}, 'optimizer': Hostile(marker)}, tmp_path / 'bad.pth')
    with pytest.raises(WeightsError, match='refused'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'bad.pth'), 'cpu')
    assert not marker.exists()
