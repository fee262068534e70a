"""Schedules of the video configs against torch's own one-cycle policy."""

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

EPOCH = 5  # iterations


@pytest.mark.parametrize(
    ('name', 'epochs', 'lr'),
    [('mmnist', 200, 1e-3), ('mmnist_2000e', 2000, 1e-3), ('kitticaltech', 100, 5e-3)],
)
def test_one_cycle_is_torchs(name: str, epochs: int, lr: float):
    """Rate and first beta of each step. Phases end within a step of torch's."""
    cfg = Config.fromfile(ROOT / f'configs/video/simvp_moganet_{name}.py')
    assert cfg.train_cfg.max_epochs == epochs
    options = {k: v for k, v in cfg.optim_wrapper.optimizer.items() if k != 'type'}
    theirs, ours = (torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], **options) for _ in '12')
    expected = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=lr, total_steps=epochs * EPOCH)
    schedulers = [
        PARAM_SCHEDULERS.build(part, default_args=dict(optimizer=ours, epoch_length=EPOCH))
        for part in cfg.param_scheduler
    ]
    for _ in range(epochs * EPOCH - 1):
        found, wanted = ours.param_groups[0], theirs.param_groups[0]
        assert found['lr'] == pytest.approx(wanted['lr'], rel=1e-6)
        assert found['betas'][0] == pytest.approx(wanted['betas'][0], abs=1e-3)
        ours.step(), theirs.step()
        expected.step()
        for scheduler in schedulers:
            scheduler.step()
