"""The kernels without a GPU: run by Triton's interpreter, and compiled ahead of time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from moganet_dense.models import kernels

pytestmark = pytest.mark.skipif(
    kernels.unavailable() is not None, reason=f'no kernels here: {kernels.unavailable()}'
)


def interpreted(which: str) -> None:
    """Runs a file of tests in a process of its own: Triton reads the variable when imported."""
    file = Path(__file__).with_name('interpreted_kernels.py')
    command = [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', '-m', which]
    environment = dict(os.environ, TRITON_INTERPRET='1', MOGANET_KERNELS='1')
    done = subprocess.run([*command, file], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert ' passed' in done.stdout and 'skipped' not in done.stdout


@pytest.mark.slow
def test_interpreted():
    interpreted('not long')


@pytest.mark.long
def test_interpreted_as_a_whole():
    interpreted('long')


def assert_well_compiled(found) -> None:
    """No spill; maps in loads as wide as a thread's channels; no detour through shared memory."""
    assert found.spilled == 0, found
    assert found.registers <= 255 and found.shared <= 227 * 1024, found
    if found.name in ('depthwise', 'context', 'gelu_backward', 'decomposed_backward'):
        # 2 channels of bfloat16 a thread and 4 of a 3x3, and twice as wide for its float32 taps
        maps, taps = (8, 16) if 'kernel 3' in found.tile else (4, 8)
        if found.warps == 4:  # else a small program, for maps of 7 x 7
            assert {maps, taps} <= set(found.loads) <= {maps, taps, 16}, found
        assert maps in found.loads, found
        assert found.registers <= 192, found  # 168 let three programs share a multiprocessor
        assert found.conversions <= (2 if found.warps == 4 else 4), found  # of the sums at its end
    elif 'weight_gradient' not in found.name and found.name not in ('prepare', 'row_sums'):
        assert 16 in found.loads, found


@pytest.mark.slow
@pytest.mark.parametrize('capability', [80, 90])
def test_convolutions_compiled_ahead_of_time(capability, tmp_path):
    """Of the first stage of arch s at 2 x 3 x 800 x 1280 under autocast."""
    from moganet_dense.models.kernels import kernel_report

    names = {'depthwise_kernel', 'context_kernel', 'gelu_backward_kernel'}
    launches = kernel_report.block_launches('s', torch.bfloat16, (2, 800, 1280))
    found = [
        kernel_report.compile_launch(stage, launch, capability, tmp_path)
        for stage, launch in launches
        if stage == 1 and launch.kernel.fn.__name__ in names
    ]
    assert len(found) >= 5
    for compiled in found:
        assert_well_compiled(compiled)


@pytest.mark.long
@pytest.mark.parametrize('capability', [80, 90])
@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_every_kernel_compiled_ahead_of_time(dtype, capability, tmp_path):
    from moganet_dense.models.kernels import kernel_report

    kind = kernel_report.DTYPES[dtype]
    for found in kernel_report.compiled_launches('s', kind, capability, tmp_path):
        if dtype == 'bfloat16':
            assert_well_compiled(found)
        else:
            assert found.spilled == 0 or found.name in ('projected', 'gated', 'residual'), found


def test_launches_of_a_training_step():
    """As they are recorded without data: of one block of each stage, forward and backward."""
    from moganet_dense.models.kernels import kernel_report

    launches = list(kernel_report.block_launches('xt', torch.bfloat16, (1, 64, 64)))
    for stage in (1, 2, 3, 4):
        own = [launch for number, launch in launches if number == stage]
        assert len(own) == 30  # and 15 products, sums, statistics and a mean: 14 and 31


@pytest.mark.slow
def test_image_sizes_share_compiled_kernels():
    """Training at many sizes does not stop to compile, whatever is a multiple of 16."""
    from moganet_dense.models.kernels import kernel_report

    found = [
        {
            (launch.kernel.fn.__name__, str(kernel_report.signature(launch)))
            for _, launch in kernel_report.block_launches('s', torch.bfloat16, size)
        }
        for size in [(2, 800, 1344), (2, 800, 1312), (3, 768, 1328)]
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) <= 62  # convolutions once for each of four numbers of channels
