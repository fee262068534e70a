"""The wheel carries configs, tools and index, and the command line starts without torch."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile

import cv2
import numpy as np
import pytest
import tiny_onnx
from conftest import ROOT

from moganet_dense import __version__

PROJECT = (ROOT / 'pyproject.toml').read_text()


@pytest.mark.slow
def test_configs_tools_and_index_travel_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ('configs', 'tools', 'packages', 'requirements'):
        for path in (ROOT / folder).rglob('*'):
            derived = {'__pycache__', 'build'} & set(path.parts) or '.egg-info' in str(path)
            if path.is_file() and not derived:
                assert f'moganet_dense/.mim/{path.relative_to(ROOT).as_posix()}' in names
    assert 'moganet_dense/.mim/model-index.yml' in names
    assert 'moganet_dense/weights/releases.py' in names
    for path in (ROOT / 'moganet_dense/demo/page').rglob('*.*'):
        assert path.relative_to(ROOT).as_posix() in names
    assert not any(name.startswith(('tests/', 'configs/', 'docs/')) for name in names)


@pytest.mark.slow
def test_an_installed_copy_finds_its_configs(wheel, tmp_path):
    environment = tmp_path / 'env'
    venv.create(environment)
    python = environment / 'bin' / 'python'
    (site,) = (environment / 'lib').glob('python*/site-packages')
    install = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index']
    subprocess.run([*install, '--target', site, wheel], check=True)
    # the stack of this environment, behind the wheel's own packages
    here = subprocess.run(
        [sys.executable, '-c', 'import mmengine; print(mmengine.__path__[0])'],
        capture_output=True, text=True, check=True,
    ).stdout.strip().rpartition('/')[0]  # fmt: skip
    (site / 'stack.pth').write_text(here + '\n')
    code = (
        'import moganet_dense; moganet_dense.register()\n'
        'from moganet_dense.config.model_files import find_config\n'
        'print(find_config("det/retinanet_moganet_s.py"))\n'
        'from mmengine.config import Config\n'
        'open("mine.py", "w").write("_base_ = \\"moganet_dense::seg/upernet_moganet_xt.py\\"")\n'
        'print(Config.fromfile("mine.py").model.backbone.type)'
    )
    alone = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(
        [python, '-c', code], cwd=tmp_path, env=alone, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found, kind = (line for line in done.stdout.split() if line.endswith(('.py', 'MogaNet')))
    assert found == str(site / 'moganet_dense/.mim/configs/det/retinanet_moganet_s.py')
    assert kind == 'MogaNet'


@pytest.mark.slow
def test_what_is_uploaded_is_well_formed_and_whole(wheel, tmp_path):
    """``python -m build`` makes the wheel from the source archive: the same files come out."""
    pytest.importorskip('build', reason='make test installs it')
    pytest.importorskip('twine', reason='make test installs it')
    source = wheel.parent / 'source'
    build = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', tmp_path, source]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (archive,), (built,) = tmp_path.glob('*.tar.gz'), tmp_path.glob('*.whl')
    check = [sys.executable, '-m', 'twine', 'check', '--strict', archive, built]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(zipfile.ZipFile(built).namelist()) == set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.long  # downloads about 120 MB
def test_pip_install_brings_what_exported_files_need_and_no_more(wheel, tmp_path):
    model = tiny_onnx.tiny_detector(tmp_path / 'model.onnx')
    cv2.imwrite(str(tmp_path / 'photo.png'), np.zeros((32, 32, 3), np.uint8))
    environment = tmp_path / 'env'
    venv.create(environment, with_pip=True)
    bin = environment / 'bin'

    def run(*command) -> subprocess.CompletedProcess:
        return subprocess.run(
            [bin / command[0], *command[1:]], cwd=tmp_path, capture_output=True, text=True
        )

    done = run('python', '-m', 'pip', 'install', '--quiet', wheel)
    assert done.returncode == 0, done.stderr
    assert run('python', '-m', 'pip', 'check').returncode == 0
    names = {row['name'].lower() for row in json.loads(run('pip', 'list', '--format=json').stdout)}
    assert not names & {'torch', 'mmcv', 'onedl-mmcv', 'matplotlib', 'onnx', 'starlette', 'chumpy'}
    assert len(names) < 25, names
    done = run('moganet-dense', '--help')
    assert done.returncode == 0, done.stderr
    assert 'retinanet_moganet_s' in run('moganet-dense', 'zoo', 'list').stdout
    done = run('moganet-dense', 'predict', str(model), 'photo.png', '--json')
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)['found']) == 1  # of two the one that is sure
    done = run('moganet-dense', 'train', 'retinanet_moganet_s')
    assert done.returncode == 1
    assert done.stderr.startswith('error: this needs ') and done.stderr.count('\n') == 1
    assert '`moganet-dense doctor --fix` installs what is missing' in done.stderr
    done = run('python', '-c', 'from moganet_dense import MogaNet')
    assert done.stderr.splitlines()[-1].startswith('ImportError: moganet_dense.MogaNet needs ')
    assert 'which is not installed: pip install' in done.stderr
    done = run('moganet-dense', 'doctor')
    assert done.returncode == 1
    assert done.stdout.endswith('python -m moganet_dense doctor --fix\n')


@pytest.mark.parametrize('missing', ['torch', 'mmengine'])
def test_a_name_of_the_package_without_its_stack_is_one_line(missing):
    """No chain of tracebacks: where it was asked for, and one line that says what to install."""
    code = f'import sys; sys.modules[{missing!r}] = None\nfrom moganet_dense import MogaNet'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count('Traceback') == 1
    assert done.stderr.count('  File ') == 2  # the line that asked, and ours that tells
    assert done.stderr.splitlines()[-1] == (
        f'ImportError: moganet_dense.MogaNet needs {missing}, which is not installed: '
        "pip install 'moganet_dense[train]'"
    )


def test_help_needs_no_torch(tmp_path):
    (tmp_path / 'torch.py').write_text("raise ImportError('not needed')")
    done = subprocess.run(
        [sys.executable, '-m', 'moganet_dense', 'train', '--help'],
        env={'PYTHONPATH': str(tmp_path)}, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and '--resume' in done.stdout


def test_setup_imports_nothing_of_the_stack():
    text = (ROOT / 'setup.py').read_text()
    assert 'torch' not in text and 'import moganet_dense' not in text


def test_wrong_usage_is_exit_code_2():
    done = subprocess.run([sys.executable, '-m', 'moganet_dense', 'fly'], capture_output=True)
    assert done.returncode == 2


def test_every_extra_that_a_page_or_a_message_names_is_there():
    declared = set(re.findall(r'^(\w+) = \[', PROJECT.partition('optional-dependencies]')[2], re.M))
    pages = [*ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), *ROOT.glob('docs/*.ipynb')]
    found = set()
    for file in [*pages, *(ROOT / 'moganet_dense').rglob('*.py')]:
        text = file.read_text()
        for names in re.findall(r"(?:moganet_dense|'\.|\.whl\)?)\[([\w,]+)\]", text):
            found |= set(names.split(','))
        wheels = re.findall(r'moganet_dense-[\w.-]+\.whl', text)
        assert set(wheels) <= {f'moganet_dense-{__version__}-py3-none-any.whl'}, file
    assert {'train', 'export', 'explain', 'demo', 'all'} <= found <= declared


def test_the_extra_for_training_has_the_versions_of_the_setup():
    lock = (ROOT / 'requirements/onedl/train.txt').read_text().splitlines()
    ours = re.findall(r'"(onedl-[\w-]+==[\d.]+)"', PROJECT)
    assert len(ours) == 5 and set(ours) <= set(lock)
    named = {line for line in lock if line.startswith('onedl-')}
    assert named == set(ours)
