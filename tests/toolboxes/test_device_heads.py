"""Detectors whose parts do not wait for a GPU, against mmdet's own parts with the same weights."""

import copy

import pytest
import torch
from conftest import ROOT
from counted_waits import waits

pytest.importorskip('mmdet')

import numpy as np
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

from moganet_dense.toolboxes.device_parts import PREFIX, extended_name

SIZES = [(64, 96), (50, 40), (33, 96)]
"""Of the images of a batch: the second and third have cells of the grid beyond their border."""


def plain(node):
    """A part of a config with mmdet's own classes."""
    if isinstance(node, dict):
        return {k: extended_name(v) if k == 'type' and isinstance(v, str) else plain(v)
                for k, v in node.items()}  # fmt: skip
    return [plain(v) for v in node] if isinstance(node, list) else node


def built(cfg: dict) -> torch.nn.Module:
    with DefaultScope.overwrite_default_scope('mmdet'):
        torch.manual_seed(0)
        return MODELS.build(ConfigDict(copy.deepcopy(cfg)))


def detector(name: str) -> dict:
    """The model of a config, narrow, with a backbone of one stage's cost."""
    model = Config.fromfile(ROOT / f'configs/det/{name}.py').model.to_dict()
    model['backbone'] = dict(type='ResNet', depth=18, base_channels=8, init_cfg=None)
    model['neck'].update(in_channels=[8, 16, 32, 64], out_channels=16)
    for part in ('bbox_head', 'rpn_head'):
        if part in model:
            model[part].update(in_channels=16, feat_channels=16)
    model.get('bbox_head', {}).pop('stacked_convs', None)
    if roi := model.get('roi_head'):
        heads = roi['bbox_head'] if isinstance(roi['bbox_head'], list) else [roi['bbox_head']]
        for head in heads:
            head.update(in_channels=16, fc_out_channels=32)
            if 'conv_out_channels' in head:
                head.update(conv_out_channels=8, norm_cfg=dict(type='BN'))
        for part in ('bbox_roi_extractor', 'mask_roi_extractor'):
            if roi.get(part):
                roi[part].update(out_channels=16)
        if roi.get('mask_head'):
            roi['mask_head'].update(in_channels=16, conv_out_channels=16, num_convs=1)
    return model


def batch(objects: tuple[int, ...]) -> dict:
    """Noise with boxes and masks; ``objects`` of each image."""
    random = np.random.RandomState(len(objects) + sum(objects))
    images, samples = [], []
    for (height, width), count in zip(SIZES, objects, strict=False):
        start = random.rand(count, 2) * [width, height] * 0.7
        end = np.minimum(start + 5 + random.rand(count, 2) * 40, [width, height])
        boxes = torch.from_numpy(np.concatenate([start, end], 1)).float()
        masks = (random.rand(count, height, width) > 0.4).astype(np.uint8)
        size = (height, width)
        sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1, 1)))
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.from_numpy(random.randint(0, 80, count)),
            masks=BitmapMasks(masks, height, width),
        )  # fmt: skip
        sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=torch.zeros(0).long())
        images.append(torch.from_numpy(random.randint(0, 255, (3, height, width))).byte())
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


def losses_and_gradients(model: torch.nn.Module, data: dict) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    model.zero_grad()
    found = model(**model.data_preprocessor(copy.deepcopy(data), True), mode='loss')
    total, _ = model.parse_losses(found)
    total.backward()
    values = {k: torch.stack([*v]) if isinstance(v, list) else v for k, v in found.items()}
    return {**values, **{k: p.grad for k, p in model.named_parameters() if p.grad is not None}}


CONFIGS = ('retinanet_moganet_s', 'mask_rcnn_moganet_s', 'cascade_mask_rcnn_moganet_s_ms_3x',
           'cascade_mask_rcnn_moganet_s_giou_ms_3x', 'faster_rcnn_moganet_s')  # fmt: skip


@pytest.fixture(scope='module', params=CONFIGS)
def pair(request):
    """A detector of ours and mmdet's, with the same weights."""
    cfg = detector(request.param)
    assert PREFIX in str(cfg) and f"'{PREFIX}" not in str(plain(cfg))
    ours, theirs = built(cfg), built(plain(cfg))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.slow
@pytest.mark.parametrize('objects', [(3, 1, 7), (0, 5, 0), (0, 0)], ids=str)
def test_losses_and_gradients_are_bitwise_equal(pair, objects):
    ours, theirs = (losses_and_gradients(model, batch(objects)) for model in pair)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
        assert ours[name].dtype == value.dtype


@pytest.mark.parametrize('shape', [(64, 96), (50, 40), (1, 96), (33, 65)], ids=str)
def test_anchors_within_the_image_are_those_of_mmdet(pair, shape):
    sizes = [(-(-64 // s), -(-96 // s)) for s in (4, 8, 16, 32, 64)]
    heads = [getattr(m, 'rpn_head', None) or m.bbox_head for m in pair]
    metas = [dict(pad_shape=shape), dict(pad_shape=(64, 96))]
    ours, theirs = (head.get_anchors(sizes, metas, 'cpu') for head in heads)
    for part, other in zip(ours, theirs, strict=True):
        for levels, others in zip(part, other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(levels, others, strict=True))


@pytest.mark.slow
def test_predictions_are_bitwise_equal(pair):
    found = []
    for model in pair:
        model.eval()
        with torch.no_grad():
            data = model.data_preprocessor(batch((1, 1)), False)
            found.append(model(**data, mode='predict'))
        model.train()
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours.pred_instances.bboxes, theirs.pred_instances.bboxes)
        assert torch.equal(ours.pred_instances.scores, theirs.pred_instances.scores)


@pytest.mark.slow
def test_what_is_left_to_wait_for(pair):
    """Per batch, not per object: for a RetinaNet nothing but what a CPU alone has (one-hot labels
    of the focal loss, two for each of five levels)."""
    ours, theirs = pair
    data = ours.data_preprocessor(batch((30, 1, 7)), True)
    for model in pair:  # box coders of ours copy their constants once
        model(**data, mode='loss')
    few, many = (waits(lambda m=model: m(**data, mode='loss')) for model in (ours, theirs))
    kind = type(ours).__name__
    images = 0 if kind == 'RetinaNet' else 3  # each waits for NMS
    left = {'RetinaNet': 10, 'CascadeRCNN': 9}.get(kind, 4)
    assert few == left + images and many > 3 * few


@pytest.mark.slow
@pytest.mark.parametrize(
    'assigner',
    [
        dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
        dict(type='DeviceMaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, ignore_iof_thr=0.5),
        dict(type='DeviceMaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, gpu_assign_thr=1),
    ],
    ids=str,
)
def test_options_of_mmdet_work(assigner):
    """A config of a user with another assigner, box loss and weight."""
    cfg = detector('retinanet_moganet_s')
    cfg['bbox_head'].update(loss_bbox=dict(type='GIoULoss'), reg_decoded_bbox=True)
    cfg['train_cfg'].update(assigner=assigner, pos_weight=3.0)
    ours, theirs = (losses_and_gradients(built(c), batch((2, 1))) for c in (cfg, plain(cfg)))
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


TWO_STAGES = {
    'sampler of mmdet': lambda rcnn, rpn, model: rcnn['sampler'].update(type='RandomSampler'),
    'other shares': lambda rcnn, rpn, model: (
        rcnn.update(pos_weight=3.0),
        rcnn['sampler'].update(num=20, pos_fraction=0.1, neg_pos_ub=2),
    ),
    'no objects among regions': lambda rcnn, rpn, model: rcnn['sampler'].update(
        add_gt_as_proposals=False
    ),
    'large proposals': lambda rcnn, rpn, model: rpn.update(min_bbox_size=30, max_per_img=50),
    'no proposals': lambda rcnn, rpn, model: rpn.update(min_bbox_size=3000),
    'one nms for all levels': lambda rcnn, rpn, model: rpn['nms'].update(class_agnostic=True),
    'level by level': lambda rcnn, rpn, model: rpn['nms'].update(split_thr=10),
    'anchors inside': lambda rcnn, rpn, model: model['train_cfg']['rpn'].update(allowed_border=0),
    'one level': lambda rcnn, rpn, model: model['roi_head'].update(
        bbox_roi_extractor=dict(model['roi_head']['bbox_roi_extractor'], featmap_strides=[4])
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['mask_rcnn_moganet_s', 'cascade_mask_rcnn_moganet_s_ms_3x'])
@pytest.mark.parametrize('change', TWO_STAGES)
def test_options_of_two_stages(change, name):
    cfg = detector(name)
    stages = cfg['train_cfg']['rcnn']
    for rcnn in stages if isinstance(stages, list) else [stages]:
        TWO_STAGES[change](rcnn, cfg['train_cfg']['rpn_proposal'], cfg)
    ours, theirs = (losses_and_gradients(built(c), batch((2, 1))) for c in (cfg, plain(cfg)))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_the_giou_loss_is_mmdets(dtype):
    from mmdet.models.losses import GIoULoss

    from moganet_dense.toolboxes.device_parts.box_losses import DeviceGIoULoss

    random = torch.Generator().manual_seed(0)
    corners = torch.randint(0, 6, (2, 80, 2, 2), generator=random).double() * 7  # some of no area
    boxes, wanted = (torch.cat([c.amin(1), c.amax(1)], 1) for c in corners)
    weights = torch.ones(80, 4)
    for options in (dict(), dict(avg_factor=7), dict(avg_factor=5.0, reduction_override='none')):
        if options.get('reduction_override'):
            options = dict(reduction_override='none')
        results = []
        for kind in (DeviceGIoULoss, GIoULoss):
            asked = boxes.to(dtype).requires_grad_()
            loss = kind(loss_weight=3.0)(
                asked, wanted.to(asked.dtype), weights.to(dtype), **options
            )
            loss.sum().backward()
            results.append((loss, asked.grad))
        for ours, theirs in zip(*results, strict=True):
            assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    assert waits(lambda: DeviceGIoULoss()(boxes, wanted, weights, avg_factor=3)) == 0


def test_an_image_smaller_than_all_anchors_is_an_error_as_in_mmdet():
    cfg = detector('mask_rcnn_moganet_s')
    cfg['train_cfg']['rpn'].update(allowed_border=0)
    cfg['rpn_head']['anchor_generator']['scales'] = [100]
    for each in (cfg, plain(cfg)):
        with pytest.raises(ValueError, match='no valid anchor inside the image'):
            losses_and_gradients(built(each), batch((1,)))
