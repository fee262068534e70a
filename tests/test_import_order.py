"""Whatever is imported first, everything is registered."""

import subprocess
import sys

import pytest
from conftest import ROOT

CODE = """
{}
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import CheckpointLoader
print('MogaNet' in MODELS.module_dict)
print('MogaNetLayerDecay' in OPTIM_WRAPPER_CONSTRUCTORS.module_dict)
print('moganet://' in CheckpointLoader._schemes)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    'first', ['from moganet_dense import MogaNet', 'import mmengine, moganet_dense']
)
def test_registered(first):
    command = [sys.executable, '-W', 'error::UserWarning', '-c', CODE.format(first)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ['True'] * 3, done.stderr
