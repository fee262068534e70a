"""The commands about the kernels, where they cannot do what they are for."""

import importlib
import runpy
import sys
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from moganet_dense.models import kernels
from moganet_dense.models.kernels import choice

COMMANDS = ('compile_ahead', 'kernel_report', 'kernel_cost', 'launch_report')
needs_kernels = pytest.mark.skipif(
    kernels.unavailable() is not None, reason=f'no kernels here: {kernels.unavailable()}'
)


def ended(name: str) -> str:
    """What ``python -m`` prints, which ends before Triton is imported."""
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module(f'{kernels.__name__}.{name}', run_name='__main__')
    assert isinstance(stopped.value.code, str)  # Python prints it to stderr; exit code 1
    return stopped.value.code


@pytest.mark.filterwarnings('ignore:.*found in sys.modules:RuntimeWarning')
@pytest.mark.parametrize('name', COMMANDS)
def test_one_line_without_triton(name, monkeypatch):
    monkeypatch.setattr(torch.library, 'custom_op', None, raising=False)  # as PyTorch 2.4 has it
    monkeypatch.setitem(sys.modules, 'triton', None)
    assert ended(name) == (
        'error: the kernels cannot be compiled here: they need Triton 3.3 or later, which is not '
        'installed: on Linux PyTorch for CUDA brings it along, and `pip install triton` installs '
        'it alone'
    )


def test_what_else_is_against_compiling(monkeypatch):
    monkeypatch.setattr(torch.library, 'custom_op', None, raising=False)
    monkeypatch.setitem(
        sys.modules, 'triton', SimpleNamespace(__version__='3.2.0', __spec__='of it')
    )
    assert choice.reason_against_triton() == (
        'they need Triton 3.3 or later, and this is 3.2.0: PyTorch brings it along from 2.7 on'
    )
    monkeypatch.delattr(torch.library, 'custom_op')
    monkeypatch.setattr(torch, '__version__', '2.1.2')
    assert choice.reason_against_triton() == (
        'they need PyTorch 2.4 or later: install it in place of 2.1.2'
    )
    monkeypatch.setattr(torch.version, 'hip', '6.2')
    assert 'PyTorch for ROCm' in kernels.unavailable()
    monkeypatch.setattr(choice, 'INTERPRETED', True)
    with pytest.raises(SystemExit, match='TRITON_INTERPRET=1 is set: unset it'):
        choice.require_triton()


@needs_kernels
@pytest.mark.parametrize(
    'name, options',
    [
        ('kernel_report', ['--capability', '20']),
        ('kernel_report', ['--size', '0', '64', '64']),
        ('launch_report', ['--steps', '0']),
        ('kernel_cost', ['--size', '2', '16', '64']),
        ('compile_ahead', ['--processes', '0']),
    ],
)
def test_numbers_out_of_range_are_refused(name, options):
    command = importlib.import_module(f'{kernels.__name__}.{name}').main
    found = CliRunner().invoke(command, options)
    assert found.exit_code == 2 and 'is not in the range x>=' in found.output


@needs_kernels
def test_a_gpu_that_is_too_old_is_named(monkeypatch):
    from moganet_dense.models.kernels import compile_ahead

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: (7, 5))
    found = CliRunner().invoke(compile_ahead.main, [])
    assert found.exit_code == 1
    assert found.output.startswith('Error: the kernels need a GPU of compute capability 8.0')
