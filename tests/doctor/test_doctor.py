"""doctor: what it sees in this environment, and in broken ones made for it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from noise import NOISE

from moganet_dense import doctor
from moganet_dense.doctor import fixes
from moganet_dense.utils.errors import UserError


def broken_module(folder, name: str, text: str) -> None:
    (folder / f'{name}.py').write_text(text)


@pytest.fixture
def shadow(tmp_path, monkeypatch):
    """A folder whose modules are found before the installed ones, by other processes too."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    return tmp_path


@pytest.mark.slow  # imports all that there is
def test_here_training_can_run(capsys):
    assert doctor.examine() == 0
    printed, said = capsys.readouterr()
    assert not said and not NOISE.search(printed)
    for name in ('torch', 'mmcv.ops', 'mmdet', 'mmseg', 'mmpretrain', 'mmpose', 'MogaNet'):
        assert f'\nok   {name} ' in printed
    assert 'accelerator' in printed
    assert printed.endswith('training can run\n')


@pytest.mark.slow
def test_a_broken_package_gets_its_fix_and_exit_code_1(shadow, capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'PACKAGES', ('torch', 'cv2', 'mmpose'))
    broken_module(shadow, 'mmpose', "raise ImportError('No module named chumpy')")
    assert doctor.examine() == 1
    printed = capsys.readouterr().out
    assert 'FAIL mmpose            ImportError: No module named chumpy' in printed
    assert re.search(
        r'fix: python -m pip install --no-deps \S+packages/chumpy mmpose==1.3.2\n', printed
    )
    assert 'ok   cv2' in printed
    assert printed.endswith(
        'training cannot run: 1 to fix\n'
        'to run all of these commands: python -m moganet_dense doctor --fix\n'
    )


def test_a_package_that_ends_the_process_does_not_end_the_doctor(shadow):
    broken_module(shadow, 'first', 'import os; os._exit(11)')
    broken_module(shadow, 'second', "__version__ = '2.0'")
    rows = doctor.probe(['json', 'first', 'second'])
    assert rows['json']['version']
    assert rows['first']['error'] == 'the process died with code 11'
    assert rows['second']['version'] == '2.0'


def test_without_torch_nothing_is_said_of_its_accelerator(sound, monkeypatch):
    rows = doctor.probe([])
    rows['torch'] = dict(name='torch', error="ModuleNotFoundError: No module named 'torch'")
    found = {finding.what: finding for finding in doctor.findings()}
    assert found['torch'].fatal and 'accelerator' not in found
    del rows['torch']['error']
    rows['torch'].update(version='2.14.1+cpu')
    found = {finding.what: finding for finding in doctor.findings()}
    assert found['accelerator'].seen == 'none; torch was built for the CPU'


def test_a_version_guard_is_shown(shadow):
    text = "assert False, 'MMCV==9.9 is used but incompatible'"
    broken_module(shadow, 'guarded', text)
    row = doctor.probe(['guarded'])['guarded']
    assert row['error'] == 'AssertionError: MMCV==9.9 is used but incompatible'


@pytest.fixture
def sound(monkeypatch):
    """An environment in which everything can be imported, with this as what is installed."""
    rows = {name: dict(name=name, version='1') for name in (*doctor.PACKAGES, doctor.USE)}
    rows['mmcv.ops']['operators'] = 'compiled'
    monkeypatch.setattr(doctor, 'probe', lambda names: rows)
    monkeypatch.setattr(fixes, 'missing_of_train', list)
    return rows


def test_two_distributions_of_one_import_are_a_fault(monkeypatch, sound):
    both = {'mmcv': ['mmcv', 'moganet-mmcv-ops', 'onedl-mmcv'], 'mmdet': ['onedl-mmdetection']}
    monkeypatch.setattr(fixes.metadata, 'packages_distributions', lambda: both)
    monkeypatch.setattr(fixes, 'stack', lambda: 'onedl')
    (fault,) = [f for f in doctor.findings() if f.fatal]
    assert fault.what == 'mmcv' and 'two distributions' in fault.fix
    remove, again = fault.commands
    assert remove == ('uninstall', '--yes', 'mmcv')
    assert again[-1].startswith('onedl-mmcv==') and '--no-binary' in again


def test_mmpretrain_beside_transformers_5(monkeypatch, sound):
    versions = {'transformers': '5.24.0', 'xtcocotools': '1.14.3'}
    monkeypatch.setattr(fixes.metadata, 'version', lambda name: versions.get(name, '1.0'))
    (row,) = [f for f in doctor.findings() if f.what == 'mmpretrain.models']
    assert not row.fatal and 'multi-modal models, which need transformers<5' in row.seen
    sound['mmpretrain.models'] = dict(error='TypeError: NoneType takes no arguments')
    (fault,) = [f for f in doctor.findings() if f.fatal]
    assert 'transformers 5' in fault.fix
    assert fault.commands[0][-1] == 'packages/mmpretrain-transformers5'
    assert (ROOT / fault.commands[0][-1] / 'pyproject.toml').exists()


def test_it_shows_which_xtcocotools_serves(monkeypatch, sound):
    monkeypatch.setattr(fixes.metadata, 'version', lambda name: '1.14.3+pycocotools')
    (row,) = [f for f in doctor.findings() if f.what == 'xtcocotools.mask']
    assert row.seen.endswith('1.14.3+pycocotools')


def test_a_folder_that_holds_a_file_of_ours_alone_is_no_mmcv(shadow):
    (shadow / 'left_behind').mkdir()
    (shadow / 'left_behind/_ext.py').touch()
    row = doctor.probe(['left_behind'])['left_behind']
    assert row['error'] == "ModuleNotFoundError: No module named 'left_behind'"


def test_operators_beside_mmcv_are_no_second_mmcv(monkeypatch, sound):
    both = {'mmcv': ['moganet-mmcv-ops', 'onedl-mmcv']}
    monkeypatch.setattr(fixes.metadata, 'packages_distributions', lambda: both)
    assert not any(f.fatal for f in doctor.findings())


@pytest.mark.parametrize(
    ('module', 'error', 'expected'),
    [
        ('torch', "No module named 'torch'", ['install torch==2.14.1 torchvision==0.29.1']),
        ('torchvision', 'operator torchvision::nms', ['install --no-deps torchvision==0.24.*']),
        ('mmcv.ops', "No module named 'mmcv._ext'", ['install --no-deps --force-reinstall OPS']),
        (
            'mmcv.ops',
            'mmcv/_ext.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN3c10',
            [
                'install --no-deps --no-cache-dir --force-reinstall --no-binary onedl-mmcv '
                'onedl-mmcv==2.3.6',
                'install --no-deps --force-reinstall OPS',
            ],
        ),
        (
            'mmcv.ops',
            "No module named 'mmcv.ops'",  # mmcv-lite
            [
                'uninstall --yes mmcv-lite',
                'install --no-deps --no-cache-dir --force-reinstall --no-binary onedl-mmcv '
                'onedl-mmcv==2.3.6',
                'install --no-deps --force-reinstall OPS',
            ],
        ),
        ('cv2', 'libGL.so.1', [' '.join(fixes.HEADLESS)]),
        ('mmdet', "No module named 'mmdet'", ['install --no-deps onedl-mmdetection==3.5.1']),
    ],
)
def test_each_fault_has_its_commands(monkeypatch, sound, module, error, expected):
    monkeypatch.setattr(fixes, '_installed', lambda name: False)
    monkeypatch.setattr(fixes.metadata, 'packages_distributions', lambda: {'mmcv': ['mmcv-lite']})
    sound['torch']['version'] = '2.9.1+cpu'
    sound[module]['error'] = error
    (fault,) = [f for f in doctor.findings() if f.fatal]
    commands = [' '.join(command).replace('packages/mmcv-ops', 'OPS') for command in fault.commands]
    assert commands == expected


def test_all_that_is_missing_is_one_command_before_the_rest(monkeypatch, sound):
    monkeypatch.setattr(fixes, 'missing_of_train', lambda: ['onedl-mmcv==2.3.6', 'torch>=2.6'])
    sound['cv2']['error'] = 'libGL.so.1'
    sound['mmpose']['error'] = "No module named 'mmpose'"
    commands = doctor.repairs(doctor.findings())
    assert commands[0] == ('install', 'onedl-mmcv==2.3.6', 'torch>=2.6')
    assert commands[-1] == fixes.HEADLESS  # nothing may put another OpenCV over it


def test_a_backbone_that_does_not_run_is_a_fault(sound):
    sound[doctor.USE]['error'] = 'RuntimeError: Numpy is not available'
    (fault,) = [f for f in doctor.findings() if f.fatal]
    assert (fault.what, fault.seen) == ('MogaNet', 'RuntimeError: Numpy is not available')
    assert 'numpy<2' in fault.fix
    sound['mmcv.ops']['error'] = 'mmcv has none'  # the cause, of which this is an effect
    assert 'MogaNet' not in [f.what for f in doctor.findings()]


def test_fix_runs_the_commands_and_looks_again(monkeypatch, sound, capsys):
    sound['mmpose']['error'] = "No module named 'mmpose'"
    ran = []

    def call(command, env):
        ran.append(command[5:])
        for word in command:
            if word.endswith('chumpy'):
                assert Path(word, 'pyproject.toml').is_file()  # a copy: building writes there
                assert not Path(word).is_relative_to(ROOT)
        sound['mmpose'].pop('error', None)
        return 0

    monkeypatch.setattr(fixes.subprocess, 'call', call)
    assert doctor.examine(fix=True) == 0
    assert [words[0] for words in ran] == ['install', 'install'] and 'mmpose==1.3.2' in ran[1]
    assert capsys.readouterr().out.endswith('training can run\n')
    sound['mmpose']['error'] = "No module named 'mmpose'"
    monkeypatch.setattr(fixes.subprocess, 'call', lambda command, env: 7)
    with pytest.raises(UserError, match='pip ended with code 7'):
        doctor.examine(fix=True)


def test_it_starts_where_torch_is_broken(shadow):
    broken_module(shadow, 'torch', "raise OSError('libcudart.so.12: cannot open shared object')")
    done = subprocess.run(
        [sys.executable, '-m', 'moganet_dense', 'doctor'], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert 'FAIL torch             OSError: libcudart.so.12' in done.stdout
    assert 'Traceback' not in done.stdout + done.stderr


def test_it_needs_nothing_but_click():
    """Or it could not install the rest."""
    code = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition('.')[0]
        if top not in {*sys.stdlib_module_names, 'click', 'moganet_dense'}:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Missing())
import moganet_dense.cli, moganet_dense.commands.doctor
from moganet_dense.doctor import fixes
print(*fixes.for_torchvision(''))
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r'install torch==\S+ torchvision==\S+\n', done.stdout)
