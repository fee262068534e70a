"""The kernels without a GPU: run by Triton's interpreter, and compiled ahead of time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moganet_dense.models import kernels

pytestmark = pytest.mark.skipif(
    kernels.unavailable() is not None, reason=f'no kernels here: {kernels.unavailable()}'
)


@pytest.mark.slow
def test_interpreted():
    """In a process of its own: Triton reads the variable when it is imported."""
    file = Path(__file__).with_name('interpreted_kernels.py')
    command = [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', file]
    environment = dict(os.environ, TRITON_INTERPRET='1', MOGANET_KERNELS='1')
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert ' passed' in done.stdout and 'skipped' not in done.stdout
