"""DDP waits for the gradient of every parameter: all must get one, whatever the images hold."""

import re

import pytest
import torch
from conftest import ROOT
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData

from moganet_dense.config.reading import read_config
from moganet_dense.toolboxes.build import build

ARCH = dict(embed_dims=(8, 8, 8, 8), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
KINDS = [
    'det/retinanet_moganet_xt.py',
    'det/mask_rcnn_moganet_xt.py',
    'det/cascade_mask_rcnn_moganet_s_giou_ms_3x.py',
    'seg/sem_fpn_moganet_xt.py',
    'seg/upernet_moganet_xt.py',
    'pose/topdown_moganet_xt_256x192.py',
    'cls/moganet_xt.py',
]
"""A config of every kind of model; those with masks stand for those without."""


def test_no_config_asks_for_unused_parameters():
    """What configs/heads take from a toolbox is looked at in tests/test_heads.py."""
    for path in (ROOT / 'configs').rglob('*.py'):
        text = path.read_text()
        assert set(re.findall(r'find_unused_parameters\s*=\s*(\w+)', text)) <= {'False'}, path
        if '::' in text and path.parent.name != 'heads':
            assert not read_config(path).get('find_unused_parameters'), path


def narrow(model: dict) -> None:
    """Fits heads and necks to the widths of :data:`ARCH`."""
    model.backbone.arch = ARCH
    for name in ('neck', 'decode_head', 'auxiliary_head', 'head'):
        part = model.get(name) or {}
        if 'in_channels' in part and not (name == 'decode_head' and model.get('neck')):
            many = isinstance(part.in_channels, (list, tuple))
            part.in_channels = [8] * 4 if many else 8
    heads = (model.get('roi_head') or {}).get('bbox_head', [])
    for head in heads if isinstance(heads, list) else [heads]:
        head.fc_out_channels = 8
    parts = (model.get('train_cfg') or {}).get('rcnn', [])
    for part in parts if isinstance(parts, list) else [parts]:
        part.sampler.num = 16


def sample(scope: str, empty: bool):
    """A batch of two images as the task's data preprocessor returns it."""
    if scope == 'mmdet':
        from mmdet.testing import demo_mm_inputs

        count = [0, 0] if empty else [2, 3]
        packed = demo_mm_inputs(2, [[3, 64, 64]] * 2, num_items=count, with_mask=True)
        for one in packed['data_samples']:
            one.set_metainfo(dict(pad_shape=(64, 64), batch_input_shape=(64, 64)))
        return torch.rand(2, 3, 64, 64), packed['data_samples']
    if scope == 'mmpose':
        from mmpose.testing import get_packed_inputs

        packed = get_packed_inputs(2, input_size=(192, 256), heatmap_size=(48, 64))
        return torch.rand(2, 3, 256, 192), packed['data_samples']
    if scope == 'mmseg':
        from mmseg.structures import SegDataSample

        labels = torch.full((1, 64, 64), 255) if empty else torch.randint(0, 150, (1, 64, 64))
        made = [SegDataSample(gt_sem_seg=PixelData(data=labels)) for _ in range(2)]
        for one in made:
            one.set_metainfo(dict(img_shape=(64, 64)))
        return torch.rand(2, 3, 64, 64), made
    from mmpretrain.structures import DataSample

    return torch.rand(2, 3, 64, 64), [DataSample().set_gt_label(k) for k in (1, 2)]


@pytest.mark.slow
@pytest.mark.parametrize('empty', [False, True], ids=['objects', 'none'])
@pytest.mark.parametrize('config', KINDS)
def test_every_parameter_gets_a_gradient(config, empty):
    cfg = read_config(config)
    if empty and cfg.default_scope in ('mmpose', 'mmpretrain'):
        pytest.skip('every sample has a person, or a class')
    narrow(cfg.model)
    model = build(cfg).train()
    inputs, samples = sample(cfg.default_scope, empty)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        loss, _ = model.parse_losses(model(inputs, samples, mode='loss'))
    loss.backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
