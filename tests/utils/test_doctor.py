"""doctor: what it sees in this environment, and in broken ones made for it."""

import subprocess
import sys

import pytest

from moganet_dense.utils import doctor


def broken_module(folder, name: str, text: str) -> None:
    (folder / f'{name}.py').write_text(text)


@pytest.fixture
def shadow(tmp_path, monkeypatch):
    """A folder whose modules are found before the installed ones, by other processes too."""
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    return tmp_path


def test_here_training_can_run(capsys):
    assert doctor.examine() == 0
    printed = capsys.readouterr().out
    for name in ('torch', 'mmcv.ops', 'mmdet', 'mmseg', 'mmpretrain', 'mmpose', 'MogaNet'):
        assert f'\nok   {name} ' in printed
    assert 'accelerator' in printed
    assert printed.endswith('training can run\n')


def test_a_broken_package_gets_its_mend_and_exit_code_1(shadow, capsys):
    broken_module(shadow, 'mmpose', "raise ImportError('No module named chumpy')")
    assert doctor.examine() == 1
    printed = capsys.readouterr().out
    assert 'FAIL mmpose            ImportError: No module named chumpy' in printed
    assert '--no-deps mmpose' in printed
    assert 'ok   mmdet' in printed
    assert printed.endswith('training cannot run: 1 to mend\n')


def test_a_package_that_ends_the_process_does_not_end_the_doctor(shadow):
    broken_module(shadow, 'first', 'import os; os._exit(11)')
    broken_module(shadow, 'second', "__version__ = '2.0'")
    rows = doctor.probe(['json', 'first', 'second'])
    assert rows['json']['version']
    assert rows['first']['error'] == 'the process died with code 11'
    assert rows['second']['version'] == '2.0'


def test_a_version_guard_is_shown(shadow):
    text = "assert False, 'MMCV==9.9 is used but incompatible'"
    broken_module(shadow, 'guarded', text)
    row = doctor.probe(['guarded'])['guarded']
    assert row['error'] == 'AssertionError: MMCV==9.9 is used but incompatible'


def test_two_distributions_of_one_import_are_a_fault(monkeypatch):
    both = {'mmcv': ['mmcv', 'onedl-mmcv'], 'mmdet': ['onedl-mmdetection']}
    monkeypatch.setattr(doctor.metadata, 'packages_distributions', lambda: both)
    rows = {name: dict(name=name, version='1') for name in doctor.PACKAGES}
    monkeypatch.setattr(doctor, 'probe', lambda names: rows)
    (fault,) = [f for f in doctor.findings() if f.fatal]
    assert fault.what == 'mmcv' and 'uninstall both' in fault.mend


def test_it_starts_where_torch_is_broken(shadow):
    broken_module(shadow, 'torch', "raise OSError('libcudart.so.12: cannot open shared object')")
    done = subprocess.run(
        [sys.executable, '-m', 'moganet_dense', 'doctor'], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert 'FAIL torch             OSError: libcudart.so.12' in done.stdout
    assert 'Traceback' not in done.stdout + done.stderr
