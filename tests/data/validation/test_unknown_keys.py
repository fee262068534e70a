"""Which options a class accepts, read from its constructors."""

import importlib
from pathlib import Path

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError
from mmengine.registry import DATASETS

from moganet_dense.data.validation.unknown_keys import parameters, unknown_keys


class Base:
    def __init__(self, a, b=1):
        pass


class PassesOn(Base):
    def __init__(self, c, **kwargs):
        super().__init__(**kwargs)


class Drops(Base):
    def __init__(self, c, **kwargs):
        super().__init__(1)


class TakesAny(Base):
    def __init__(self, c, **kwargs):
        super().__init__(1)
        self.options = kwargs


class TakesOne(Base):
    def __init__(self, c, **kwargs):
        self.d = kwargs.pop('d', None)
        super().__init__(**kwargs)


class Other:
    def __init__(self, e):
        pass


class Both(PassesOn, Other):
    def __init__(self, f, **kwargs):
        super().__init__(**kwargs)


@pytest.mark.parametrize(
    'kind, names',
    [
        (Base, {'a', 'b'}),
        (PassesOn, {'a', 'b', 'c'}),
        (Drops, {'c'}),
        (TakesAny, None),
        (TakesOne, None),
        (Both, {'a', 'b', 'c', 'e', 'f', 'kwargs'}),
    ],
)
def test_what_a_class_accepts(kind, names):
    assert parameters(kind) == names


def found(file: Path) -> list[str]:
    cfg = Config.fromfile(file)
    with DATASETS.switch_scope_and_registry(cfg.get('default_scope', 'mmengine')):
        return list(unknown_keys(cfg))


@pytest.mark.slow
@pytest.mark.parametrize('folder', ['cls', 'det', 'pose', 'seg', 'video'])
def test_published_configs_have_none(folder):
    assert [line for file in ROOT.glob(f'configs/{folder}/*.py') for line in found(file)] == []


@pytest.mark.long
@pytest.mark.parametrize('toolbox', ['mmdet', 'mmpose', 'mmpretrain', 'mmseg'])
def test_configs_of_the_toolboxes_have_next_to_none(toolbox):
    """Those that remain have options which their classes drop, or which stop them from building."""
    package = importlib.import_module(toolbox)
    for part in ('models', 'datasets', 'evaluation', 'engine', 'visualization'):
        importlib.import_module(f'{toolbox}.{part}')
    folder = Path(package.__file__).parent / '.mim' / 'configs'
    files = [file for file in folder.rglob('*.py') if '_base_' not in file.parts]
    assert len(files) > 100
    lines = {}
    for file in files:
        try:
            lines[file.name] = found(file)
        except (FileNotFoundError, ImportError, ConfigParsingError, KeyError):  # their own faults
            continue
    assert sum(map(bool, lines.values())) <= 10, {k: v for k, v in lines.items() if v}
