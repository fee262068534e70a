"""The kernels in a group of processes, sharded and with DDP: the numbers of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moganet_dense.engine.fsdp import fully_shard
from moganet_dense.models import kernels

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.skipif(
        kernels.unavailable() is not None, reason=f'no kernels here: {kernels.unavailable()}'
    ),
    pytest.mark.skipif(fully_shard is None, reason='torch before 2.6'),
]


@pytest.mark.parametrize(
    'cases',
    [
        pytest.param(['fsdp', 'ddp_views'], marks=pytest.mark.slow),
        pytest.param(
            ['fsdp_checkpointed', 'fsdp_compiled', 'fsdp_accumulated', 'ddp', 'ddp_accumulated',
             'ddp_checkpointed'],
            marks=pytest.mark.long,
        ),
    ],
    ids=['first', 'others'],
)  # fmt: skip
def test_two_processes_with_kernels_train_as_one_with_formulas(cases):
    """In a process of its own: Triton reads the variable when imported."""
    own = filter(None, [os.environ.get('PYTHONPATH')])
    environment = dict(
        os.environ, TRITON_INTERPRET='1', MOGANET_KERNELS='1', OMP_NUM_THREADS='1',
        PYTHONPATH=os.pathsep.join([str(HERE.parents[1]), str(HERE.parent), *own]),
    )  # fmt: skip
    command = [sys.executable, str(HERE / 'kernel_training.py'), *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]
    assert [list(line) for line in found] == [[case] for case in cases]
    for line in found:
        for ((name, ranks),) in [line.items()]:
            assert len(ranks) == 2
            for rank in ranks:
                assert rank['launches'] > 100, name
                assert rank['gradient'] < 1e-4 and rank['weight'] < 1e-5, (name, rank)
