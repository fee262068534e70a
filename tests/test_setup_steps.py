"""The set-up interrupted in each of its steps: Python and pip are stubs of milliseconds."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_setup_script import HANGING, MARKER, Checkout

PYTHON = """#!/bin/sh
# python -c ..., -m venv FOLDER, -m pip --version, -m pip install ... -r LIST | packages
pause() {{
    while [ -e "{slow}" ] && [ "$(cat "{slow}")" = "$1" ]; do
        : > "{slow}.reached"
        sleep 0.02
    done
}}
case "$1 $2" in
'-c import'*) echo 3 13 ;;
'-m venv')
    mkdir -p "$3/bin" "$3/lib/python3.13/site-packages"
    pause venv
    cp "{python}" "$3/bin/python" ;;
'-m pip')
    [ "$3" = --version ] && exit 0
    step=project
    for word in "$@"; do
        case "$word" in
        *build.txt) [ $step = torch ] || step=build ;;
        torch==*) step=torch ;;
        */train.txt) [ $step = torch ] || step=train ;;
        esac
    done
    site=$(dirname "$(dirname "$0")")/lib/python3.13/site-packages
    [ -e "$site/$step.dist-info" ] && exit 0  # pip takes it for installed
    mkdir -p "$site/$step.dist-info"
    pause $step
    echo "$step" >> "$site/whole"
    : > "$site/$step.dist-info/RECORD" ;;
esac
"""
STEPS = ['venv', 'build', 'torch', 'train', 'project']


@pytest.fixture
def stubbed(tmp_path) -> Checkout:
    checkout = Checkout(tmp_path / 'checkout')
    python = tmp_path / 'python'
    python.write_text(PYTHON.format(slow=checkout.slow, python=python))
    python.chmod(0o755)
    checkout.python = str(python)
    return checkout


def start(checkout: Checkout) -> subprocess.Popen:
    script = checkout.folder / 'requirements/install.py'
    return subprocess.Popen(
        [sys.executable, '-S', '-E', script, '--venv', checkout.venv, '--python', checkout.python],
        env=checkout.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize('step', STEPS)
@pytest.mark.parametrize(
    'number',
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, marks=pytest.mark.long),
    ],
    ids=lambda number: number.name,
)
def test_interrupted_in_any_step_it_continues(step, number, stubbed):
    stubbed.slow.write_text(step)
    process = start(stubbed)
    reached, until = Path(f'{stubbed.slow}.reached'), time.monotonic() + HANGING
    while not reached.exists():
        assert process.poll() is None and time.monotonic() < until, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    if number != signal.SIGKILL:
        _, err = process.communicate(timeout=HANGING)
        assert process.returncode == 128 + number
        assert err == 'interrupted; the same command continues from here\n'
    else:
        process.kill()
        process.wait()
    done = STEPS[1 : STEPS.index(step)] if step != 'venv' else []
    assert sorted(json.loads((stubbed.venv / MARKER).read_text())['steps']) == sorted(done)
    stubbed.slow.write_text('')  # what the dead one started ends, and with it its lock
    out, err = (again := start(stubbed)).communicate(timeout=HANGING)
    assert (again.returncode, err) == (0, ''), out
    whole = (stubbed.venv / 'lib/python3.13/site-packages/whole').read_text().split()
    assert set(whole) == set(STEPS[1:])
    assert [name for name in whole if name in done] == done  # nothing that was done, again
    assert start(stubbed).communicate(timeout=HANGING) == ('', '')
