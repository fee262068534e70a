"""Real models of each task: stopped by a signal and resumed, they end as if never stopped."""

import pytest
import stop_at  # noqa: F401 registers StopAt
import torch
from conftest import ROOT
from narrow import narrow

from moganet_dense.cli import main

HOOKS = """
custom_hooks = {hooks}
default_hooks = dict(record=None)
"""
SHORT = dict(epochs='train_cfg.max_epochs=2', iterations='train_cfg.max_iters=6')


@pytest.mark.slow
@pytest.mark.parametrize(
    'config, loop',
    [
        ('det/retinanet_moganet_xt', 'epochs'),
        # the weights of these two are compared in `engine/test_toolbox_scripts.py`, too
        pytest.param('seg/sem_fpn_moganet_xt', 'iterations', marks=pytest.mark.long),
        pytest.param('pose/topdown_moganet_xt_256x192', 'epochs', marks=pytest.mark.long),
    ],
)
def test_resuming_is_exact(config, loop, workspace):
    def train(work_dir: str, hooks: str, *more: str) -> int:
        path = narrow(ROOT / f'configs/{config}.py', workspace, HOOKS.format(hooks=hooks))
        small = ['train_dataloader.dataset.indices=12', 'train_dataloader.batch_size=4']
        small += ['val_dataloader.dataset.indices=4']
        small += ['default_hooks.checkpoint.interval=1', 'train_cfg.val_interval=100', SHORT[loop]]
        options = ['--mini', '--no-check', '--work-dir', work_dir, '--cfg-options', *small]
        return main(['train', str(path), *more, *options])

    def last(work_dir: str) -> dict:
        return torch.load((workspace / work_dir / 'last_checkpoint').read_text(), weights_only=True)

    stop = "[dict(type='StopAt', iteration=5)]"  # in the middle of the second epoch
    assert train('whole', '[]') == 0
    assert train('parts', stop) == 75
    assert last('parts')['meta']['iter'] == 5
    assert train('parts', '[]', '--resume') == 0
    whole, parts = last('whole'), last('parts')
    assert whole['meta']['iter'] == parts['meta']['iter'] == 6
    for name, value in whole['state_dict'].items():
        assert torch.equal(parts['state_dict'][name], value), name
    for number, state in whole['optimizer']['state'].items():
        for name, value in state.items():
            assert torch.equal(parts['optimizer']['state'][number][name], value), (number, name)
    for found, expected in zip(parts['param_schedulers'], whole['param_schedulers'], strict=True):
        assert found == expected
