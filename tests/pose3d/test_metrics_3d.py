"""Errors of 3D poses, ours and mmpose's, against values worked out by hand."""

import numpy as np
import pytest

pytest.importorskip('mmpose')
from mmpose.evaluation.functional import keypoint_mpjpe
from mmpose.evaluation.metrics import InterHandMetric

from moganet_dense.data.drawn_figures import turn
from moganet_dense.evaluation.poses_3d import Pose3DRecord
from moganet_dense.pose3d.metrics_3d import (
    Pose3DMetric,
    aligned,
    distances,
    procrustes_distances,
    to_camera,
)

SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])


def test_mpjpe_is_after_the_roots_are_put_upon_each_other():
    moved = SQUARE + (5, 6, 7)
    moved[2] += (0, 3, 4)
    # only the third is away, by sqrt(3^2 + 4^2) = 5
    np.testing.assert_allclose(distances(moved, SQUARE), [0, 0, 5, 0], atol=1e-12)
    assert distances(moved, SQUARE).mean() == 1.25


def test_alignment_takes_away_rotation_scale_and_place_and_no_reflection():
    pose = np.random.default_rng(0).normal(size=(9, 3))
    other = 2.5 * pose @ turn((0.3, -1.0, 2.0)).T + (1, 2, 3)
    np.testing.assert_allclose(aligned(other, pose), pose, atol=1e-12)
    np.testing.assert_allclose(procrustes_distances(other, pose), 0, atol=1e-12)
    assert procrustes_distances(pose * (-1, 1, 1), pose).mean() > 0.1


def test_alignment_of_a_rectangle_by_hand():
    """A square of side 1 against a rectangle of 2 x 1, both centred: the best scale is
    (sum of products) / (sum of squares) = (4 * (0.5 * 1 + 0.5 * 0.5)) / (4 * 0.5) = 1.5, and every
    corner is then at (0.75, 0.75) instead of (1, 0.5): sqrt(0.0625 + 0.0625) away."""
    np.testing.assert_allclose(
        procrustes_distances(SQUARE, SQUARE * (2, 1, 1)), np.full(4, np.sqrt(0.125)), atol=1e-12
    )


def test_mmposes_error_agrees():
    pose, other = np.random.default_rng(1).normal(size=(2, 1, 17, 3))
    mask = np.ones((1, 17), bool)
    theirs = keypoint_mpjpe(other, pose, mask, 'procrustes')
    assert theirs == pytest.approx(procrustes_distances(other[0], pose[0]).mean(), rel=1e-6)
    moved = SQUARE[None] + 0.0
    moved[0, 2] += (0, 3, 4)
    assert keypoint_mpjpe(moved, SQUARE[None], np.ones((1, 4), bool)) == 1.25


def test_a_pixel_is_a_ray_of_the_camera():
    found = to_camera(np.array([[70.0, 40.0]]), np.array([0.5]), 100.0, (50, 50), 3.5)
    np.testing.assert_allclose(found, [[0.8, -0.4, 4.0]])  # 20 * 4 / 100, -10 * 4 / 100


def figure() -> dict:
    """Root at depth 2, another keypoint 0.5 behind it; focal length 100, centre at 0."""
    points = np.array([[0.0, 0, 2], [0.5, 0, 2.5]])
    return dict(
        keypoints_3d=points, keypoints_2d=np.array([[0.0, 0], [20.0, 0]]), focal=100.0,
        principal_pt=(0, 0), root_depth=2.0, img_path='a',
        pred_instances=dict(keypoints=np.array([[[0.0, 0, 0], [20.0, 0, 0.2]]])),
    )  # fmt: skip


def test_the_metric_in_millimetres():
    metric = Pose3DMetric()
    metric.process(None, [figure()])
    found = metric.evaluate(1)
    # found: x = 20 * 2.2 / 100 = 0.44, z = 0.2; off by (0.06, 0.3), and the root by nothing
    assert found['pose3d/MPJPE'] == pytest.approx(1000 * np.hypot(0.06, 0.3) / 2)
    # without depth: x = 20 * 2 / 100 = 0.4, z = 0; off by (0.1, 0.5)
    assert found['pose3d/flat_MPJPE'] == pytest.approx(1000 * np.hypot(0.1, 0.5) / 2)
    assert found['pose3d/PA-MPJPE'] == pytest.approx(0, abs=1e-6)  # two points can be aligned


def test_the_report_has_errors_by_keypoint():
    record, metric = Pose3DRecord(['root', 'end'], [(0, 1)]), Pose3DMetric()
    record.add('a', *metric.points(figure()))
    record.add('b', *(figure()['keypoints_3d'],) * 2)
    found = record.evaluation(2)
    rows = found.tables[0].rows
    assert rows[0] == ['root', 0.0, 0.0] and rows[1][0] == 'end'
    assert rows[1][1:] == pytest.approx([1000 * np.hypot(0.06, 0.3) / 2, 150])
    assert [example.name for example in found.best] == ['b', 'a']
    assert found.best[1].score == pytest.approx(-1000 * np.hypot(0.06, 0.3) / 2)


def test_mrrpe_of_mmpose_by_hand():
    """Roots are keypoints 20 (right) and 41 (left). The true vector from right to left is
    (0, 0, 100) mm; found: right at pixel (0, 0) and depth 500, left at (10, 0) and 500 + 80, so
    (10 * 580 / 100, 0, 80) = (58, 0, 80): sqrt(58^2 + 20^2) away."""
    truth = np.zeros((1, 42, 3), np.float32)
    truth[..., 2] = 500
    truth[0, 41, 2] = 600
    found = np.zeros((1, 42, 3), np.float32)
    found[0, 41, 0] = 10
    sample = dict(
        pred_instances=dict(keypoints=found, hand_type=np.array([[1, 1]]), rel_root_depth=80.0),
        gt_instances=dict(keypoints_cam=truth, keypoints_visible=np.ones((1, 42))),
        hand_type=np.array([[1, 1]]), hand_type_valid=np.array([1]), abs_depth=[500.0, 600.0],
        focal=(100.0, 100.0), principal_pt=(0.0, 0.0),
    )  # fmt: skip
    metric = InterHandMetric(modes=['MRRPE'])
    metric.process(None, [sample])
    assert metric.compute_metrics(metric.results)['MRRPE'] == pytest.approx(np.hypot(58, 20), 1e-5)
