"""Killing and stopping real trainings."""

import pytest
from conftest import ROOT
from forked import run_script


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['epochs', pytest.param('iterations', marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ('kills', 'epochs'), [(4, 10), pytest.param(30, 40, marks=pytest.mark.long)]
)
def test_kills_lose_nothing(loop, kills, epochs):
    """docs/reliability.md has 300."""
    numbers = ['--kills', str(kills), '--epochs', str(epochs)]
    done = run_script(ROOT / 'tests/kill_test.py', '--loop', loop, *numbers)
    assert done.code == 0, done.out + done.err[-3000:]
    assert f'{kills} kills' in done.out and '0 lost' in done.out
