"""The sizes of a pose head, its targets and its backbone; what a line says is done literally."""

import ast
import re

import pytest
from conftest import ROOT
from mmengine.config import Config

from moganet_dense.cli import main
from moganet_dense.config.reading import parse_options, read_config, set_options
from moganet_dense.data.validation.heatmap_rules import heatmap_rules

HEATMAPS = 'configs/pose/topdown_moganet_xt_256x192.py'


def heatmaps(**changes) -> Config:
    cfg = read_config(ROOT / HEATMAPS)
    set_options(cfg, changes)
    return cfg


def encoder(cfg: Config) -> dict:
    (step,) = [s for s in cfg.train_dataloader.dataset.pipeline if s.type == 'GenerateTarget']
    return step.encoder


def test_nothing_is_said_of_what_fits():
    assert list(heatmap_rules(heatmaps())) == []


@pytest.mark.parametrize(
    ('changes', 'size'),
    [
        ({'model.head.deconv_out_channels': [8, 8], 'model.head.deconv_kernel_sizes': [4, 4]}, 0.5),
        ({'model.head.deconv_out_channels': None, 'model.head.deconv_kernel_sizes': None}, 0.125),
        ({'model.head.deconv_kernel_sizes': [4, 4, 4, 4],
          'model.head.deconv_out_channels': [8, 8, 8, 8]}, 2),
    ],
)  # fmt: skip
def test_heatmaps_of_another_size(changes, size):
    """Each deconvolution doubles the size: one less, none, and one more than three."""
    cfg = heatmaps(**changes)
    before = tuple(encoder(cfg).heatmap_size)
    (line,) = heatmap_rules(cfg)
    said = re.search(r'found (\(.+?\)) for images', line)[1]
    assert ast.literal_eval(said) == tuple(int(n * size) for n in before)
    assert f'expected heatmaps of {before} ' in line
    advice = ast.literal_eval(re.search(r'set heatmap_size=(\(.+?\)) there', line)[1])
    encoder(cfg).heatmap_size = cfg.model.head.decoder.heatmap_size = advice
    assert list(heatmap_rules(cfg)) == []


@pytest.mark.parametrize(
    'change',
    ['model.head.in_channels=77', 'model.head.decoder.heatmap_size=(5,5)',
     'model.head.decoder.input_size=(64,64)'],
)  # fmt: skip
def test_an_option_of_the_head_that_contradicts_the_rest(change):
    cfg = heatmaps(**parse_options([change]))
    (line,) = heatmap_rules(cfg)
    key, value = change.split('=')
    said, advice = re.match(r'expected (model\S+?)=(\(.+?\)|\d+), ', line).groups()
    assert said == key and 'found ' + value.replace(',', ', ') in line
    set_options(cfg, {key: ast.literal_eval(advice)})
    assert list(heatmap_rules(cfg)) == []


def test_the_size_of_features_for_simcc():
    cfg = heatmaps()
    width, height = encoder(cfg).input_size
    codec = dict(type='SimCCLabel', input_size=(width, height), sigma=4.0, simcc_split_ratio=2.0)
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'GenerateTarget':
            step.encoder = codec
    cfg.model.head = dict(
        type='SimCCHead', in_channels=cfg.model.head.in_channels, out_channels=17,
        input_size=(width, height), in_featuremap_size=(9, 9), deconv_out_channels=None,
        decoder=codec,
    )  # fmt: skip
    (line,) = heatmap_rules(cfg)
    right = (width // 32, height // 32)
    assert f'expected model.head.in_featuremap_size={right}, of the last output' in line
    cfg.model.head.in_featuremap_size = right
    assert list(heatmap_rules(cfg)) == []


def test_training_ends_before_the_first_step_with_one_line(tmp_path, capsys):
    changes = ['model.head.deconv_out_channels=(8,8)', 'model.head.deconv_kernel_sizes=(4,4)']
    options = ['--from-scratch', '--work-dir', str(tmp_path / 'work'), '--cfg-options', *changes]
    assert main(['train', str(ROOT / HEATMAPS), *options]) == 1
    error = capsys.readouterr().err
    assert 'error: expected heatmaps of ' in error and 'Traceback' not in error
    assert not (tmp_path / 'work').exists()
