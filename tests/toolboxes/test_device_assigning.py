"""Assignment and sampling of boxes without waiting for a GPU, against mmdet's own."""

import pytest
import torch
from counted_waits import waits

pytest.importorskip('mmdet')

from mmdet.models.task_modules.assigners import BboxOverlaps2D, MaxIoUAssigner
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.samplers import RandomSampler
from mmengine.structures import InstanceData

from moganet_dense.toolboxes.device_parts.assigning import (
    DeviceBboxOverlaps2D,
    DeviceMaxIoUAssigner,
)
from moganet_dense.toolboxes.device_parts.box_coding import DeviceDeltaXYWHBBoxCoder
from moganet_dense.toolboxes.device_parts.sampling import DeviceRandomSampler

RETINANET = dict(pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0)
RPN = dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
OPTIONS = [
    RETINANET,
    RPN,
    dict(RETINANET, gt_max_assign_all=False),
    dict(RPN, match_low_quality=False),
    dict(RPN, neg_iou_thr=(0.1, 0.3)),
    dict(RPN, neg_iou_thr=[0.1, 0.3]),  # a list assigns no background, as in mmdet
    dict(RETINANET, iou_calculator=dict(type='BboxOverlaps2D')),
    dict(RETINANET, ignore_iof_thr=0.3),
    dict(RETINANET, ignore_iof_thr=0.3, ignore_wrt_candidates=False),
]


def boxes(count: int, random: torch.Generator, grid: int = 8) -> torch.Tensor:
    """Boxes with corners on a coarse grid: many have equal overlaps, some no area."""
    corners = torch.randint(0, grid, (count, 2, 2), generator=random).float() * 4
    return torch.cat([corners.amin(1), corners.amax(1)], dim=1)


def same(found, wanted) -> None:
    assert found.num_gts == wanted.num_gts
    for name in ('gt_inds', 'labels', 'max_overlaps'):
        ours, theirs = getattr(found, name), getattr(wanted, name)
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), name


@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_assignment_is_bitwise_equal(options):
    ours, theirs = DeviceMaxIoUAssigner(**options), MaxIoUAssigner(**options)
    random = torch.Generator().manual_seed(0)
    for case in range(60):
        k, n = [(0, 9), (4, 0), (0, 0), (1, 1)][case] if case < 4 else (case % 9 + 1, 150)
        found = InstanceData(priors=boxes(n, random))
        wanted = InstanceData(
            bboxes=boxes(k, random), labels=torch.randint(0, 80, (k,), generator=random)
        )
        ignored = InstanceData(bboxes=boxes(case % 3, random))
        same(ours.assign(found, wanted, ignored), theirs.assign(found, wanted, ignored))


def test_the_last_object_wins():
    """By hand: all boxes are equally near to both objects."""
    overlaps = torch.tensor([[0.5, 0.2, 0.5], [0.5, 0.0, 0.1]])
    found = DeviceMaxIoUAssigner(0.7, 0.3, 0.3).assign_wrt_overlaps(overlaps, torch.tensor([7, 8]))
    assert found.gt_inds.tolist() == [2, 0, 1] and found.labels.tolist() == [8, -1, 7]
    one = DeviceMaxIoUAssigner(0.7, 0.3, 0.3, gt_max_assign_all=False)
    assert one.assign_wrt_overlaps(overlaps, torch.tensor([7, 8])).gt_inds.tolist() == [2, 0, -1]


def test_assignment_does_not_wait():
    random = torch.Generator().manual_seed(0)
    found = InstanceData(priors=boxes(200, random))
    wanted = InstanceData(bboxes=boxes(50, random), labels=torch.arange(50))
    assert waits(lambda: DeviceMaxIoUAssigner(**RPN).assign(found, wanted)) == 0
    assert waits(lambda: MaxIoUAssigner(**RPN).assign(found, wanted)) > 50


@pytest.mark.parametrize('mode', ['iou', 'iof', 'giou'])
def test_overlaps_are_bitwise_equal(mode):
    random = torch.Generator().manual_seed(1)
    for rows, columns in [(5, 70), (1, 1), (0, 3), (3, 0)]:
        first, second = boxes(rows, random), boxes(columns, random) + 0.3
        found = DeviceBboxOverlaps2D()(first, second, mode)
        assert torch.equal(found, BboxOverlaps2D()(first, second, mode))
    scored = torch.cat([second, second[:, :1]], dim=1)
    assert DeviceBboxOverlaps2D()(scored, first).shape == (0, 3)
    aligned = DeviceBboxOverlaps2D()(second + 1, second + 1, mode, is_aligned=True)
    assert torch.equal(aligned, BboxOverlaps2D()(second + 1, second + 1, mode, is_aligned=True))


@pytest.mark.parametrize('stds', [(1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.2, 0.2)])
def test_coding_is_bitwise_equal(stds):
    random = torch.Generator().manual_seed(2)
    ours, theirs = (kind(target_stds=stds) for kind in (DeviceDeltaXYWHBBoxCoder,
                                                        DeltaXYWHBBoxCoder))  # fmt: skip
    for count in (1, 7, 64, 0):
        first = boxes(count, random) + torch.tensor([0.0, 0.0, 1.3, 2.7])
        second = boxes(count, random) + torch.tensor([0.0, 0.0, 5.1, 0.9])
        assert torch.equal(ours.encode(first, second), theirs.encode(first, second))
        for classes in (1, 3):
            deltas = torch.randn(count, 4 * classes, generator=random) * 5
            for shape in (None, (20, 30)):
                found = ours.decode(first, deltas, max_shape=shape)
                assert torch.equal(found, theirs.decode(first, deltas, max_shape=shape))
    first, second = boxes(9, random) + 1, boxes(9, random) + 1
    assert waits(lambda: ours.decode(first, ours.encode(first, second), (20, 30))) == 0


def test_boxes_are_decoded_with_gradients_after_inference():
    kinds = (DeviceDeltaXYWHBBoxCoder, DeltaXYWHBBoxCoder)
    ours, theirs = (kind(target_stds=(0.1, 0.1, 0.2, 0.2)) for kind in kinds)
    random = torch.Generator().manual_seed(5)
    priors, deltas = boxes(9, random) + 1, torch.randn(9, 4, generator=random)
    with torch.inference_mode():
        ours.decode(priors.clone(), deltas.clone())
    gradients = []
    for coder in (ours, theirs):
        asked = deltas.clone().requires_grad_()
        coder.decode(priors, asked, (20, 30)).square().sum().backward()
        gradients.append(asked.grad)
    assert torch.equal(*gradients) and gradients[0].abs().sum() > 0


@pytest.mark.parametrize(
    'options',
    [
        dict(num=16, pos_fraction=0.5),
        dict(num=512, pos_fraction=0.25),
        dict(num=16, pos_fraction=0.25, neg_pos_ub=2),
        dict(num=16, pos_fraction=0.5, add_gt_as_proposals=False),
    ],
    ids=str,
)
def test_the_same_boxes_are_drawn(options):
    random = torch.Generator().manual_seed(3)
    assigner = MaxIoUAssigner(**RPN)
    for case in range(25):
        k = case % 6
        found = InstanceData(priors=boxes(90, random))
        wanted = InstanceData(
            bboxes=boxes(k, random), labels=torch.randint(0, 80, (k,), generator=random)
        )
        results = []
        for kind in (DeviceRandomSampler, RandomSampler):
            torch.manual_seed(case)
            assigned = assigner.assign(found, wanted)
            results.append(kind(**options).sample(assigned, found, wanted))
            results.append(torch.rand(1))  # as many random numbers were drawn
        ours, our_next, theirs, their_next = results
        assert our_next == their_next and set(vars(ours)) == {*vars(theirs), 'drawn_objects'}
        assert ours.drawn_objects == int(theirs.pos_is_gt.sum())
        for name, value in vars(theirs).items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(getattr(ours, name), value), name
            else:
                assert getattr(ours, name) == value, name


@pytest.mark.parametrize('options', [dict(num=32, pos_fraction=0.5), dict(num=8, pos_fraction=0.2)])
def test_a_batch_is_drawn_as_its_images_are(options):
    random = torch.Generator().manual_seed(5)
    images = []
    for k, n in [(3, 90), (0, 40), (7, 33), (40, 1)]:
        wanted = InstanceData(
            bboxes=boxes(k, random), labels=torch.randint(0, 80, (k,), generator=random)
        )
        images.append((InstanceData(priors=boxes(n, random)), wanted))

    def assigned():
        return [MaxIoUAssigner(**RPN).assign(*image) for image in images]

    results = []
    torch.manual_seed(1)
    results.append(
        DeviceRandomSampler(**options).sample_all(assigned(), *map(list, zip(*images, strict=True)))
    )
    torch.manual_seed(1)
    sampler = RandomSampler(**options)
    results.append([sampler.sample(a, *image) for a, image in zip(assigned(), images, strict=True)])
    for ours, theirs in zip(*results, strict=True):
        for name in ('pos_inds', 'neg_inds', 'pos_priors', 'pos_is_gt', 'pos_gt_labels'):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
        assert ours.drawn_objects == int(theirs.pos_is_gt.sum())


def test_drawing_waits_once():
    random = torch.Generator().manual_seed(4)
    found = InstanceData(priors=boxes(300, random))
    wanted = InstanceData(bboxes=boxes(9, random), labels=torch.arange(9))
    for kind, times in ((DeviceRandomSampler, 1), (RandomSampler, 6)):
        assigned = DeviceMaxIoUAssigner(**RPN).assign(found, wanted)
        assert waits(lambda k=kind, a=assigned: k(32, 0.5).sample(a, found, wanted)) == times
    several = [[each] * 4 for each in (found, wanted)]
    assigned = [DeviceMaxIoUAssigner(**RPN).assign(found, wanted) for _ in range(4)]
    assert waits(lambda: DeviceRandomSampler(32, 0.5).sample_all(assigned, *several)) == 1
