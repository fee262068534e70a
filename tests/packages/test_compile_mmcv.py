"""The command that compiles mmcv: the source that it hands to pip, without compiling it."""

import importlib.util
import sys
import tarfile
from pathlib import Path

import pytest
from conftest import ROOT

SCRIPT = ROOT / 'packages/mmcv-ops/src/moganet_mmcv_ops/compile_mmcv.py'
SETUP = "cxx = ['-std=c++17']\nif windows: ...\nelse: nvcc = ['-std=c++17']\n"
HEADER = '#error C++{} or later compatible compiler is required to use ATen.\n'


class Pip:
    """Stands for pip: what it was asked for, and the setup.py that it would build."""

    def __init__(self, calls: list[tuple[str, ...]]) -> None:
        self.calls, self.script = calls, ''

    def __call__(self, *arguments: str | Path) -> None:
        self.calls.append(tuple(map(str, arguments)))
        if arguments[0] == 'download':
            self.download(Path(arguments[arguments.index('--dest') + 1]))
        elif '--force-reinstall' in arguments:
            self.script = (arguments[-1] / 'setup.py').read_text()

    def download(self, folder: Path) -> None:
        made = folder.parent / 'made' / 'onedl_mmcv-9.9'
        made.mkdir(parents=True)
        (made / 'setup.py').write_text(SETUP)
        with tarfile.open(folder / 'onedl_mmcv-9.9.tar.gz', 'w:gz') as archive:
            archive.add(made, made.name)


@pytest.fixture
def compiling(tmp_path, monkeypatch):
    """The module, a torch whose headers ask for a C++ standard, and pip's stand-in."""
    spec = importlib.util.spec_from_file_location('compile_mmcv', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch = tmp_path / 'site/torch'
    (torch / 'include/ATen').mkdir(parents=True)
    (torch / '__init__.py').write_text('')
    monkeypatch.setattr(
        importlib.util, 'find_spec',
        lambda name: importlib.util.spec_from_file_location(name, torch / '__init__.py'),
    )  # fmt: skip
    monkeypatch.setattr(module, 'pip', Pip([]))
    monkeypatch.setattr(module.tempfile, 'tempdir', str(tmp_path))
    return module, torch / 'include/ATen/ATen.h'


@pytest.mark.parametrize(('standard', 'asked'), [(17, '-std=c++17'), (20, '-std=c++20')])
def test_mmcv_is_compiled_by_the_standard_of_the_headers(compiling, monkeypatch, standard, asked):
    module, header = compiling
    header.write_text(HEADER.format(standard))
    monkeypatch.setattr(sys, 'argv', ['compile_mmcv', 'onedl-mmcv==9.9'])
    module.main()
    assert module.pip.script == SETUP.replace('-std=c++17', asked)
    tools, download, install = module.pip.calls
    assert tools == ('install', 'setuptools<82', 'wheel', 'ninja')
    assert download[-1] == 'onedl-mmcv==9.9' and '--no-binary' in download
    assert {'--no-cache-dir', '--no-deps', '--no-build-isolation'} <= set(install)


def test_without_a_requirement_it_is_the_mmcv_that_is_installed(compiling):
    module, _ = compiling
    name, _, version = module.installed().partition('==')
    assert name in ('mmcv', 'onedl-mmcv') and version[0].isdigit()
