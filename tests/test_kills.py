"""Killing and stopping real trainings."""

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
@pytest.mark.parametrize(
    ('kills', 'epochs'), [(4, 10), pytest.param(30, 40, marks=pytest.mark.long)]
)
def test_kills_lose_nothing(loop, kills, epochs):
    """docs/reliability.md has 300."""
    tool = [sys.executable, ROOT / 'tests/kill_test.py', '--loop', loop]
    numbers = ['--kills', str(kills), '--epochs', str(epochs)]
    done = subprocess.run([*tool, *numbers], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert f'{kills} kills' in done.stdout and '0 lost' in done.stdout
