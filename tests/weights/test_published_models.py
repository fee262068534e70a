"""Files of the authors' detectors, segmentors and pose estimators: exactly their key names and
shapes, written out here from the published architecture, as mmdet 2.x, mmseg 0.x and
mmpose 0.x saved them. Each tensor has to land where it should, none may be left over."""

import json
import zlib

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from moganet_dense.config.mini_config import start_from_scratch
from moganet_dense.weights.conversion import WeightsError, model_state
from moganet_dense.weights.loading import load_strictly, read_checkpoint

SIZES = {  # C1..C4, depths; FFN ratios are 8 8 4 4
    'xt': ((32, 64, 96, 192), (3, 3, 10, 2)),
    's': ((64, 128, 320, 512), (2, 3, 12, 2)),
}


def norm(prefix: str, n: int) -> dict:
    vectors = ('weight', 'bias', 'running_mean', 'running_var')
    return {**{f'{prefix}.{v}': (n,) for v in vectors}, f'{prefix}.num_batches_tracked': ()}


def conv(prefix: str, *shape: int, bias: bool = True) -> dict:
    return {f'{prefix}.weight': shape, **({f'{prefix}.bias': shape[:1]} if bias else {})}


def conv_norm(prefix: str, *shape: int) -> dict:
    return {**conv(f'{prefix}.conv', *shape, bias=False), **norm(f'{prefix}.bn', shape[0])}


def backbone(arch: str) -> dict:
    widths, depths = SIZES[arch]
    half = widths[0] // 2
    keys = {
        **conv('patch_embed1.projection.0', half, 3, 3, 3),
        **norm('patch_embed1.projection.1', half),
        **conv('patch_embed1.projection.3', widths[0], half, 3, 3),
        **norm('patch_embed1.projection.4', widths[0]),
    }
    for i, (c, depth, ratio) in enumerate(zip(widths, depths, (8, 8, 4, 4), strict=True), 1):
        if i > 1:
            keys |= conv(f'patch_embed{i}.projection', c, widths[i - 2], 3, 3)
            keys |= norm(f'patch_embed{i}.norm', c)
        for j in range(depth):
            block, h = f'blocks{i}.{j}', ratio * c
            keys |= {f'{block}.layer_scale_{k}': (1, c, 1, 1) for k in (1, 2)}
            keys |= norm(f'{block}.norm1', c) | norm(f'{block}.norm2', c)
            for part in ('proj_1', 'gate', 'proj_2', 'value.PW_conv'):
                keys |= conv(f'{block}.attn.{part}', c, c, 1, 1)
            keys |= conv(f'{block}.attn.value.DW_conv0', c, 1, 5, 5)
            keys |= conv(f'{block}.attn.value.DW_conv1', 3 * c // 8, 1, 5, 5)
            keys |= conv(f'{block}.attn.value.DW_conv2', c // 2, 1, 7, 7)
            keys |= {f'{block}.attn.sigma.scale': (1, c, 1, 1)}
            keys |= conv(f'{block}.mlp.fc1', h, c, 1, 1)
            keys |= conv(f'{block}.mlp.dwconv', h, 1, 3, 3)
            keys |= conv(f'{block}.mlp.decompose', 1, h, 1, 1)
            keys |= {f'{block}.mlp.sigma.scale': (1, h, 1, 1)}
            keys |= conv(f'{block}.mlp.fc2', c, h, 1, 1)
        keys |= norm(f'norm{i}', c)
    return {f'backbone.{key}': shape for key, shape in keys.items()}


def fpn(widths, outputs: int) -> dict:
    keys = {}
    for level, c in enumerate(widths):
        keys |= conv(f'neck.lateral_convs.{level}.conv', 256, c, 1, 1)
    for level in range(outputs):
        wide = widths[-1] if level == len(widths) else 256  # the first extra one reads the input
        keys |= conv(f'neck.fpn_convs.{level}.conv', 256, wide, 3, 3)
    return keys


def retinanet(arch: str) -> dict:
    keys = fpn(SIZES[arch][0][1:], 5)
    for i in range(4):
        keys |= conv(f'bbox_head.cls_convs.{i}.conv', 256, 256, 3, 3)
        keys |= conv(f'bbox_head.reg_convs.{i}.conv', 256, 256, 3, 3)
    keys |= conv('bbox_head.retina_cls', 720, 256, 3, 3)
    return keys | conv('bbox_head.retina_reg', 36, 256, 3, 3)


def rpn() -> dict:
    return {
        **conv('rpn_head.rpn_conv', 256, 256, 3, 3),
        **conv('rpn_head.rpn_cls', 3, 256, 1, 1),
        **conv('rpn_head.rpn_reg', 12, 256, 1, 1),
    }


def mask_head(prefix: str) -> dict:
    keys = {}
    for i in range(4):
        keys |= conv(f'{prefix}.convs.{i}.conv', 256, 256, 3, 3)
    return keys | conv(f'{prefix}.upsample', 256, 256, 2, 2) | conv(
        f'{prefix}.conv_logits', 80, 256, 1, 1
    )  # fmt: skip


def box_head(prefix: str, boxes: int) -> dict:
    return {
        **conv(f'{prefix}.shared_fcs.0', 1024, 12544),
        **conv(f'{prefix}.shared_fcs.1', 1024, 1024),
        **conv(f'{prefix}.fc_cls', 81, 1024),
        **conv(f'{prefix}.fc_reg', boxes, 1024),
    }


def mask_rcnn(arch: str) -> dict:
    heads = box_head('roi_head.bbox_head', 320) | mask_head('roi_head.mask_head')
    return fpn(SIZES[arch][0], 4) | rpn() | heads


def cascade(arch: str) -> dict:
    keys = fpn(SIZES[arch][0], 4) | rpn()
    for i in range(3):
        keys |= box_head(f'roi_head.bbox_head.{i}', 4) | mask_head(f'roi_head.mask_head.{i}')
    return keys


def cascade_giou(arch: str) -> dict:
    keys = fpn(SIZES[arch][0], 4) | rpn()
    for i in range(3):
        head = f'roi_head.bbox_head.{i}'
        for j in range(4):
            keys |= conv_norm(f'{head}.shared_convs.{j}', 256, 256, 3, 3)
        keys |= conv(f'{head}.shared_fcs.0', 1024, 12544)
        keys |= conv(f'{head}.fc_cls', 81, 1024) | conv(f'{head}.fc_reg', 320, 1024)
        keys |= mask_head(f'roi_head.mask_head.{i}')
    return keys


def sem_fpn(arch: str) -> dict:
    keys = fpn(SIZES[arch][0], 4)
    for level, index in [(0, 0), (1, 0), (2, 0), (2, 2), (3, 0), (3, 2), (3, 4)]:
        wide = 128 if index else 256
        keys |= conv_norm(f'decode_head.scale_heads.{level}.{index}', 128, wide, 3, 3)
    return keys | conv('decode_head.conv_seg', 150, 128, 1, 1)


def upernet(arch: str) -> dict:
    widths, keys = SIZES[arch][0], {}
    for i in range(4):
        keys |= conv_norm(f'decode_head.psp_modules.{i}.1', 512, widths[3], 1, 1)
    keys |= conv_norm('decode_head.bottleneck', 512, widths[3] + 4 * 512, 3, 3)
    for i in range(3):
        keys |= conv_norm(f'decode_head.lateral_convs.{i}', 512, widths[i], 1, 1)
        keys |= conv_norm(f'decode_head.fpn_convs.{i}', 512, 512, 3, 3)
    keys |= conv_norm('decode_head.fpn_bottleneck', 512, 4 * 512, 3, 3)
    keys |= conv('decode_head.conv_seg', 150, 512, 1, 1)
    keys |= conv_norm('auxiliary_head.convs.0', 256, widths[2], 3, 3)
    return keys | conv('auxiliary_head.conv_seg', 150, 256, 1, 1)


def pose(arch: str) -> dict:
    keys, wide = {}, SIZES[arch][0][3]
    for i in (0, 3, 6):
        keys |= conv(f'keypoint_head.deconv_layers.{i}', wide, 256, 4, 4, bias=False)
        keys |= norm(f'keypoint_head.deconv_layers.{i + 1}', 256)
        wide = 256
    return keys | conv('keypoint_head.final_layer', 17, 256, 1, 1)


PUBLISHED = {
    'det/retinanet_moganet_xt': (retinanet, 'xt'),
    'det/retinanet_moganet_s': (retinanet, 's'),
    'det/mask_rcnn_moganet_xt': (mask_rcnn, 'xt'),
    'det/mask_rcnn_moganet_s_ms_3x': (mask_rcnn, 's'),
    'det/cascade_mask_rcnn_moganet_s_ms_3x': (cascade, 's'),
    'det/cascade_mask_rcnn_moganet_s_giou_ms_3x': (cascade_giou, 's'),
    'seg/sem_fpn_moganet_xt': (sem_fpn, 'xt'),
    'seg/upernet_moganet_xt': (upernet, 'xt'),
    'seg/upernet_moganet_s': (upernet, 's'),
    'pose/topdown_moganet_xt_256x192': (pose, 'xt'),
    'pose/topdown_moganet_s_384x288': (pose, 's'),
}


def filled(shapes: dict) -> dict:
    """Tensors of these shapes, each of values of its own."""
    state = {}
    for key, shape in shapes.items():
        draw = torch.Generator().manual_seed(zlib.crc32(key.encode()))
        state[key] = torch.rand(shape, generator=draw) * 0.02 + 0.01
        if key.endswith('num_batches_tracked'):
            state[key] = torch.tensor(len(key))
    return state


def published_file(name: str, path) -> dict:
    """Writes a file as those toolboxes saved it; returns its state dict."""
    heads, arch = PUBLISHED[name]
    state = filled(backbone(arch) | heads(arch))
    meta = dict(epoch=12, iter=87963, mmcv_version='1.6.0', CLASSES=('person', 'bicycle'))
    torch.save({'meta': meta, 'state_dict': state}, path)
    return state


SAME_HEADS = {'det/retinanet_moganet_s', 'det/mask_rcnn_moganet_s_ms_3x', 'seg/upernet_moganet_s',
              'pose/topdown_moganet_s_384x288'}  # fmt: skip
"""As those of xt, which is smaller."""


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [pytest.param(n, marks=pytest.mark.long if n in SAME_HEADS else ()) for n in PUBLISHED],
)
def test_every_tensor_lands_and_none_is_left_over(name, tmp_path):
    written = published_file(name, tmp_path / 'published.pth')
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    start_from_scratch(cfg)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    load_strictly(model, model_state(read_checkpoint(tmp_path / 'published.pth')))
    held = model.state_dict()
    assert len(held) == len(written)
    for key, value in written.items():
        key = key.replace('keypoint_head.', 'head.')
        assert torch.equal(held[key], value), key


def test_a_file_of_another_method_is_refused(tmp_path):
    published_file('det/retinanet_moganet_xt', tmp_path / 'published.pth')
    cfg = Config.fromfile(ROOT / 'configs/det/mask_rcnn_moganet_xt.py')
    start_from_scratch(cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    with pytest.raises(WeightsError, match='missing: neck.lateral_convs.3.conv.weight'):
        load_strictly(model, model_state(read_checkpoint(tmp_path / 'published.pth')))


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    ['det/mask_rcnn_moganet_xt', 'seg/sem_fpn_moganet_xt', 'pose/topdown_moganet_xt_256x192'],
)
def test_the_command_evaluates_a_published_file(name, workspace, cli):
    written = published_file(name, workspace / 'published.pth')
    small = ['--mini', '--out', 'm.json', '--cfg-options', 'test_dataloader.dataset.indices=2']
    small.append('test_dataloader.batch_size=1')
    cli('test', ROOT / f'configs/{name}.py', 'published.pth', *small)
    (log,) = (file.read_text() for file in workspace.glob('work_dirs/*/*/*.log'))
    assert f'Loaded all {len(written)} tensors' in log
    assert '[2/2]' in log
    if not name.startswith('det/'):  # with such weights there are no boxes to measure
        assert json.loads((workspace / 'm.json').read_text())
