"""Heads of today on MogaNet: every config counted, and trained for a step on the mini data."""

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope

from moganet_dense import ARCHITECTURES
from moganet_dense.config.reading import read_config
from moganet_dense.data.validation.unknown_keys import unknown_keys
from moganet_dense.engine.job import Job

CONFIGS = sorted((ROOT / 'configs/heads').glob('*.py'))
ON_MINI = [p for p in CONFIGS if p.stem.endswith('_t')]
QUICK = {'atss_moganet_t', 'segformer_moganet_t', 'rtmpose_moganet_t'}
NIGHTLY = {'gfl_moganet_t', 'dino_moganet_t', 'mask2former_instance_moganet_t',
           'mask2former_semantic_moganet_t'}  # fmt: skip
"""Like ATSS, Deformable DETR and Mask2Former for panoptic segmentation, which are run each time."""


def cost(path):
    if path.stem in QUICK:
        return ()
    return (pytest.mark.long if path.stem in NIGHTLY else pytest.mark.slow,)


def stem(path):
    return path.stem


def test_every_head_has_a_config_for_t_and_s():
    heads = {path.stem[:-2] for path in CONFIGS}
    assert {path.stem for path in CONFIGS} == {f'{head}_{a}' for head in heads for a in 'st'}
    assert len(heads) == 15


@pytest.mark.parametrize('path', CONFIGS, ids=stem)
def test_header_names_the_source_and_the_recipe_is_the_sources(path):
    text = path.read_text()
    cfg = Config.fromfile(path)
    arch = path.stem[-1]
    source = text.partition('source     ')[2].split()[0]
    theirs = Config.fromstring(f'_base_ = {source!r}', '.py')
    assert 'not run at scale' in text and 'https://arxiv.org/abs/' in text
    assert cfg.model.backbone.arch == arch and not cfg.get('find_unused_parameters')
    assert cfg.model.backbone.init_cfg.checkpoint == f'moganet://{arch}_in1k_224'
    if theirs.optim_wrapper.optimizer.type != 'SGD':
        assert cfg.optim_wrapper.optimizer == theirs.optim_wrapper.optimizer
        assert cfg.param_scheduler == theirs.param_scheduler
    for key in ('max_epochs', 'max_iters'):
        assert cfg.train_cfg.get(key) == theirs.train_cfg.get(key)
    widths = [ARCHITECTURES[arch]['embed_dims'][k] for k in cfg.model.backbone.out_indices]
    neck = cfg.model.get('neck') or {}
    if 'in_channels' in neck:
        assert neck.in_channels == widths


@pytest.mark.slow
def test_the_check_before_training_knows_every_option():
    for path in ON_MINI:
        cfg = read_config(path)
        with DATASETS.switch_scope_and_registry(cfg.default_scope):
            assert list(unknown_keys(cfg)) == [], path.stem


@pytest.mark.parametrize('path', [pytest.param(p, marks=cost(p)) for p in ON_MINI], ids=stem)
def test_a_step_on_the_mini_data_and_a_prediction(path, workspace):
    cfg = Job(path, mini=True).read()
    cfg.model.data_preprocessor.pop('batch_augments', None)  # they need a running loop
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        model.init_weights()
        train, val = (
            DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.val_dataloader)
        )
        batch = pseudo_collate([train[0], train[1]])
        losses = model.train()(**model.data_preprocessor(batch, True), mode='loss')
        total, _ = model.parse_losses(losses)
        total.backward()
        with torch.no_grad():
            batch = model.data_preprocessor(pseudo_collate([val[0]]), False)
            (result,) = model.eval()(**batch, mode='predict')
    assert torch.isfinite(total) and total > 0
    assert not [n for n, p in model.backbone.named_parameters() if p.grad is None]
    assert 'pred_sem_seg' in result or 'pred_instances' in result


@pytest.mark.slow
def test_the_page_is_what_is_noted_and_the_notes_are_what_is_counted():
    import make_heads

    from moganet_dense.toolboxes.build import build
    from moganet_dense.toolboxes.flops import complexity, usual_shape

    assert (ROOT / 'docs/heads.md').read_text() == make_heads.page()
    for name in QUICK:
        cfg = read_config(ROOT / f'configs/heads/{name}.py')
        found, note = complexity(build(cfg), usual_shape(cfg)), make_heads.noted()[name]
        assert f'{found.parameters / 1e6:.1f}' == note['parameters']
        assert f'{found.flops / 1e9:.1f}' == note['flops']
