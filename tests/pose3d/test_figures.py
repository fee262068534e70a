"""Drawn figures: geometry and drawing; and a training that sees depth."""

import json

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope

pytest.importorskip('mmpose')
from moganet_dense.data.drawn_figures import SKELETONS, project, random_pose, render
from moganet_dense.engine.job import Job
from moganet_dense.pose3d import Figures3D, Pose3DMetric
from moganet_dense.pose3d.keypoint_layouts import drawn
from moganet_dense.pose3d.metrics_3d import distances, to_camera
from moganet_dense.pose3d.predict_3d import predict_3d
from moganet_dense.pose3d.predictor_3d import to_metres
from moganet_dense.visualization.skeletons_3d import draw_two_views

CONFIG = ROOT / 'configs/pose3d/simcc3d_moganet_t_figures.py'


@pytest.mark.parametrize('kind, count', [('body', 17), ('hand', 21)])
def test_bones_keep_their_lengths_and_figures_are_in_the_image(kind, count):
    data = Figures3D(kind, length=20, seed=3, image_size=96)
    skeleton = SKELETONS[kind]
    for index in range(20):
        pose = random_pose(skeleton, np.random.default_rng([3, index]))
        ends = np.array(skeleton.links)
        found = np.linalg.norm(pose[ends[:, 1]] - pose[ends[:, 0]], axis=1)
        np.testing.assert_allclose(found, np.linalg.norm(skeleton.bones[ends[:, 1]], axis=1))
        figure = data.figure(index)
        places = figure['keypoints'][0]
        assert places.shape == (count, 2) and places.min() > 0 and places.max() < 96
        assert np.abs(figure['depths']).max() <= skeleton.reach
    np.testing.assert_array_equal(data.figure(7)['img'], data.figure(7)['img'])
    assert (data.figure(7)['img'] != data.figure(8)['img']).any()
    with pytest.raises(IndexError, match='from 0 to 19, found 20'):
        data.figure(20)


def test_a_point_is_projected_by_a_pinhole():
    found = project(np.array([[0.5, -0.25, 2.0]]), 100.0, 32.0)
    np.testing.assert_allclose(found, [[32 + 25, 32 - 12.5]])


def test_what_is_near_is_brighter_and_hides_what_is_far():
    skeleton = SKELETONS['body']

    def drawn(depth: float) -> np.ndarray:
        points = np.zeros((17, 3)) + (0, 0, skeleton.distance)
        points[10] = points[9] + (0.3, 0, 0)
        points[9:11, 2] += depth
        return render(skeleton, points, 100.0, 64)

    assert drawn(-0.8).max() > drawn(0.8).max()
    assert (drawn(-0.8) > 30).sum() > (drawn(0.8) > 30).sum()  # and thicker


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="expected one of body, hand, found 'horse'"):
        Figures3D('horse')


def test_pixels_become_metres_by_the_bones():
    skeleton = SKELETONS['body']
    pose = random_pose(skeleton, np.random.default_rng(0))
    seen = pose * (200, 200, 1) + (30, 40, 0.5)  # 200 pixels a metre, depths from elsewhere
    np.testing.assert_allclose(to_metres(seen, drawn('body')), pose, atol=1e-9)


def test_two_views_show_width_and_depth():
    """A bone to the right is a horizontal line from the front and a point from the side."""
    found = draw_two_views([np.array([[0.0, 0, 0], [1, 0, 0]])], [(0, 1)], 100)
    assert found.shape == (100, 200, 3)
    ink = (found[40:60] < 250).any(2)
    front, side = ink[:, :100].any(0).sum(), ink[:, 100:].any(0).sum()
    assert front > 70 and side < 12
    away = draw_two_views([np.array([[0.0, 0, 0], [0, 0, 1]])], [(0, 1)], 100)
    ink = (away[40:60] < 250).any(2)
    assert ink[:, :100].any(0).sum() < 12 and ink[:, 100:].any(0).sum() > 70


@pytest.mark.whole_runs
@pytest.mark.slow
def test_train_test_and_predict(tmp_path, monkeypatch):
    """Two steps of a training by the command's functions, and the pose of an image."""
    from moganet_dense.engine.train import test, train

    monkeypatch.chdir(tmp_path)
    options = [f'{name}_dataloader.dataset.length=16' for name in ('train', 'val', 'test')]
    options += ['train_cfg.max_epochs=1', 'default_hooks.checkpoint.interval=1']
    job = Job(CONFIG, mini=True, cfg_options=options)
    work_dir = train(job)
    checkpoint = str(work_dir / 'epoch_1.pth')
    metrics = test(job, checkpoint)
    assert set(metrics) == {'pose3d/MPJPE', 'pose3d/PA-MPJPE', 'pose3d/flat_MPJPE'}
    page = (work_dir / 'report.html').read_text()
    assert 'Error by keypoint, in mm' in page and page.count('data:image/jpeg') >= 8
    image = Figures3D(length=1, seed=5).figure(0)['img']
    cv2.imwrite('figure.png', image)
    sheet, file = predict_3d(job.read(), checkpoint, ['figure.png'], 'found')
    assert cv2.imread(str(sheet)).shape == (320, 3 * 320, 3)
    (pose,) = json.loads(file.read_text())['poses'].values()
    assert np.array(pose['points']).shape == (17, 3) and pose['points'][0] == [0, 0, 0]


@pytest.mark.long
def test_mini_reads_depths_of_new_figures(tmp_path, monkeypatch):
    """The whole of ``--mini`` on figures that it has not seen: below the true places in the image
    at the depth of the root, which have 196 mm."""
    from moganet_dense.engine.train import test, train

    monkeypatch.chdir(tmp_path)
    job = Job(CONFIG, mini=True)
    work_dir = train(job)
    metrics = test(job, str(work_dir / 'epoch_2.pth'))
    assert metrics['pose3d/flat_MPJPE'] == pytest.approx(196, abs=5)
    assert metrics['pose3d/MPJPE'] < 165


@pytest.mark.long  # that of hands is in `make test`
def test_training_reads_depths_off_images():
    """Sixteen figures are learnt in 50 steps, far below what depths without images can reach: the
    true places in the image with each keypoint's mean depth over the figures."""
    cfg = Job(CONFIG, mini=True).read()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpose'):
        model, data = MODELS.build(cfg.model), DATASETS.build(cfg.train_dataloader.dataset)
        model.init_weights()
    batch = pseudo_collate([data[k] for k in range(16)])
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    for _ in range(50):
        inputs = model.data_preprocessor(pseudo_collate([data[k] for k in range(16)]), True)
        total, _ = model.parse_losses(model(**inputs, mode='loss'))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    with torch.no_grad():
        found = model.eval()(**model.data_preprocessor(batch, False), mode='predict')
    metric = Pose3DMetric()
    metric.process(None, [sample.to_dict() for sample in found])
    metrics = metric.evaluate(16)
    assert metrics['pose3d/MPJPE'] < 40
    figures = [data.figure(k) for k in range(16)]
    mean = np.mean([figure['depths'][0] for figure in figures], axis=0)
    guess = np.mean([
        distances(to_camera(f['keypoints_2d'], mean, f['focal'], f['principal_pt'],
                            f['root_depth']), f['keypoints_3d']).mean()
        for f in figures
    ])  # fmt: skip
    assert 1000 * guess > 150
