"""The published classifiers: configs against the recipes written out, schedules against their
formulas, files of every family, and training and testing through the command line."""

import json
import math
import re
from pathlib import Path

import golden
import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope
from PIL import Image

from moganet_dense import MogaNet
from moganet_dense.engine.ema import WarmupEMA
from moganet_dense.engine.job import Job
from moganet_dense.engine.train import test as evaluate
from moganet_dense.engine.train import train
from moganet_dense.utils.errors import UserError
from moganet_dense.weights import releases
from moganet_dense.weights.conversion import (
    WeightsError,
    classifier_state,
    holds_average,
    model_state,
)

pytest.importorskip('mmpretrain')

FILES = {path.stem: path for path in sorted((ROOT / 'configs/cls').rglob('*.py'))}
CONFIGS = [
    pytest.param(path, marks=[pytest.mark.slow] * (path.parent.name == 'reproductions'))
    for path in FILES.values()
]
"""The official ones; reproductions of other recipes are outside the quick tests."""

INDEX = yaml.safe_load((ROOT / 'configs/cls/metafile.yml').read_text())['Models']
PARAMETERS = dict(
    xt=2_956_066, t=5_197_332, s=25_335_675, b=43_720_475, l=82_480_978, xl=180_991_924
)

# The published recipes. arch: drop path rate.
DROP_PATH = dict(xt=0.05, t=0.1, s=0.1, b=0.2, l=0.3, xl=0.4)
# name of the config: gate, train and test size, images a step on all GPUs (GPUs x images x
# steps), lr, weight decay, lowest lr, RandAugment level, mixup alpha, half precision, average
RECIPES = {
    'xt': ('single', 224, 224, (8, 128, 1), 1e-3, 0.03, 1e-6, 7, 0.1, True, False),
    't': ('single', 224, 224, (8, 128, 1), 1e-3, 0.04, 1e-6, 7, 0.1, True, False),
    's': ('single', 224, 224, (8, 128, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    'b': ('single', 224, 224, (8, 128, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    'l': ('single', 224, 224, (8, 64, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    'xl': ('single', 224, 224, (8, 64, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    'xt_256': ('single', 256, 256, (8, 128, 1), 1e-3, 0.03, 1e-6, 7, 0.1, True, False),
    't_256': ('single', 256, 256, (8, 128, 1), 1e-3, 0.04, 1e-6, 7, 0.1, True, False),
    'xt_openmixup': ('double', 224, 224, (8, 128, 1), 1e-3, 0.03, 1e-6, 7, 0.1, True, False),
    't_openmixup': ('double', 224, 224, (8, 128, 1), 1e-3, 0.04, 1e-6, 7, 0.1, True, False),
    's_openmixup': ('double', 224, 224, (8, 128, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    's_openmixup_single': ('single', 224, 224, (8, 128, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    'b_openmixup': ('double', 224, 224, (8, 128, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    'l_openmixup': ('double', 224, 224, (8, 64, 2), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    'xl_openmixup': ('double', 224, 224, (8, 32, 4), 1e-3, 0.05, 1e-4, 9, 0.8, False, True),
    'xt_256_openmixup': ('double', 256, 256, (8, 128, 1), 1e-3, 0.03, 1e-6, 7, 0.1, True, False),
    't_256_openmixup': ('double', 256, 256, (8, 128, 1), 1e-3, 0.04, 1e-6, 7, 0.1, True, False),
    'xt_256_deit3': ('double', 256, 256, (8, 128, 1), 2e-3, 0.03, 1e-6, None, 0.1, True, False),
    't_256_deit3': ('double', 256, 256, (8, 128, 1), 2e-3, 0.04, 1e-6, None, 0.1, True, False),
    'xt_rsb_a3': ('double', 160, 224, (8, 256, 1), 6e-3, 0.02, 1e-6, 6, 0.1, False, False),
    't_rsb_a3': ('double', 160, 224, (8, 256, 1), 6e-3, 0.02, 1e-6, 6, 0.1, False, False),
    's_rsb_a3': ('double', 160, 224, (8, 256, 1), 6e-3, 0.02, 1e-6, 6, 0.1, False, False),
    'b_rsb_a3': ('double', 160, 224, (8, 128, 2), 6e-3, 0.02, 1e-6, 6, 0.1, False, False),
    'l_rsb_a3': ('double', 160, 224, (8, 128, 2), 6e-3, 0.02, 1e-6, 6, 0.1, False, False),
    'xt_mmpretrain': ('double', 224, 224, (8, 128, 1), 1e-3, 0.03, 1e-6, 7, 0.1, False, False),
    't_mmpretrain': ('double', 224, 224, (8, 128, 1), 1e-3, 0.04, 1e-6, 9, 0.1, False, False),
    's_mmpretrain': ('double', 224, 224, (8, 128, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, False),
    'b_mmpretrain': ('double', 224, 224, (8, 128, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    'l_mmpretrain': ('single', 224, 224, (8, 128, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
    'xl_mmpretrain': ('double', 224, 224, (16, 32, 1), 1e-3, 0.05, 1e-5, 9, 0.8, False, True),
}
RESIZE = {(224, 224): 248, (256, 256): 284, (160, 224): 236}  # short side before the crop


def key(path: Path) -> str:
    return path.stem.removeprefix('moganet_')


def read(name: str) -> Config:
    return Config.fromfile(FILES[f'moganet_{name}'])


def of_type(steps: list, kind: str) -> list[dict]:
    """Steps of a pipeline, or hooks, of one type."""
    return [step for step in steps if step['type'] == kind]


def classifier(cfg: Config) -> BaseModule:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize('path', CONFIGS, ids=key)
def test_a_config_is_the_published_recipe(path):
    cfg, arch = Config.fromfile(path), key(path).split('_')[0]
    gate, train, test, batch, lr, decay, lowest, level, alpha, half, average = RECIPES[key(path)]
    drop_path = 0.4 if key(path) == 'l_rsb_a3' else DROP_PATH[arch]
    net = cfg.model.backbone
    assert (net.arch, net.get('gate', 'single'), net.drop_path_rate) == (arch, gate, drop_path)

    steps, shown = cfg.train_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline
    crops = of_type(steps, 'RandomResizedCrop') or [
        crop for (crop,) in of_type(steps, 'RandomChoice')[0]['transforms']
    ]
    assert {crop['scale'] for crop in crops} == {train}
    official = key(path) in zoo_configs('official')
    kinds = {'bicubic', 'bilinear'} if official else {'bicubic'}
    assert {crop['interpolation'] for crop in crops} == kinds
    assert [step['scale'] for step in of_type(shown, 'ResizeEdge')] == [RESIZE[train, test]]
    assert [step['crop_size'] for step in of_type(shown, 'CenterCrop')] == [test]
    assert cfg.val_dataloader == cfg.test_dataloader
    levels = [step['magnitude_level'] for step in of_type(steps, 'RandAugment')]
    assert levels == ([] if level is None else [level])
    erased = 'deit3' not in path.stem and 'rsb' not in path.stem
    assert [s['erase_prob'] for s in of_type(steps, 'RandomErasing')] == [0.25] * erased
    jitter = {'deit3': 0.3, 'l_mmpretrain': 0.4}  # xl_mmpretrain ends in the second, too
    strength = next((v for k, v in jitter.items() if path.stem.endswith(k)), None)
    found = [step['brightness'] for step in of_type(steps, 'ColorJitter')]
    assert found == ([strength] if strength else [])

    gpus, images, parts = batch
    assert cfg.train_dataloader.batch_size == images
    assert cfg.optim_wrapper.get('accumulative_counts', 1) == parts
    assert cfg.auto_scale_lr.base_batch_size == gpus * images * parts
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (lr, decay)
    assert optimizer.type == ('DeviceLamb' if 'rsb' in path.stem else 'AdamW')
    assert (cfg.optim_wrapper.type == 'AmpOptimWrapper') == half
    assert cfg.optim_wrapper.get('clip_grad') == (
        dict(max_norm=10) if key(path) == 'l_rsb_a3' else None
    )
    assert cfg.param_scheduler[1].eta_min == lowest
    epochs = 100 if 'rsb' in path.stem else 310 if official else 300
    assert cfg.train_cfg.max_epochs == epochs

    mixup, cutmix = cfg.model.train_cfg.augments
    assert (mixup.type, mixup.alpha, cutmix.type, cutmix.alpha) == ('Mixup', alpha, 'CutMix', 1.0)
    assert cfg.model.head.loss.get('label_smooth_val') == (None if 'rsb' in path.stem else 0.1)
    averages = of_type(cfg.custom_hooks, 'EMAHook')
    assert [(a['momentum'], a.get('update_buffers', False)) for a in averages] == [
        (1e-4, official)
    ] * average
    for a in averages:  # 20 epochs of the 1 281 167 images
        if 'openmixup' in path.stem:
            assert a['warmup'] == 20 * math.ceil(math.ceil(1_281_167 / gpus) / images)
    other = {'SyncBuffersHook': official, 'PreciseBNHook': not official}
    assert all(len(of_type(cfg.custom_hooks, k)) == there for k, there in other.items())


def zoo_configs(family: str) -> list[str]:
    """Names of the configs whose published file is of this family."""
    files = {w.url for w in releases.WEIGHTS.values() if w.family == family}
    return [key(Path(model['Config'])) for model in INDEX if model['Weights'] in files]


@pytest.mark.parametrize('path', CONFIGS, ids=key)
def test_a_config_builds(path):
    """On the meta device, which has shapes and no numbers."""
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        whole = classifier(cfg)
    assert sum(p.numel() for p in whole.parameters()) == PARAMETERS[cfg.model.backbone.arch]
    assert whole.backbone.gate == RECIPES[key(path)][0]


@pytest.mark.parametrize(
    'name, expected',
    [
        ('xt', math.log(1000)),
        ('xt_openmixup', math.log(1000)),
        ('xt_256_deit3', math.log(1000)),
        ('xt_rsb_a3', 1000 * math.log(2)),  # binary cross-entropy, summed over classes
        ('xt_mmpretrain', math.log(1000)),
    ],
)
def test_a_model_of_each_family_computes_and_has_a_loss(name, expected):
    """Where all classes are alike, through preprocessing and mixed labels."""
    from mmpretrain.structures import DataSample

    whole = classifier(read(name)).train()
    for value in whole.head.parameters():
        torch.nn.init.zeros_(value)
    samples = [DataSample().set_gt_label(label) for label in (3, 7)]
    batch = dict(inputs=list(golden.image(32, 32, 2)), data_samples=samples)
    data = whole.data_preprocessor(batch, training=True)
    with torch.no_grad():
        maps, logits = whole.extract_feat(data['inputs']), whole(data['inputs'])
        loss = whole.loss(**data)['loss']
    assert [m.shape for m in maps] == [(2, 192)] and torch.isfinite(maps[0]).all()
    assert logits.shape == (2, 1000) and loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_loss_is_the_published_one():
    """Smoothed soft labels for cross-entropy; RSB A3: binary cross-entropy, summed over classes."""
    logits = torch.tensor([[2.0, -1.0, 0.5, 0.0]])
    mixed = torch.tensor([[0.7, 0.3, 0.0, 0.0]])
    losses = []
    for name in ('s', 's_rsb_a3'):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            loss = MODELS.build(dict(read(name).model.head.loss))
        losses.append(loss(logits, mixed, avg_factor=1).item())
    smooth = 0.9 * mixed + 0.1 / 4
    assert losses[0] == pytest.approx(-(smooth * logits.log_softmax(1)).sum().item())
    p = 1 / (1 + torch.exp(-logits))
    binary = -(mixed * p.log() + (1 - mixed) * (1 - p).log()).sum().item()
    assert losses[1] == pytest.approx(binary, rel=1e-5)


@pytest.mark.parametrize(
    'name',
    [
        's',
        't',
        'xt_256',
        's_openmixup',
        't_256_openmixup',
        't_256_deit3',
        's_rsb_a3',
        'xt_mmpretrain',
        'l_mmpretrain',
    ],
)
def test_the_pipelines_run(name, tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    cfg = read(name)
    _, train, test, *_ = RECIPES[name]
    for loader, size in [(cfg.train_dataloader, train), (cfg.test_dataloader, test)]:
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            pipeline = Compose(loader.dataset.pipeline)
        for _ in range(3):  # 3-Augment draws one of three
            found = pipeline(dict(img_path=str(tmp_path / 'a.png'), gt_label=1))
            assert found['inputs'].shape == (3, size, size)


def rates(name: str, epochs: int, length: int | None = None) -> list[float]:
    """lr that the config's schedulers give before each epoch; with ``length`` iterations an
    epoch, before each iteration."""
    cfg = read(name)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=cfg.optim_wrapper.optimizer.lr)
    total = epochs * (length or 1)
    schedulers = []
    for part in cfg.param_scheduler:
        part.setdefault('end', cfg.train_cfg.max_epochs if part.by_epoch else total)
        more = dict(epoch_length=length) if part.get('convert_to_iter_based') else {}
        more['optimizer'] = optimizer
        schedulers.append(PARAM_SCHEDULERS.build(part, default_args=more))
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return found


@pytest.mark.parametrize('name, lowest', [('t', 1e-6), ('s', 1e-5)])
def test_official_rates_follow_timm(name, lowest):
    lr = 1e-3

    def published(e: int) -> float:
        if e < 5:
            return 1e-5 + (lr - 1e-5) * e / 5
        return lowest + (lr - lowest) / 2 * (1 + math.cos(math.pi * e / 300)) if e < 300 else lowest

    # mmengine multiplies warm-up and cosine, timm takes the one and then the other: within 0.1 %
    assert rates(name, 310) == pytest.approx([published(e) for e in range(310)], rel=1e-3)


@pytest.mark.parametrize(
    'name, epochs, warm, ratio, lr, lowest',
    [
        ('s_openmixup', 300, 5, 1e-6, 1e-3, 1e-5),
        ('xl_openmixup', 300, 5, 1e-6, 1e-3, 1e-4),
        ('xt_256_deit3', 300, 20, 1e-6, 2e-3, 1e-6),
        ('s_rsb_a3', 100, 5, 1e-5, 6e-3, 1e-6),
    ],
)
def test_openmixup_rates_follow_mmcv(name, epochs, warm, ratio, lr, lowest):
    length = 20

    def published(i: int) -> float:
        running = lowest + (lr - lowest) / 2 * (1 + math.cos(math.pi * i / (epochs * length)))
        return running * (1 - max(0, 1 - i / (warm * length)) * (1 - ratio))

    wanted = [published(i) for i in range(epochs * length)]
    # of two factors mmengine lets the cosine's lowest rate in before the warm-up's factor, and
    # its warm-up ends an iteration early: 1 of 100 here, of 6260 in the training
    assert rates(name, epochs, length) == pytest.approx(wanted, rel=0.012, abs=lr * 1e-4)


def test_the_pull_requests_cosine_begins_at_iteration_5():
    length, lr, lowest = 20, 1e-3, 1e-5
    found, total = rates('s_mmpretrain', 300, length), 300 * length

    def cosine(i: int) -> float:
        return lowest + (lr - lowest) / 2 * (1 + math.cos(math.pi * (i - 5) / (total - 5)))

    assert found[0] == pytest.approx(lr * 1e-3)
    after = range(5 * length, total)
    assert found[5 * length :] == pytest.approx([cosine(i) for i in after], rel=2e-3)


@pytest.mark.parametrize('name', ['xt', 'xt_openmixup', 'xt_rsb_a3', 'xt_mmpretrain'])
def test_what_is_decayed(name):
    """By the rules of the three code bases, name by name."""
    cfg = read(name)
    cfg.optim_wrapper.type = 'OptimWrapper'  # half precision wants a GPU
    cfg.optim_wrapper.pop('loss_scale', None)
    whole = classifier(cfg)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        groups = build_optim_wrapper(whole, cfg.optim_wrapper).optimizer.param_groups
    decay = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    for parameter, value in whole.named_parameters():
        if name == 'xt':  # timm: tensors of one dimension; scales have four
            spared = value.ndim <= 1
        elif name == 'xt_mmpretrain':
            spared = value.ndim <= 1 or '.layer_scale' in parameter or '.scale' in parameter
        else:
            spared = any(word in parameter for word in ('norm', 'bias', 'scale'))
        wanted = 0 if spared else cfg.optim_wrapper.optimizer.weight_decay
        assert decay[id(value)] == wanted, parameter
    stem = dict(whole.named_parameters())['backbone.patch_embed1.projection.1.weight']
    assert (decay[id(stem)] > 0) == (name in ('xt_openmixup', 'xt_rsb_a3'))


def test_the_average_follows_closely_at_first():
    model = torch.nn.Linear(1, 1, bias=False)
    average = WarmupEMA(model, warmup=4, momentum=0.1)
    kept = [0.9 * ratio for ratio in (0.9, 0.925, 0.95, 0.975, 1.0, 1.0)]
    wanted = 0.0
    for step, share in enumerate(kept):
        model.weight.data.fill_(float(step + 1))
        average.update_parameters(model)
        # the first update copies
        wanted = share * wanted + (1 - share) * (step + 1) if step else 1.0
        assert average.module.weight.item() == pytest.approx(wanted)


def test_the_index_agrees_with_the_table_of_weights():
    known = {w.url: w for w in releases.WEIGHTS.values()}
    assert [model['Weights'] for model in INDEX] == list(known)
    assert len({model['Name'] for model in INDEX}) == len(INDEX) == 30
    assert {ROOT / model['Config'] for model in INDEX} == set(FILES.values())
    for model in INDEX:
        weights = known[model['Weights']]
        path = ROOT / model['Config']
        assert Config.fromfile(path).model.backbone.get('gate', 'single') == weights.gate
        assert model['Results'][0]['Metrics'].get('Top 1 Accuracy') == weights.top1
        assert weights.top1 is None or f'top-1 {weights.top1}' in path.read_text()
        arch = weights.name.split('_')[0]
        assert model['Metadata']['Parameters'] == PARAMETERS[arch]
        if weights.family == 'mmpretrain':
            assert model['Name'] + '.pth' == weights.url.rpartition('/')[2]


TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
HEAD = dict(weight=torch.full((1000, 32), 2.0), bias=torch.full((1000,), 3.0))


def wanted_state() -> dict:
    tensors = golden.fill(MogaNet(TINY)).state_dict()
    named = {f'backbone.{k}': v for k, v in tensors.items()}
    return named | {f'head.fc.{k}': v for k, v in HEAD.items()}


def official(state: dict) -> dict:
    return {k.removeprefix('backbone.').replace('head.fc.', 'head.'): v for k, v in state.items()}


def stripped(state: dict) -> dict:
    return {k.removeprefix('backbone.'): v for k, v in state.items()}


def same(found: dict, wanted: dict) -> bool:
    return found.keys() == wanted.keys() and all(found[k] is wanted[k] for k in wanted)


@pytest.mark.parametrize('names', [official, stripped, dict], ids=lambda f: f.__name__)
def test_a_classifier_of_any_family_gets_one_set_of_names(names):
    wanted = wanted_state()
    state = names(wanted)
    before = dict(state)
    assert same(classifier_state(state), wanted)
    assert same(state, before)  # a pure function
    wrapped = {f'module.{k}': v for k, v in state.items()}
    assert same(model_state({'state_dict': wrapped}), wanted)


def test_a_whole_classifier_is_read_as_its_average():
    wanted = wanted_state()
    raw = {k: torch.zeros_like(v) for k, v in wanted.items()}
    content = {'state_dict': official(raw), 'state_dict_ema': official(wanted), 'arch': 'x'}
    assert holds_average(content) and same(model_state(content), wanted)


@pytest.mark.parametrize('names', [dict, stripped], ids=lambda f: f.__name__)
@pytest.mark.parametrize('infix', ['backbone_', ''])
def test_flat_averages_take_the_place_of_raw_parameters(names, infix):
    raw = wanted_state()
    parameters = {n for n, _ in MogaNet(TINY).named_parameters()}
    flat, wanted = {}, dict(raw)
    for k in raw:
        inner = k.removeprefix('backbone.')
        if inner in parameters or k.startswith('head.'):
            wanted[k] = raw[k] * 2
            start = infix if k.startswith('backbone.') else ''
            flat[f'ema_{start}{inner}'.replace('.', '_')] = wanted[k]
    assert same(classifier_state({**names(raw), **flat}), wanted)
    assert holds_average({'state_dict': {**names(raw), **flat}}) and not holds_average(raw)
    flat.popitem()
    with pytest.raises(WeightsError, match='averages, but none of 1 parameters'):
        classifier_state({**names(raw), **flat})


def test_a_tensor_under_two_names_is_an_error():
    state = wanted_state()
    with pytest.raises(WeightsError, match='two values'):
        classifier_state(state | {'norm1.weight': state['backbone.norm1.weight']})


def test_a_classifier_takes_a_backbone_whole_and_a_head_of_another_size():
    from mmengine.runner import load_state_dict

    cfg = read('xt')
    cfg.model.head.update(num_classes=10, in_channels=32)
    cfg.model.backbone.arch = TINY
    whole = classifier(cfg)
    wanted = wanted_state()
    load_state_dict(whole, dict(official(wanted)))
    found = whole.state_dict()
    assert all(torch.equal(found[k], wanted[k]) for k in wanted if k.startswith('backbone.'))
    lacking = official(wanted)
    del lacking['norm1.weight']
    with pytest.raises(WeightsError, match=r'1 missing: norm1\.weight'):
        load_state_dict(whole, lacking)


# ---- through the command line


def by_hand(arch: str, gate: str, tensors: dict, pixels: torch.Tensor) -> torch.Tensor:
    """Logits (B, 1000) of RGB pixels (B, 3, H, W) in 0..255, by torch's own operations."""
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    net = MogaNet(arch, gate=gate).eval()
    net.load_state_dict(
        {k.removeprefix('backbone.'): v for k, v in tensors.items() if k.startswith('backbone.')}
    )
    x = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        pooled = net(x)[-1].mean((2, 3))
        return pooled @ tensors['head.fc.weight'].T + tensors['head.fc.bias']


def tensors_of(arch: str) -> dict:
    """Tensors of a classifier under mmpretrain's names, by formula; with larger layer
    scales, so that the gates differ more than rounding does."""
    net = golden.fill(MogaNet(arch))
    for name, value in net.named_parameters():
        if 'layer_scale' in name:
            value.data.mul_(4)
    width = net.channels[-1]
    named = {f'backbone.{k}': v for k, v in net.state_dict().items()}
    named['head.fc.weight'] = golden.value_of('head.fc.weight', (1000, width))
    named['head.fc.bias'] = golden.value_of('head.fc.bias', (1000,))
    return named


@pytest.fixture
def imagenet(tmp_path) -> tuple[Path, torch.Tensor]:
    """ImageNet's second layout with 4 images of 248 x 248, which only need to be cropped;
    the folder to work in, and the cropped pixels (4, 3, 224, 224). Labels are to be written."""
    root = tmp_path / 'data/imagenet'
    pixels = np.random.RandomState(1).randint(0, 256, (4, 248, 248, 3), dtype=np.uint8)
    for split in ('train', 'val'):
        (root / split).mkdir(parents=True)
        for i, image in enumerate(pixels):
            Image.fromarray(image).save(root / split / f'{i}.png')
    (root / 'meta').mkdir()
    inner = torch.tensor(pixels[:, 12:236, 12:236]).permute(0, 3, 1, 2).float()
    return tmp_path, inner


def write_labels(folder: Path, labels: list[int], split: str = 'val') -> None:
    lines = [f'{i}.png {label}\n' for i, label in enumerate(labels)]
    (folder / f'data/imagenet/meta/{split}.txt').write_text(''.join(lines))


@pytest.mark.slow
def test_an_official_file_is_evaluated_as_its_average(imagenet, cli, monkeypatch):
    folder, pixels = imagenet
    monkeypatch.chdir(folder)
    tensors = tensors_of('t')
    zeros = {k: torch.zeros_like(v) for k, v in tensors.items()}
    content = {'state_dict': official(zeros), 'state_dict_ema': official(tensors)}
    torch.save(content, folder / 'moganet_tiny_sz224_8xbs128_ep300.pth.tar')
    best = by_hand('t', 'single', tensors, pixels).argmax(1).tolist()
    write_labels(folder, [*best[:3], (best[3] + 1) % 1000])  # right for three of four
    output = cli(
        'test', 'configs/cls/moganet_t.py', 'moganet_tiny_sz224_8xbs128_ep300.pth.tar',
        '--out', 'm.json', '--show-dir', 'images',
        '--cfg-options', 'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
    )  # fmt: skip
    assert json.loads((folder / 'm.json').read_text())['accuracy/top1'] == 75.0
    assert 'reading the average' in output and 'Loaded all 777 tensors' in output
    assert re.search(r'top-1 accuracy %.*\ntest +75\b', output)
    assert len(list((folder / 'images').rglob('*.png'))) == 4


@pytest.mark.slow
def test_a_file_of_the_pull_request_brings_its_gate(imagenet, monkeypatch):
    """With a head that gives class 0 to the one gate, and class 1 to the other."""
    folder, pixels = imagenet
    monkeypatch.chdir(folder)
    tensors, file = tensors_of('t'), 'moganet-tiny_3rdparty_8xb128_in1k.pth'
    weight, bias = tensors['head.fc.weight'].zero_(), tensors['head.fc.bias'].fill_(-1e9)
    weight[:256], bias[:256] = torch.eye(256), 0  # what the head sees
    single, double = (by_hand('t', g, tensors, pixels[:1])[0, :256] for g in ('single', 'double'))
    weight.zero_(), bias.fill_(-1e9)
    weight[0], bias[0], bias[1] = 1e3 * (single - double), 0, 0
    bias[0] -= weight[0] @ (single + double) / 2
    torch.save({'state_dict': tensors}, file)
    options = ['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False']
    for label, asked in [(1, []), (0, ['model.backbone.gate=single'])]:
        write_labels(folder, [label])
        job = Job('configs/cls/moganet_t.py', cfg_options=[*options, *asked])
        assert evaluate(job, file)['accuracy/top1'] == 100.0


def test_absent_imagenet_is_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match='data not found: data/imagenet/val') as caught:
        evaluate(Job('configs/cls/moganet_t.py'), 'none.pth')
    assert 'expected for ImageNet-1k' in str(caught.value) and '--mini' not in str(caught.value)
    with pytest.raises(UserError, match='--mini supports mmdet'):
        evaluate(Job('configs/cls/moganet_t.py', mini=True), 'none.pth')


@pytest.mark.slow
@pytest.mark.parametrize(
    'name, checkpoint',
    [('b', 'ema_state_dict'), ('l_openmixup', 'ema_state_dict'), ('xt_rsb_a3', 'optimizer')],
)
def test_the_recipes_train(name, checkpoint, imagenet, monkeypatch):
    """Averages, PreciseBN, LAMB and accumulation, an epoch of four images each."""
    folder, _ = imagenet
    for split in ('train', 'val'):
        write_labels(folder, [0, 1, 2, 3], split)
    monkeypatch.chdir(folder)
    config = folder / 'small.py'
    config.write_text(SMALL.format(base=str(FILES[f'moganet_{name}']), arch=TINY))
    train(Job(config, work_dir='work'))
    saved = torch.load((folder / 'work/last_checkpoint').read_text(), weights_only=True)
    assert checkpoint in saved
    assert list((folder / 'work').glob('best_accuracy_top1_*.pth'))


SMALL = """
_base_ = {base!r}
model = dict(backbone=dict(arch=dict(_delete_=True, **{arch})), head=dict(in_channels=32))
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)
train_cfg = dict(max_epochs=1)
"""
