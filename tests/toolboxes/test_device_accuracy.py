"""Accuracies of pose estimators and segmentors on the device, against the toolboxes' own."""

import copy

import numpy as np
import pytest
import torch
from counted_waits import waits
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData


def built(cfg: dict, scope: str) -> torch.nn.Module:
    with DefaultScope.overwrite_default_scope(scope):
        torch.manual_seed(0)
        return MODELS.build(ConfigDict(copy.deepcopy(cfg)))


@pytest.mark.parametrize('case', range(12))
def test_accuracy_of_keypoints(case):
    mmpose = pytest.importorskip('mmpose.evaluation.functional')
    from moganet_dense.toolboxes.device_parts.heatmap_head import keypoint_accuracy

    random = torch.Generator().manual_seed(case)
    shape = (case + 1, 17, 16, 12)
    wanted = torch.randint(0, 9, shape, generator=random).float()  # with equal peaks
    wrong = torch.rand(*shape[:2], 1, 1, generator=random) < 0.4
    found = wanted + torch.randn(shape, generator=random) * wrong * 3
    found[0, :5], wanted[-1, 3:7] = 0.0, -1.0  # without a peak
    weights = torch.randint(0, 2, shape[:2], generator=random).float()
    weights[:, 2] = 0  # a keypoint that no instance has
    if case == 11:
        weights[:] = 0
    _, expected, _ = mmpose.pose_pck_accuracy(found.numpy(), wanted.numpy(), (weights > 0).numpy())
    got = keypoint_accuracy(found, wanted, weights > 0)
    assert got.dtype == torch.float64 and float(got) == pytest.approx(float(expected), abs=1e-14)
    assert (expected < 0.2) == (case == 11)
    assert waits(lambda: keypoint_accuracy(found, wanted, weights > 0)) == 0


def test_a_pose_head_trains_as_mmposes():
    pytest.importorskip('mmpose')
    from mmpose.structures import PoseDataSample

    cfg = dict(
        in_channels=8, out_channels=5, deconv_out_channels=(8,), deconv_kernel_sizes=(4,),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
    )  # fmt: skip
    ours, theirs = (built(dict(cfg, type=t), 'mmpose') for t in ('DeviceHeatmapHead',
                                                                 'HeatmapHead'))  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    random = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(4):
        sample = PoseDataSample()
        sample.gt_fields = PixelData(heatmaps=torch.rand(5, 16, 12, generator=random))
        sample.gt_instance_labels = InstanceData(keypoint_weights=torch.ones(1, 5))
        samples.append(sample)
    feats = (torch.randn(4, 8, 8, 6, generator=random),)
    results = [head.loss(feats, samples, dict()) for head in (ours, theirs)]
    assert list(results[0]) == list(results[1]) == ['loss_kpt', 'acc_pose']
    assert torch.equal(results[0]['loss_kpt'], results[1]['loss_kpt'])
    assert float(results[0]['acc_pose']) == pytest.approx(float(results[1]['acc_pose']), abs=1e-14)
    assert list(ours.loss(feats, samples, dict(compute_acc=False))) == ['loss_kpt']


@pytest.mark.parametrize('case', range(4))
def test_a_simcc_head_trains_as_mmposes(case):
    pytest.importorskip('mmpose')
    from mmpose.structures import PoseDataSample

    cfg = dict(
        in_channels=8, out_channels=5, input_size=(48, 64), in_featuremap_size=(6, 8),
        simcc_split_ratio=2.0, final_layer_kernel_size=1,
        gau_cfg=dict(hidden_dims=16, s=8, expansion_factor=2, dropout_rate=0.0, drop_path=0.0,
                     act_fn='SiLU', use_rel_bias=False, pos_enc=False),
        loss=dict(type='KLDiscretLoss', use_target_weight=True, beta=10.0, label_softmax=True),
    )  # fmt: skip
    ours, theirs = (built(dict(cfg, type=t), 'mmpose') for t in ('DeviceRTMCCHead', 'RTMCCHead'))
    theirs.load_state_dict(ours.state_dict())
    random = torch.Generator().manual_seed(case)
    samples = []
    for _ in range(6):
        sample = PoseDataSample()
        parts = {f'keypoint_{a}_labels': torch.rand(1, 5, n, generator=random).sub(case / 3)
                 for a, n in (('x', 96), ('y', 128))}  # fmt: skip
        weights = torch.randint(0, 2, (1, 5), generator=random).float() * (case < 3)
        sample.gt_instance_labels = InstanceData(keypoint_weights=weights, **parts)
        samples.append(sample)
    feats = (torch.randn(6, 8, 8, 6, generator=random) * 30,)
    if case == 1:  # most are right
        with torch.no_grad():
            for axis, found in zip('xy', ours(feats), strict=True):
                for sample, values in zip(samples, found.relu()[:, None], strict=True):
                    setattr(sample.gt_instance_labels, f'keypoint_{axis}_labels', values)
    results = [head.loss(feats, samples, dict()) for head in (ours, theirs)]
    assert list(results[0]) == list(results[1]) == ['loss_kpt', 'acc_pose']
    assert torch.equal(results[0]['loss_kpt'], results[1]['loss_kpt'])
    ours_acc, theirs_acc = (each['acc_pose'] for each in results)
    assert ours_acc.dtype == torch.float64 and ours_acc.shape == theirs_acc.shape == ()
    assert float(ours_acc) == pytest.approx(float(theirs_acc), abs=1e-14)
    assert (float(ours_acc) > 0.9) == (case == 1)
    assert waits(lambda: ours.loss(feats, samples, dict())) == 0
    assert waits(lambda: theirs.loss(feats, samples, dict())) > 4


@pytest.mark.parametrize('ignored', [0.0, 0.3, 1.0])
def test_accuracy_of_pixels(ignored):
    mmseg = pytest.importorskip('mmseg.models.losses.accuracy')
    from moganet_dense.toolboxes.device_parts.segmentation_heads import pixel_accuracy

    random = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 4, (2, 5, 31, 17), generator=random).float()  # with equal scores
    labels = torch.randint(0, 5, (2, 31, 17), generator=random)
    labels[torch.rand(labels.shape, generator=random) < ignored] = 255
    found = pixel_accuracy(scores, labels, 255)
    assert torch.equal(found, mmseg.accuracy(scores, labels, ignore_index=255))
    assert waits(lambda: pixel_accuracy(scores, labels, 255)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        ('UPerHead', dict(in_channels=[8, 8], in_index=[0, 1], pool_scales=(1, 2))),
        ('FPNHead', dict(in_channels=[8, 8], in_index=[0, 1], feature_strides=[4, 8])),
        ('FCNHead', dict(in_channels=8, in_index=1, num_convs=1)),
    ],
)
def test_a_head_trains_as_mmsegs(kind, options):
    pytest.importorskip('mmseg')
    from mmseg.structures import SegDataSample

    several = [dict(type='CrossEntropyLoss', loss_name='loss_a', loss_weight=0.3)] * 2
    cfg = dict(options, channels=8, num_classes=5, dropout_ratio=0, align_corners=False,
               norm_cfg=dict(type='BN'), loss_decode=several)  # fmt: skip
    ours, theirs = (built(dict(cfg, type=t), 'mmseg') for t in (f'Device{kind}', kind))
    theirs.load_state_dict(ours.state_dict())
    random = torch.Generator().manual_seed(0)
    feats = [torch.randn(2, 8, 16 // k, 24 // k, generator=random) for k in (1, 2)]
    samples = []
    for _ in range(2):
        labels = torch.randint(0, 5, (1, 64, 96), generator=random)
        labels[:, :7] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels)))
    results = [head.loss(feats, samples, dict()) for head in (ours, theirs)]
    assert list(results[0]) == list(results[1]) == ['loss_a', 'acc_seg']
    for name in results[1]:
        assert torch.equal(results[0][name], results[1][name])


@pytest.mark.parametrize(
    ('scope', 'kind', 'options'),
    [
        ('mmdet', 'DeviceDetDataPreprocessor', dict()),
        ('mmseg', 'DeviceSegDataPreProcessor', dict(size=(8, 8))),
        ('mmpretrain', 'DeviceClsDataPreprocessor', dict(num_classes=3)),
    ],
)
def test_batches_are_copied_without_waiting(scope, kind, options):
    pytest.importorskip(scope)
    preprocessor = built(dict(options, type=kind, mean=[1.0] * 3, std=[2.0] * 3), scope)
    theirs = built(dict(options, type=kind[6:], mean=[1.0] * 3, std=[2.0] * 3), scope)
    image = torch.from_numpy(np.arange(192, dtype=np.uint8).reshape(3, 8, 8))
    found, expected = (p(dict(inputs=[image]))['inputs'] for p in (preprocessor, theirs))
    assert torch.equal(found, expected)
    asked = []

    class Noted(torch.Tensor):
        def to(self, *args, **options):
            asked.append(options)
            return self

    for each in (preprocessor, theirs):
        each.cast_data(dict(inputs=[image.as_subclass(Noted)]))
    preprocessor._device = torch.device('mps')  # where the copy would read freed memory
    preprocessor.cast_data(dict(inputs=[image.as_subclass(Noted)]))
    assert [each['non_blocking'] for each in asked] == [True, False, False]


@pytest.mark.parametrize('device, overlaps', [('cuda', True), ('cpu', True), ('mps', False)])
def test_the_runner_copies_without_waiting_where_that_is_safe(monkeypatch, device, overlaps):
    """Whatever the config says: a copy to an Apple GPU may read memory that is freed."""
    from mmengine.model import BaseDataPreprocessor

    from moganet_dense.engine import runner

    monkeypatch.setattr(runner, 'get_device', lambda: device)
    model = torch.nn.Sequential(BaseDataPreprocessor(non_blocking=not overlaps))
    built_by = object.__new__(runner.DenseRunner)
    assert built_by.build_model(model)[0]._non_blocking is overlaps
