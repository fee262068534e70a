"""Video prediction through the command line: train, test, predict."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT

from moganet_dense.config.reading import read_config
from moganet_dense.data.mini import digits
from moganet_dense.engine.job import Job
from moganet_dense.utils.errors import UserError
from moganet_dense.video import MovingDigits
from moganet_dense.video.next_frames import predict_videos

MMNIST = ROOT / 'configs/video/simvp_moganet_mmnist.py'
SMALLER = ['model.hid_T=32', 'model.N_T=2']


def write_video(path: Path, frames: np.ndarray) -> None:
    """Grey frames (T, H, W), uint8, without loss."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'FFV1'), 10, frames.shape[:0:-1])
    for frame in frames:
        writer.write(np.repeat(frame[..., None], 3, axis=2))
    writer.release()


def test_mini_digits_are_files_of_the_true_format(tmp_path: Path):
    root = digits.make_digits(tmp_path / 'digits')
    train = MovingDigits(str(root), images=digits.IMAGES, image_size=32)
    test = MovingDigits(str(root), sequences=digits.SEQUENCES)
    assert train.digits.shape == (1500, 28, 28) and len(test) == 60
    assert test[0]['inputs'].shape == (10, 1, 32, 32)
    assert 0.05 < test[0]['inputs'].mean() < 0.3
    before = (root / digits.SEQUENCES).stat().st_mtime_ns
    digits.make_digits(root)
    assert (root / digits.SEQUENCES).stat().st_mtime_ns == before


def test_mini_of_other_data_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match='reads TaxiBJ'):
        Job(ROOT / 'configs/video/simvp_moganet_taxibj.py', mini=True).read()


@pytest.mark.slow
def test_a_short_training_predicts_better_than_the_last_frame(tmp_path: Path, monkeypatch):
    """Trains, tests and predicts a smaller model for 24 iterations."""
    from moganet_dense.engine.train import test, train

    monkeypatch.chdir(tmp_path)
    options = ['train_dataloader.dataset.length=192', 'train_cfg.max_epochs=1',
               'train_cfg.val_interval=1', 'default_hooks.checkpoint.interval=1',
               'param_scheduler.0.total_steps=1', 'train_dataloader.batch_size=8',
               *SMALLER]  # fmt: skip
    work_dir = train(Job(MMNIST, mini=True, cfg_options=options))
    checkpoint = str(work_dir / 'epoch_1.pth')
    metrics = test(Job(MMNIST, mini=True, cfg_options=SMALLER), checkpoint)
    assert metrics['video/mse'] < 0.85 * metrics['video/copy_mse']
    assert metrics['video/copy_mse'] == pytest.approx(copy_mse(), rel=1e-5)

    clip = np.load(Path(digits.ROOT) / digits.SEQUENCES)[:, 0]
    write_video(tmp_path / 'clip.avi', clip)
    cfg = Job(MMNIST, mini=True, cfg_options=SMALLER).read()
    sheet, video = predict_videos(cfg, checkpoint, ['clip.avi'], 'next')
    image = cv2.imread(str(sheet), cv2.IMREAD_GRAYSCALE)
    assert image.shape == (3 * 132, 10 * 132)
    # rows: given, true, predicted; each frame enlarged fourfold
    np.testing.assert_array_equal(image[2:128:4, 2:128:4], clip[0])
    np.testing.assert_array_equal(image[134:260:4, 2:128:4], clip[10])
    capture = cv2.VideoCapture(str(video))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    with pytest.raises(UserError, match='at least 10 frames, found 4'):
        write_video(tmp_path / 'short.avi', clip[:4])
        predict_videos(cfg, checkpoint, ['short.avi'], 'next')


def copy_mse() -> float:
    """Squared error of repeating frame 9, from the file itself."""
    clips = np.load(Path(digits.ROOT) / digits.SEQUENCES) / 255
    return float(((clips[10:] - clips[9]) ** 2).sum((2, 3)).mean())


def test_a_config_of_another_task_is_refused():
    with pytest.raises(UserError, match='expected a config of video prediction'):
        predict_videos(
            read_config('configs/det/retinanet_moganet_xt.py'), 'x.pth', ['a.mp4'], 'out'
        )
