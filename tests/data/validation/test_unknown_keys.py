"""Which options a class accepts, read from its constructors."""

import importlib
from pathlib import Path

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError
from mmengine.registry import DATASETS

from moganet_dense.data import validation
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
    return found_in(Config.fromfile(file))


def found_in(cfg: Config) -> list[str]:
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
            cfg = Config.fromfile(file)
        except (
            OSError,
            ImportError,
            ConfigParsingError,
            KeyError,
            RuntimeError,
        ):  # their own faults
            continue
        lines[file.name] = found_in(cfg)
    assert sum(map(bool, lines.values())) <= 10, {k: v for k, v in lines.items() if v}


def test_a_data_set_is_not_taken_for_a_metric_of_its_name():
    """mmpretrain has both a data set and a metric COCOCaption; the former needs transformers."""
    importlib.import_module('mmpretrain.evaluation')
    dataset = dict(type='COCOCaption', data_root='data/coco', ann_file='a.json', pipeline=[])
    cfg = Config(dict(val_dataloader=dict(batch_size=1, dataset=dataset)))
    with DATASETS.switch_scope_and_registry('mmpretrain'):
        assert list(unknown_keys(cfg)) == []


def test_options_of_a_metric_that_a_function_builds():
    """FastCocoMetric is the CocoMetric of the default scope, and so are its options."""
    from moganet_dense.evaluation.fast_coco_eval import FastCocoMetric

    name = FastCocoMetric.__name__
    cfg = Config(dict(val_evaluator=dict(type=name, metrik='bbox', iou_thrs=[0.5])))
    with DATASETS.switch_scope_and_registry('mmdet'):
        (found,) = unknown_keys(cfg)
    assert found.startswith(
        "expected options of FastCocoMetric in val_evaluator, found 'metrik'; did you mean 'metric'"
    )


@pytest.mark.parametrize('before', [[], ['a misspelt option']])
def test_the_check_shows_what_it_found_before_a_class_refuses(before, monkeypatch):
    """An unknown option is found, and then the data set cannot be built because of it."""

    def findings(*_, **__):
        yield from before
        raise TypeError('an unexpected keyword')

    monkeypatch.setattr(validation, 'all_findings', findings)
    if not before:
        with pytest.raises(TypeError, match='unexpected'):
            validation.check_all(Config({}))
        return
    words = validation.check_all(Config({})).words()
    assert 'error: a misspelt option' in words
    assert 'the rest cannot be checked until this is fixed (an unexpected keyword' in words
