"""Rates of every parameter under layer-wise decay, against tables written out by hand."""

import pytest
import torch
import torch.nn as nn
from conftest import ROOT
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope

from moganet_dense import ARCHITECTURES, MogaNet
from moganet_dense.engine.layer_decay import layer_id

CASCADE = ROOT / 'configs/det/cascade_mask_rcnn_moganet_b_giou_ms_3x.py'

# 0.8 to the power of 13 - id, rounded as in the published description
PUBLISHED = {
    'backbone.patch_embed1.': 0.0550,
    'backbone.blocks1.': 0.0859,
    'backbone.patch_embed2.': 0.1074,
    'backbone.blocks2.': 0.1074,
    'backbone.patch_embed3.': 0.1342,
    'backbone.blocks3.0.': 0.1074,
    'backbone.blocks3.1.': 0.1074,
    'backbone.blocks3.2.': 0.1342,
    'backbone.blocks3.3.': 0.1342,
    'backbone.blocks3.4.': 0.1678,
    'backbone.blocks3.5.': 0.1678,
    'backbone.blocks3.6.': 0.2097,
    'backbone.blocks3.7.': 0.2097,
    'backbone.blocks3.8.': 0.2621,
    'backbone.blocks3.9.': 0.2621,
    'backbone.blocks3.10.': 0.3277,
    'backbone.blocks3.11.': 0.3277,
    'backbone.blocks3.12.': 0.4096,
    'backbone.blocks3.13.': 0.4096,
    'backbone.blocks3.14.': 0.512,
    'backbone.blocks3.15.': 0.512,
    'backbone.blocks3.16.': 0.64,
    'backbone.blocks3.17.': 0.64,
    'backbone.blocks3.18.': 0.64,
    'backbone.blocks3.19.': 0.64,
    'backbone.blocks3.20.': 0.64,
    'backbone.blocks3.21.': 0.64,
    'backbone.patch_embed4.': 0.8,
    'backbone.blocks4.': 0.8,
    'backbone.norm': 1.0,
    'neck.': 1.0,
    'rpn_head.': 1.0,
    'roi_head.': 1.0,
}


def built(cfg: Config, **paramwise) -> tuple[nn.Module, dict[int, dict]]:
    """A model and the group of each of its parameters, by identity."""
    cfg.model.backbone.init_cfg = None
    cfg.optim_wrapper.paramwise_cfg.update(paramwise)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    return model, {id(p): g for g in wrapper.optimizer.param_groups for p in g['params']}


def test_every_parameter_of_the_published_cascade_has_its_rate_and_decay():
    model, groups = built(Config.fromfile(CASCADE))
    assert len(groups) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        (rate,) = (rate for prefix, rate in PUBLISHED.items() if name.startswith(prefix))
        group = groups[id(parameter)]
        assert group['lr'] == pytest.approx(1e-4 * rate, rel=1e-3), name
        vector = max(parameter.shape) == parameter.numel()  # at most one axis longer than 1
        expected = 0.0 if vector or name.endswith('.bias') else 0.05
        assert group['weight_decay'] == expected, name


@pytest.mark.parametrize(
    'name',
    [
        'backbone.blocks2.0.layer_scale_1',
        'backbone.blocks2.0.attn.sigma.scale',
        'backbone.blocks2.0.mlp.decompose.weight',
        'backbone.patch_embed1.projection.1.weight',
        'roi_head.bbox_head.0.shared_convs.0.bn.weight',
    ],
)
def test_vectors_of_four_axes_are_not_decayed(name):
    model, groups = built(Config.fromfile(CASCADE))
    assert groups[id(dict(model.named_parameters())[name])]['weight_decay'] == 0.0


# ids of arch xt (blocks 3, 3, 10, 2: 18 in all) spread over 1..12: 1 + 12 k / 18, rounded down
CORRECTED_XT = {
    'patch_embed1': 0,
    'blocks1.0': 1, 'blocks1.1': 1, 'blocks1.2': 2, 'norm1': 2,
    'patch_embed2': 3, 'blocks2.0': 3, 'blocks2.1': 3, 'blocks2.2': 4, 'norm2': 4,
    'patch_embed3': 5, 'blocks3.0': 5, 'blocks3.1': 5, 'blocks3.2': 6, 'blocks3.3': 7,
    'blocks3.4': 7, 'blocks3.5': 8, 'blocks3.6': 9, 'blocks3.7': 9, 'blocks3.8': 10,
    'blocks3.9': 11, 'norm3': 11,
    'patch_embed4': 11, 'blocks4.0': 11, 'blocks4.1': 12, 'norm4': 12,
}  # fmt: skip


def test_the_corrected_rule_spreads_the_blocks_evenly():
    depths = ARCHITECTURES['xt']['depths']
    for name, expected in CORRECTED_XT.items():
        assert layer_id(f'backbone.{name}.weight', depths, 'corrected') == expected, name
    assert layer_id('neck.x.weight', depths, 'corrected') == 13


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_corrected_ids_never_fall_on_the_way_through_the_network(arch):
    with torch.device('meta'):
        net = MogaNet(arch)
    depths = ARCHITECTURES[arch]['depths']
    order = [f'backbone.{name}' for name, _ in net.named_parameters()]
    trunk = []
    for i in range(1, 5):
        for part in (f'patch_embed{i}', f'blocks{i}', f'norm{i}'):
            trunk += [name for name in order if name.startswith(f'backbone.{part}.')]
    ids = [layer_id(name, depths, 'corrected') for name in trunk]
    assert len(trunk) == len(order) and ids == sorted(ids)
    assert set(ids) == set(range(13))


def test_a_rule_can_be_chosen_by_name():
    _, groups = built(Config.fromfile(CASCADE), rule='corrected')
    rates = sorted({round(group['lr'] / 1e-4, 4) for group in groups.values()})
    assert rates == [round(0.8**k, 4) for k in range(13, -1, -1)]


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(rule='best'), 'expected a rule of published, corrected'),
        (dict(decay_rate=1.5), '0 < decay_rate <= 1'),
        (dict(num_layers=6), "unknown .'num_layers'.; valid: decay_rate, rule"),
    ],
)
def test_a_wrong_option_is_an_error(options, said):
    with pytest.raises(ValueError, match=said):
        built(Config.fromfile(CASCADE), **options)


def test_another_backbone_is_an_error():
    model = nn.Module()
    model.backbone = nn.Linear(1, 1)
    with pytest.raises(TypeError, match='needs a MogaNet backbone, found Linear'):
        build_optim_wrapper(model, Config.fromfile(CASCADE).optim_wrapper)
