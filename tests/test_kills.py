"""Killing and stopping real trainings."""

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
def test_kills_lose_nothing(loop):
    """Half of `make test`'s 30 kills each; docs/reliability.md has 300."""
    tool = [sys.executable, ROOT / 'tests/kill_test.py', '--kills', '15', '--loop', loop]
    done = subprocess.run(tool, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert '15 kills' in done.stdout and '0 lost' in done.stdout
