"""The wheel carries configs, tools and index, and the command line starts without torch."""

import subprocess
import sys
import venv
import zipfile

import pytest
from conftest import ROOT


@pytest.mark.slow
def test_configs_tools_and_index_travel_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                assert f'moganet_dense/.mim/{path.relative_to(ROOT).as_posix()}' in names
    assert 'moganet_dense/.mim/model-index.yml' in names
    assert 'moganet_dense/weights/releases.py' in names
    for path in (ROOT / 'moganet_dense/demo/page').rglob('*.*'):
        assert path.relative_to(ROOT).as_posix() in names
    assert not any(name.startswith(('tests/', 'configs/', 'docs/')) for name in names)


@pytest.mark.slow
def test_an_installed_copy_finds_its_configs(wheel, tmp_path):
    environment = tmp_path / 'env'
    venv.create(environment, with_pip=True, system_site_packages=False)
    python = environment / 'bin' / 'python'
    install = [python, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index', wheel]
    subprocess.run(install, check=True)
    (site,) = (environment / 'lib').glob('python*/site-packages')
    # the stack of this environment, behind the wheel's own packages
    here = subprocess.run(
        [sys.executable, '-c', 'import mmengine; print(mmengine.__path__[0])'],
        capture_output=True, text=True, check=True,
    ).stdout.strip().rpartition('/')[0]  # fmt: skip
    (site / 'stack.pth').write_text(here + '\n')
    code = (
        'import moganet_dense; from moganet_dense.config.reading import find_config, read_config\n'
        'print(find_config("det/retinanet_moganet_s.py"))\n'
        'print(read_config("configs/seg/upernet_moganet_xt.py").model.backbone.type)'
    )
    done = subprocess.run(
        [python, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found, kind = done.stdout.split()[-2:]
    assert found == str(site / 'moganet_dense/.mim/configs/det/retinanet_moganet_s.py')
    assert kind == 'MogaNet'


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
