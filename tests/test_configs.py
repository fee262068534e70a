"""Every config: parsed with plain mmengine, built, its neck and heads fit the backbone."""

from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from moganet_dense.apis.config import SCOPES
from moganet_dense.apis.mini import SCHEDULES, start_from_scratch

CONFIGS = sorted((ROOT / 'configs').glob('[a-z]*/*.py'))

# counted from the architecture by hand; they agree with the published M to rounding
PARAMETERS = {
    'retinanet_moganet_xt': 12_120_110,
    'retinanet_moganet_s': 35_072_647,
    'upernet_moganet_xt': 30_441_062,
    'upernet_moganet_s': 55_310_527,
    'topdown_moganet_xt_256x192': 5_652_555,
    'topdown_moganet_s_256x192': 29_022_884,
}


def stem(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize('path', CONFIGS, ids=stem)
def test_config_builds_the_published_model(path):
    cfg = Config.fromfile(path)
    assert cfg.default_scope in SCOPES
    start_from_scratch(cfg)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[path.stem]


@pytest.mark.parametrize('path', CONFIGS, ids=stem)
def test_header_names_the_commands_and_the_published_result(path):
    text = path.read_text()
    name = path.relative_to(ROOT).as_posix()
    assert f'python tools/train.py {name}\n' in text
    assert f'python tools/test.py {name} CHECKPOINT\n' in text
    assert 'not run here' in text


@pytest.mark.parametrize('path', CONFIGS, ids=stem)
def test_config_can_be_made_mini(path, mini, workspace):
    from moganet_dense.apis.run import Job

    whole, small = Config.fromfile(path), Job(path, mini=True).read()
    assert small.default_scope in SCHEDULES
    assert small.model.backbone.init_cfg is None
    for part in ('neck', 'bbox_head', 'decode_head', 'auxiliary_head'):
        assert small.model.get(part) == whole.model.get(part)
    assert 'data/mini' in small.train_dataloader.dataset.data_root
    assert Config.fromfile(path).test_dataloader == whole.test_dataloader  # left as it was


def test_index_lists_every_config_and_only_files_that_exist():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    models = [
        model
        for file in index['Import']
        for model in yaml.safe_load((ROOT / file).read_text())['Models']
    ]
    listed = {model['Config'] for model in models}
    assert listed == {path.relative_to(ROOT).as_posix() for path in CONFIGS}
    for model in models:
        published = next(iter(model['Results'][0]['Metrics'].values()))
        assert str(published) in (ROOT / model['Config']).read_text()
        assert model['Name'] == Path(model['Config']).stem
