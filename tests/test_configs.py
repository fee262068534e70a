"""Every config: parsed with plain mmengine, and counted; of each kind one is built, trained for a
step and run forward."""

import functools
import math
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.utils import import_modules_from_strings

from moganet_dense import ARCHITECTURES
from moganet_dense.config.mini_config import SCHEDULES
from moganet_dense.config.model_files import find_config
from moganet_dense.config.reading import SCOPES
from moganet_dense.engine.job import Job
from moganet_dense.toolboxes.build import build
from moganet_dense.toolboxes.flops import Complexity, complexity
from moganet_dense.utils.errors import UserError

CONFIGS = sorted((ROOT / 'configs').glob('[a-z]*/**/*.py'))
DENSE = [path for path in CONFIGS if path.parent.name in ('det', 'seg', 'pose')]
ALIASES = sorted((ROOT / 'configs/moganet').glob('*.py'))
UNLISTED = [  # without results: of other tests
    path for part in ('heads', 'pose3d') for path in (ROOT / 'configs' / part).glob('*.py')
]
MODELS_OF_INDEX = [
    model
    for file in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    for model in yaml.safe_load((ROOT / file).read_text())['Models']
]

CLASSIFIERS = [model for model in MODELS_OF_INDEX if model['Config'].startswith('configs/cls/')]

# multiply-adds of the backbone's convolutions and linear layers in G, worked out by hand from
# the architecture, at 224, 256, 800 x 1280, 512 x 2048, 256 x 192 and 384 x 288
BACKBONE_G = {
    'xt': (0.782, 1.021, 15.96, 16.34, 0.766, 1.723),
    't': (1.083, 1.415, 22.10, 22.63, 1.061, 2.387),
    's': (4.931, 6.441, 100.6, 103.0, 4.830, 10.87),
    'b': (9.861, 12.88, 201.2, 206.1, 9.659, 21.73),
    'l': (15.82, 20.66, 322.8, 330.6, 15.50, 34.87),
    'xl': (34.39, 44.92, 701.9, 718.8, 33.69, 75.81),
}
SHAPES = [(224, 224), (256, 256), (800, 1280), (512, 2048), (256, 192), (384, 288)]


def stem(path: Path) -> str:
    return path.stem


def of_config(path: Path) -> list[dict]:
    """Entries of the index for a config: several published files may share one."""
    config = path.relative_to(ROOT).as_posix()
    return [model for model in MODELS_OF_INDEX if model['Config'] == config]


def shape_of(entry: dict) -> tuple[int, int]:
    height, width = entry['Metadata']['Input'].split(' x ')
    return int(height), int(width)


def assert_size(found: Complexity, entry: dict) -> None:
    """Holds a model to the index, whose parameter counts were worked out from the architecture
    and not by this code, to the published FLOPs, and its backbone to the counts by hand."""
    facts = entry['Metadata']
    assert found.parameters == facts['Parameters']
    assert found.flops == pytest.approx(facts['FLOPs'], rel=1e-3)
    arch = Config.fromfile(ROOT / entry['Config']).model.backbone.arch
    by_hand = BACKBONE_G[arch][SHAPES.index(found.shape)]
    assert found.backbone_flops / 1e9 == pytest.approx(by_hand, rel=1e-3)
    if 'Published FLOPs (G)' in facts and 'FLOPs' not in facts.get('Note', ''):
        assert found.flops / 1e9 == pytest.approx(facts['Published FLOPs (G)'], rel=0.03)


def on_meta(cfg: Config) -> torch.nn.Module:
    """A model on the meta device, which has shapes and no numbers, without drawing these."""
    with pytest.MonkeyPatch.context() as patch, torch.device('meta'):
        patch.setattr(torch.nn.init, 'normal_', lambda tensor, *_, **__: tensor)
        return build(cfg)


SIZES: dict[tuple, Complexity] = {}


def model_size(cfg: Config, shape: tuple[int, int]) -> Complexity:
    """Size of a model; configs that differ in training alone share it."""
    same = cfg.model.to_dict() | dict(train_cfg=None)
    same['backbone'] |= dict(drop_path_rate=None, init_cfg=None)
    key = repr(same), shape
    if key not in SIZES:
        SIZES[key] = complexity(on_meta(cfg), shape)
    return SIZES[key]


@functools.cache
def classifier_size(arch: str, shape: tuple[int, int]) -> Complexity:
    """Size of a classifier, which arch and input decide; that every config builds is tested with
    the classifiers."""
    cfg = Config.fromfile(ROOT / 'configs/cls/moganet_s.py')
    width = ARCHITECTURES[arch]['embed_dims'][3]
    cfg.merge_from_dict({'model.backbone.arch': arch, 'model.head.in_channels': width})
    return complexity(on_meta(cfg), shape)


@pytest.mark.parametrize('entry', CLASSIFIERS, ids=lambda entry: entry['Name'])
def test_classifier_has_its_size(entry):
    arch = Config.fromfile(ROOT / entry['Config']).model.backbone.arch
    assert_size(classifier_size(arch, shape_of(entry)), entry)


@pytest.mark.parametrize('path', CONFIGS, ids=stem)
def test_header_names_the_commands_and_the_published_result(path):
    text = path.read_text()
    config = path.relative_to(ROOT).as_posix()
    assert f'python tools/train.py {config}\n' in text
    assert f'python tools/test.py {config} CHECKPOINT\n' in text
    assert 'not run here' in text
    for model in of_config(path):
        for result in model['Results'][:1]:
            assert all(str(value) in text for value in [*result['Metrics'].values()][:1])


def kind_of(path: Path) -> str:
    """What a config has beside the size of its backbone: its heads, and its images."""
    cfg = Config.fromfile(path)
    model = without_widths(cfg.model.to_dict() | dict(backbone=None))
    loaders = (cfg.train_dataloader, cfg.val_dataloader)
    return repr((model, [loader.dataset.to_dict() for loader in loaders]))


def without_widths(value):
    if isinstance(value, dict):
        return {k: without_widths(v) for k, v in value.items() if k != 'in_channels'}
    return [without_widths(v) for v in value] if isinstance(value, list) else value


KINDS = {kind_of(path): path for path in sorted(DENSE, key=lambda path: 'moganet_xt' in path.stem)}
"""The last of each kind, which is the one of arch xt where there is one."""


def cost_of_counting(path: Path) -> tuple:
    """Marks; the sizes b, l and xl of a kind differ from s by the numbers of blocks and channels,
    which their classifiers have, too."""
    if path in KINDS.values():
        return ()
    arch = path.stem.partition('_moganet_')[2].partition('_')[0]
    return (pytest.mark.long if arch in ('b', 'l', 'xl') else pytest.mark.slow,)


@pytest.mark.parametrize(
    'path',
    [pytest.param(p, marks=cost_of_counting(p)) for p in DENSE],
    ids=stem,
)
def test_model_has_its_size(path):
    cfg = Config.fromfile(path)
    for entry in of_config(path):
        assert_size(model_size(cfg, shape_of(entry)), entry)


AT_FIRST = {
    'loss_rpn_cls': math.log(2),
    'loss_cls': math.log(81),
    's0.loss_cls': math.log(81),
    's1.loss_cls': 0.5 * math.log(81),
    's2.loss_cls': 0.25 * math.log(81),
    'decode.loss_ce': math.log(150),
    'aux.loss_ce': 0.4 * math.log(150),
}
"""Losses of an untrained model, for which all classes are alike, by their weights."""


def with_few_regions(model: dict) -> None:
    """A detector's second stage takes 64 regions in training, and 50 in testing."""
    parts = (model.get('train_cfg') or {}).get('rcnn', [])
    for part in parts if isinstance(parts, list) else [parts]:
        part.sampler.num = 64
    if parts:
        model.test_cfg.rpn.max_per_img = 50


@pytest.mark.slow
@pytest.mark.parametrize('path', KINDS.values(), ids=stem)
def test_model_has_a_loss_and_a_result(path, workspace):
    """Loss and result through the config's own pipelines, at the small sizes of --mini."""
    cfg = Job(path, mini=True).read()
    assert cfg.default_scope in SCHEDULES
    import_modules_from_strings(**cfg.custom_imports)
    with_few_regions(cfg.model)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        model.init_weights()
        loaders = (cfg.train_dataloader, cfg.val_dataloader)
        train, val = (DATASETS.build(loader.dataset) for loader in loaders)
        # the pooled 1 x 1 maps of UPerNet have no batch statistics over one sample
        samples = range(1 if cfg.default_scope == 'mmdet' else 2)
        batch = pseudo_collate([train[i] for i in samples])
        data = model.data_preprocessor(batch, True)
        total, losses = model.parse_losses(model.train()(**data, mode='loss'))
        total.backward()
        with torch.no_grad():
            batch = model.data_preprocessor(pseudo_collate([val[0]]), False)
            (result,) = model.eval()(**batch, mode='predict')
    expected = dict(AT_FIRST)
    if 'retinanet' in path.stem:  # focal loss of a positive at its prior probability of 0.01
        expected['loss_cls'] = 0.25 * 0.99**2 * -math.log(0.01)
    if cfg.default_scope == 'mmpose':  # heatmaps are zero yet
        fields = [sample.gt_fields.heatmaps for sample in data['data_samples']]
        weights = [s.gt_instance_labels.keypoint_weights[0] for s in data['data_samples']]
        squares = torch.stack(fields).pow(2).mean((2, 3)) * torch.stack(weights)
        expected['loss_kpt'] = squares.mean().item()
    if cfg.default_scope == 'mmseg':  # averaged over all pixels, of which some are ignored
        maps = torch.stack([sample.gt_sem_seg.data for sample in data['data_samples']])
        labelled = (maps != 255).float().mean().item()
        expected = {k: v * labelled for k, v in expected.items()}
    known = losses.keys() & expected.keys()
    assert known and torch.isfinite(total)
    assert {k: float(losses[k]) for k in known} == pytest.approx(
        {k: expected[k] for k in known}, rel=0.2
    )
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused  # DistributedDataParallel would wait for them
    field = dict(mmdet='pred_instances', mmseg='pred_sem_seg', mmpose='pred_instances')
    assert field[cfg.default_scope] in result


@pytest.mark.parametrize('path', DENSE, ids=stem)
def test_mini_leaves_model_and_file_as_they_were(path, mini, workspace):
    whole, small = Config.fromfile(path), Job(path, mini=True).read()
    assert whole.default_scope in SCOPES
    assert small.model.backbone.init_cfg is None
    for part in ('neck', 'rpn_head', 'roi_head', 'bbox_head', 'decode_head', 'auxiliary_head'):
        assert small.model.get(part) == whole.model.get(part)
    assert 'data/mini' in small.train_dataloader.dataset.data_root
    assert Config.fromfile(path).test_dataloader == whole.test_dataloader


def test_the_index_lists_every_config_and_only_files_that_exist():
    listed = {model['Config'] for model in MODELS_OF_INDEX}
    own = set(CONFIGS) - set(ALIASES) - set(UNLISTED)
    assert listed == {path.relative_to(ROOT).as_posix() for path in own}
    for model in MODELS_OF_INDEX:
        if not model['Config'].startswith('configs/cls/'):  # there the names are the hub's
            assert model['Name'] == Path(model['Config']).stem
        # mim reads no other kinds of metadata: it stops at a list of numbers
        assert all(isinstance(v, (str, int, float)) for v in model['Metadata'].values())
    names = [model['Name'] for model in MODELS_OF_INDEX]
    assert len(set(names)) == len(names)


def test_the_page_of_the_zoo_is_up_to_date():
    import make_zoo

    assert (ROOT / 'docs/zoo.md').read_text() == make_zoo.page(make_zoo.entries())


def test_the_image_of_the_zoo_shows_every_published_dense_model():
    import make_zoo

    models = make_zoo.entries()
    shown = {m['Name'] for panel in make_zoo.PANELS for m in make_zoo.of_panel(models, panel)}
    dense = {m['Name'] for m in models if m['Results'] and make_zoo.task(m) not in ('cls', 'video')}
    apart = {n for n in dense if '384x288' in n} | {'cascade_mask_rcnn_moganet_s_ms_3x'}
    assert dense - apart == {n for n in shown if n in dense}


PUBLISHED = {  # name that mmpretrain's pull request publishes: arch, gate, images of a step
    'moganet-xtiny_8xb128_in1k': ('xt', 'double', 1024),
    'moganet-tiny_8xb128_in1k': ('t', 'double', 1024),
    'moganet-small_8xb128_in1k': ('s', 'double', 1024),
    'moganet-base_8xb128_in1k': ('b', 'double', 1024),
    'moganet-large_8xb128_in1k': ('l', 'single', 1024),
    'moganet-xlarge_16xb32_in1k': ('xl', 'double', 512),
}


def test_the_published_paths_of_classifiers_exist():
    assert {path.stem for path in ALIASES} == set(PUBLISHED)
    for path in ALIASES:
        cfg = Config.fromfile(path)
        net, batch = cfg.model.backbone, cfg.auto_scale_lr.base_batch_size
        assert (net.arch, net.get('gate', 'single'), batch) == PUBLISHED[path.stem]


@pytest.mark.parametrize(
    'typed, meant',
    [
        ('configs/moganet/moganet-tinny_8xb128_in1k.py', 'moganet/moganet-tiny_8xb128_in1k.py'),
        ('moganet_large_8xb128_in1k.py', 'moganet/moganet-large_8xb128_in1k.py'),
        ('configs/seg/retinanet_mogane_s.py', 'det/retinanet_moganet_s.py'),
        ('somewhere/else/upernet_mogant_t.py', 'seg/upernet_moganet_t.py'),
        ('configs/cls/moganet_t_openmixup.py', 'cls/reproductions/moganet_t_openmixup.py'),
    ],
)
def test_suggestions_for_a_mistyped_config_rank_by_base_name(typed, meant):
    with pytest.raises(UserError, match=f'did you mean configs/{meant}'):
        find_config(typed)
