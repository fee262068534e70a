"""H3WB: files of its format, made of points in space that a known camera projects."""

import json
import os

import cv2
import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip('mmpose')
from moganet_dense.config.reading import read_config
from moganet_dense.engine.job import Job
from moganet_dense.pose3d import H3WBDataset
from moganet_dense.pose3d.h3wb_dataset import fitted_camera
from moganet_dense.pose3d.keypoint_layouts import drawn, whole_body
from moganet_dense.pose3d.predict_3d import predict_3d
from moganet_dense.pose3d.predictor_3d import to_metres
from moganet_dense.utils.errors import UserError

pytestmark = pytest.mark.whole_runs

CONFIG = ROOT / 'configs/pose3d/simcc3d_moganet_t_h3wb.py'
FOCAL, CENTER = 120.0, (50.0, 40.0)
FILES = ['annotations/2Dto3D_train_part1.json', 'annotations/2Dto3D_train_part2.json']
IMAGES = 'annotations/RGBto3D_train.json'


def person(number):
    """Keypoints (133, 3) in mm, 4 m away."""
    rng = np.random.default_rng(number)
    return rng.uniform((-900, -900, 3600), (900, 900, 4400), (133, 3)).round(1)


def projected(points):
    return FOCAL * points[:, :2] / points[:, 2:] + CENTER


def as_dict(rows, axes):
    return {str(k): dict(zip(axes, map(float, row), strict=True)) for k, row in enumerate(rows)}


def write(root, count=10, broken=()):
    """``count`` samples of which ``broken`` have 2D keypoints of somebody else."""
    (root / 'annotations').mkdir(parents=True)
    (root / 'S1').mkdir()
    images, parts = {}, [{}, {}]
    for k in range(count):
        points = person(k)
        other = person(k + 100 if k in broken else k)
        cv2.imwrite(str(root / f'S1/frame_{k}.jpg'), np.full((80, 100, 3), 10 * k, np.uint8))
        box = dict(x_min=20.0, y_min=10.0, x_max=80.0, y_max=70.0)
        images[str(k)] = dict(image_path=f'S1/frame_{k}.jpg', bbox=box)
        parts[2 * k // count][str(k)] = dict(
            keypoints_2d=as_dict(projected(other), 'xy'), keypoints_3d=as_dict(points, 'xyz')
        )
    (root / IMAGES).write_text(json.dumps(images))
    for file, part in zip(FILES, parts, strict=True):
        (root / file).write_text(json.dumps(part))
    return dict(data_root=str(root), keypoint_files=FILES, image_file=IMAGES)


def test_the_camera_that_projected_the_points_is_found():
    points = person(0) / 1000
    focal, center, residual = fitted_camera(projected(points), points)
    assert focal == pytest.approx(FOCAL) and tuple(center) == pytest.approx(CENTER)
    assert residual < 1e-9
    assert fitted_camera(projected(person(1) / 1000), points)[2] > 5


def test_folds_are_fifths_in_order(tmp_path):
    files = write(tmp_path)
    held_out = H3WBDataset(**files, fold=2, test_mode=True)
    assert [s['image_path'] for s in held_out.samples] == ['S1/frame_2.jpg', 'S1/frame_3.jpg']
    others = H3WBDataset(**files, fold=2)
    assert len(others) == 8 and not {'S1/frame_2.jpg', 'S1/frame_3.jpg'} & {
        s['image_path'] for s in others.samples
    }


def test_a_sample_is_in_metres_with_depths_from_the_middle_of_the_hips(tmp_path):
    sample = H3WBDataset(**write(tmp_path), test_mode=True)[1]
    points = person(1) / 1000
    np.testing.assert_allclose(sample['keypoints_3d'], points, rtol=1e-6)
    middle = (points[11, 2] + points[12, 2]) / 2
    np.testing.assert_allclose(sample['depths'][0], points[:, 2] - middle, atol=1e-6)
    assert sample['root_depth'] == pytest.approx(middle)
    assert sample['bbox'].tolist() == [[20, 10, 80, 70]]


def test_samples_that_no_camera_explains_are_dropped_and_counted(tmp_path, caplog):
    files = write(tmp_path, broken=(4, 5, 7))
    with caplog.at_level('INFO'):
        assert len(H3WBDataset(**files)) == 8 - 3
    with pytest.raises(UserError, match=r'no sample of fold 1 .* \(8 do not\)'):
        H3WBDataset(**write(tmp_path / 'other', broken=range(10)))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'expected a JSON file of H3WB'),
        ('[1]', 'expected a JSON object, found list'),
        ('{"3": {"keypoints_2d": {}}}', 'sample 3: expected keypoints_2d and keypoints_3d'),
        ('{"3": 5}', 'sample 3: expected keypoints_2d and keypoints_3d'),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    files = write(tmp_path)
    (tmp_path / FILES[0]).unlink()
    if content:
        (tmp_path / FILES[0]).write_text(content)
    with pytest.raises(UserError, match=message):
        H3WBDataset(**files)


@pytest.mark.parametrize(
    'row', [5, {}, {'image_path': 'a.jpg'}, {'image_path': 3, 'bbox': {}},
            {'image_path': 'a.jpg', 'bbox': dict(x_min=float('nan'), y_min=0, x_max=1, y_max=1)}],
)  # fmt: skip
def test_a_sample_without_image_or_box_is_named(tmp_path, row):
    files = write(tmp_path)
    images = json.loads((tmp_path / IMAGES).read_text())
    (tmp_path / IMAGES).write_text(json.dumps(images | {'4': row}))
    with pytest.raises(UserError, match='sample 4: expected image_path and bbox'):
        H3WBDataset(**files)


def test_a_fifo_is_not_waited_for(tmp_path):
    files = write(tmp_path)
    (tmp_path / IMAGES).unlink()
    os.mkfifo(tmp_path / IMAGES)
    with pytest.raises(UserError, match='expected a JSON file of H3WB'):
        H3WBDataset(**files)


def test_the_layout_is_that_of_coco_wholebody():
    layout = whole_body()
    assert len(layout.names) == 133 and layout.names[0] == 'nose'
    assert [layout.names[k] for k in layout.roots] == ['left_hip', 'right_hip']
    bones = {(layout.names[a], layout.names[b]) for a, b in layout.bones}
    assert ('left_hip', 'left_knee') in bones and len(bones) == 8  # upper and lower limbs
    for name, index in zip(layout.names, layout.flip_indices, strict=True):
        assert layout.names[index] == name.replace('left', '#').replace('right', 'left').replace(
            '#', 'right'
        ) or name.startswith('face')


def test_pixels_become_metres_by_arms_and_legs():
    layout = whole_body()
    pose = np.zeros((133, 3))
    for (a, b), length in zip(layout.bones, layout.lengths, strict=True):
        pose[b] = pose[a] + (0, length, 0)
    seen = pose * (200, 200, 1) + (30, 40, 0.5)
    middle = pose[[11, 12]].mean(0)
    np.testing.assert_allclose(to_metres(seen, layout), pose - middle, atol=1e-9)
    assert drawn('hand').roots == (0,)


@pytest.mark.slow
def test_train_test_and_predict(tmp_path, monkeypatch):
    """A step of a training on files of this format, metrics, report, and a pose of an image."""
    from moganet_dense.engine.train import test, train

    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'data/h3wb')
    arch = dict(
        embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2), _delete_=True
    )
    size, parts = '(64,64,64)', '[' + ','.join(f'"{file}"' for file in FILES) + ']'
    options = [
        f'model.backbone.arch={arch}', 'model.backbone.init_cfg=None', 'model.head.in_channels=16',
        f'model.head.input_size={size}', 'model.head.in_featuremap_size=(2,2)',
        f'model.head.decoder.input_size={size}', 'train_cfg.max_epochs=1',
    ]  # fmt: skip
    for name, target in (('train', 3), ('val', 2), ('test', 2)):
        where = f'{name}_dataloader'
        options += [f'{where}.dataset.keypoint_files={parts}', f'{where}.num_workers=0',
                    f'{where}.persistent_workers=False', f'{where}.batch_size=4',
                    f'{where}.dataset.pipeline.{target}.input_size=(64,64)']  # fmt: skip
    options.append(f'train_dataloader.dataset.pipeline.4.encoder.input_size={size}')
    job = Job(CONFIG, cfg_options=options)
    work_dir = train(job)
    checkpoint = str(work_dir / 'epoch_1.pth')
    metrics = test(job, checkpoint)
    points = [person(k) / 1000 for k in (0, 1)]  # the first of five folds
    flat = []
    for pose in points:
        middle = pose[[11, 12]].mean(0)
        at_root = np.c_[(projected(pose) - CENTER) * middle[2] / FOCAL, np.full(133, middle[2])]
        offset = (at_root - at_root[[11, 12]].mean(0)) - (pose - middle)
        flat.append(np.linalg.norm(offset, axis=1).mean())
    assert metrics['pose3d/flat_MPJPE'] == pytest.approx(1000 * np.mean(flat), rel=1e-4)
    assert 'Error by keypoint, in mm' in (work_dir / 'report.html').read_text()
    sheet, file = predict_3d(job.read(), checkpoint, ['data/h3wb/S1/frame_1.jpg'], 'found')
    assert cv2.imread(str(sheet)) is not None
    (pose,) = json.loads(file.read_text())['poses'].values()
    assert np.array(pose['points']).shape == (133, 3)
    assert np.array(pose['points'])[[11, 12]].mean(0) == pytest.approx(0, abs=1e-6)


def test_config_reads_what_its_head_writes():
    cfg = read_config(CONFIG)
    assert cfg.model.head.decoder == cfg.codec
    assert cfg.model.head.in_featuremap_size == tuple(s // 32 for s in cfg.codec.input_size[:2])
