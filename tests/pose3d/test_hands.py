"""Drawn pairs of hands in InterHand2.6M's files; InterNet on them."""

import json

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope

pytest.importorskip('mmpose')
from mmpose.evaluation.metrics import InterHandMetric

from moganet_dense.config import mini_hands
from moganet_dense.config.reading import read_config
from moganet_dense.data.layouts import require_files
from moganet_dense.data.mini import hands
from moganet_dense.engine.job import Job
from moganet_dense.evaluation.hands_3d import HandsRecord
from moganet_dense.pose3d import FlatInterHandMetric
from moganet_dense.pose3d.predict_3d import predict_3d
from moganet_dense.pose3d.predictor_3d import load_predictor_3d
from moganet_dense.toolboxes.build import build
from moganet_dense.utils.errors import UserError

CONFIG = ROOT / 'configs/pose3d/internet_moganet_t_interhand3d.py'


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """A folder with 16 training and 8 validation images, in which commands run; its mini config."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('hands'))
        patch.setattr(hands, 'SIZES', {'train': 16, 'val': 8})
        patch.setattr(mini_hands, 'EPOCHS', 1)
        yield Job(CONFIG, mini=True).read()


def dataset(cfg: Config, loader: str):
    with DefaultScope.overwrite_default_scope('mmpose'):
        return DATASETS.build(cfg[loader].dataset)


def samples(cfg: Config, change=lambda sample: None) -> list[dict]:
    """The validation images with what is true as what is predicted, which ``change`` alters."""
    found = []
    for info in map(dataset(cfg, 'val_dataloader').get_data_info, range(8)):
        instances = dict(keypoints=info['keypoints'].copy(), hand_type=info['hand_type'],
                         rel_root_depth=info['rel_root_depth'])  # fmt: skip
        change(instances)
        truth = dict(
            keypoints_cam=info['keypoints_cam'], keypoints_visible=info['keypoints_visible']
        )
        found.append(dict(info, pred_instances=instances, gt_instances=truth))
    return found


def measured(metric: InterHandMetric, predictions: list[dict]) -> dict[str, float]:
    metric.process(None, predictions)
    return metric.compute_metrics(metric.results)


def test_the_files_are_read_as_interhand(drawn):
    """The camera projects the keypoints in space onto the drawn hands, which are in the image."""
    data = dataset(drawn, 'train_dataloader')
    assert len(data) == 16
    kinds = set()
    for info in map(data.get_data_info, range(16)):
        image = cv2.imread(info['img_path'])
        assert image.shape == (hands.SIDE, hands.SIDE, 3)
        seen = info['keypoints_visible'][0] > 0
        kinds.add(tuple(info['hand_type'][0]))
        assert seen.reshape(2, 21).all(1).tolist() == (info['hand_type'][0] > 0).tolist()
        places = info['keypoints'][0, seen, :2]
        assert places.min() > 0 and places.max() < hands.SIDE
        x, y = np.floor(places).astype(int).T
        assert (image[y, x].max(1) > 40).all()  # the background is 24
        np.testing.assert_allclose(info['focal'], hands.FOCAL)
        depths = np.abs(info['keypoints'][0, seen, 2])
        assert (depths < mini_hands.DEPTH_BOUND / 2).mean() > 0.95
        between = abs(info['rel_root_depth'])
        assert between < mini_hands.ROOT_BOUND / 2 or not info['rel_root_valid']
        hand = info['keypoints_cam'][0].reshape(2, 21, 3)[seen.reshape(2, 21).all(1)]
        # from the wrist, the last one, to the palm's end of the middle finger: 95 mm
        np.testing.assert_allclose(np.linalg.norm(hand[:, 11] - hand[:, 20], axis=1), 95, atol=0.1)
    assert kinds == {(1, 0), (0, 1), (1, 1)}


@pytest.mark.slow
def test_the_truth_has_no_error_and_without_depth_there_is_some(drawn):
    modes = ['MPJPE', 'MRRPE']
    exact = measured(InterHandMetric(modes=modes), samples(drawn))
    assert exact['MPJPE_all'] == pytest.approx(0, abs=0.02)
    assert exact['MRRPE'] == pytest.approx(0, abs=0.02)

    def flatten(instances: dict) -> None:
        instances['keypoints'][..., 2] = 0
        instances['rel_root_depth'] = 0.0

    by_hand = measured(InterHandMetric(modes=modes), samples(drawn, flatten))
    flat = measured(FlatInterHandMetric(modes=modes), samples(drawn))
    for name in ('MPJPE_all', 'MRRPE'):
        assert flat[name] == pytest.approx(by_hand[name], rel=1e-4) and flat[name] > 20


def test_the_report_has_the_errors_of_hands_that_are_there(drawn):
    """All keypoints of the right hand but the wrist 30 mm too deep: as far off in depth, and a
    little more in all."""

    def push(instances: dict) -> None:
        instances['keypoints'][0, :20, 2] += 30

    metric = InterHandMetric(modes=['MPJPE', 'MRRPE'])
    metric.process(None, samples(drawn, push))
    meta = dataset(drawn, 'val_dataloader').metainfo
    record = HandsRecord(meta['keypoint_id2name'].values(), meta['skeleton_links'])
    for index, result in enumerate(metric.results):
        record.add(f'image {index}', result)
    found = record.evaluation(8)
    rows = found.tables[0].rows
    assert rows[0][0] == 'right_thumb4' and rows[0][2] == pytest.approx(30, abs=0.1)
    assert 30 <= rows[0][1] < 33
    assert rows[20][1:] == pytest.approx([0, 0], abs=0.02)
    assert rows[41][0] == 'left_wrist' and rows[30][1] == pytest.approx(0, abs=0.02)
    assert found.best[0].score == pytest.approx(0, abs=0.02)  # a left hand
    assert found.worst[0].score <= -30 * 20 / 42


@pytest.mark.whole_runs
@pytest.mark.slow
def test_train_test_and_predict(drawn):
    """One step by the command's functions, and the hands of an image from two views."""
    from moganet_dense.engine.train import test, train

    job = Job(CONFIG, mini=True)
    work_dir = train(job)
    checkpoint = str(work_dir / 'epoch_1.pth')
    metrics = test(job, checkpoint)
    assert {'MPJPE_all', 'MRRPE', 'HandednessAcc', 'flat/MPJPE_all', 'flat/MRRPE'} <= set(metrics)
    page = (work_dir / 'report.html').read_text()
    assert 'Error by keypoint, in mm' in page and 'left_wrist' in page
    image = 'data/mini_hands/images/val/00000.jpg'
    sheet, file = predict_3d(job.read(), checkpoint, [image], 'found')
    assert cv2.imread(str(sheet)).shape == (320, 3 * 320, 3)
    (found,) = json.loads(file.read_text())['poses'].values()
    assert all(hand['hand'] in ('right', 'left') for hand in found)
    assert all(np.array(hand['points']).shape == (21, 3) for hand in found)
    result = load_predictor_3d(job.read(), checkpoint)(cv2.imread(image))  # what the demo calls
    assert [row['side'] for row in result.rows()] == [hand['hand'] for hand in found]
    assert len(result[:1]) == min(1, len(found)) and result.scores.max(initial=0) <= 1


def test_without_data_the_message_names_interhands_files(drawn):
    data = Config.fromfile(CONFIG).train_dataloader.dataset
    with pytest.raises(UserError, match='InterHand2.6M, with the annotations of mmpose') as caught:
        require_files(data, 'mmpose')
    assert 'add --mini' in str(caught.value)


@pytest.mark.slow
def test_training_reads_depths_off_images(drawn):
    """Eight images are learnt in 75 steps to 15 and 17 mm, far below what the true places without
    depth have: of keypoints 42 mm, of the vector between the wrists 90 mm. A cell of the heatmap is
    19 mm."""
    torch.manual_seed(0)
    truth = dict(drawn.train_dataloader.dataset, pipeline=drawn.val_dataloader.dataset.pipeline)
    with DefaultScope.overwrite_default_scope('mmpose'):
        model, data = MODELS.build(drawn.model), DATASETS.build(drawn.train_dataloader.dataset)
        model.init_weights()
        images = DATASETS.build(truth)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    inputs = model.data_preprocessor(pseudo_collate([data[k] for k in range(8)]), True)
    for _ in range(75):
        total, _ = model.parse_losses(model(**inputs, mode='loss'))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    inputs = model.data_preprocessor(pseudo_collate([images[k] for k in range(8)]), False)
    with torch.no_grad():
        found = [sample.to_dict() for sample in model.eval()(**inputs, mode='predict')]
    modes = ['MPJPE', 'MRRPE']
    metrics = measured(InterHandMetric(modes=modes), found)
    flat = measured(FlatInterHandMetric(modes=modes), found)
    assert flat['MPJPE_all'] > 35 and flat['MRRPE'] > 80
    assert metrics['MPJPE_all'] < 22 and metrics['MRRPE'] < 25


@pytest.mark.slow
@pytest.mark.parametrize('arch', ['t', 's'])
def test_the_configs_at_full_size(drawn, arch):
    """A step on two drawn images of 256 pixels: heatmaps of 64 x 64 x 64, losses, gradients."""
    cfg = read_config(ROOT / f'configs/pose3d/internet_moganet_{arch}_interhand3d.py')
    cfg.model.backbone.init_cfg = None
    files = ('data_root', 'data_prefix', 'ann_file', 'camera_param_file', 'joint_file')
    cfg.train_dataloader.dataset.update(
        {name: drawn.train_dataloader.dataset[name] for name in files}
    )
    data, model = dataset(cfg, 'train_dataloader'), build(cfg)
    inputs = model.data_preprocessor(pseudo_collate([data[k] for k in range(2)]), True)
    assert inputs['inputs'].shape == (2, 3, 256, 256)
    total, losses = model.parse_losses(model(**inputs, mode='loss'))
    assert {'loss_kpt', 'loss_rel_root', 'loss_hand_type'} <= set(losses) and total.isfinite()
    total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    with torch.no_grad():
        heatmaps, depth, kind = model.eval()(inputs['inputs'], None, mode='tensor')
    assert heatmaps.shape == (2, 42, 64, 64, 64) and depth.shape == (2, 1) and kind.shape == (2, 2)


@pytest.mark.long
def test_mini_reads_depths_of_new_hands(tmp_path, monkeypatch):
    """The whole of ``--mini``: 28 and 31 mm here; the true places in the image without depth have
    44 and 103 mm."""
    from moganet_dense.engine.train import test, train

    monkeypatch.chdir(tmp_path)
    job = Job(CONFIG, mini=True)
    work_dir = train(job)
    metrics = test(job, str(work_dir / f'epoch_{mini_hands.EPOCHS}.pth'))
    assert metrics['flat/MPJPE_all'] == pytest.approx(43.7, abs=0.1)
    assert metrics['flat/MRRPE'] == pytest.approx(103.3, abs=0.1)
    assert metrics['MPJPE_all'] < 35 and metrics['MRRPE'] < 45
    assert metrics['HandednessAcc'] > 0.95
