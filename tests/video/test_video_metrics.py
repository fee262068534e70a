"""Metrics of video prediction against numbers by hand and scikit-image."""

import math

import numpy as np
import pytest
import torch

from moganet_dense.video import VideoPredictionMetric
from moganet_dense.video.metrics import psnr, ssim


def test_metrics_of_a_video_worked_out_by_hand():
    """One frame of 7 x 7 whose prediction is 0.5 everywhere, and the truth is 0, but one pixel."""
    target = torch.zeros(1, 1, 7, 7)
    target[0, 0, 3, 3] = 1.0
    video = dict(
        inputs=torch.full((2, 1, 7, 7), 0.25),
        prediction=torch.full((1, 1, 7, 7), 0.5),
        target=target,
    )
    metric = VideoPredictionMetric()
    metric.process({}, [video])
    found = metric.compute_metrics(metric.results)
    assert found['mse'] == pytest.approx(49 * 0.25)
    assert found['mae'] == pytest.approx(49 * 0.5)
    assert found['copy_mse'] == pytest.approx(48 * 0.0625 + 0.5625)
    assert found['psnr'] == pytest.approx(-10 * math.log10(0.25))
    # one window: means 1/2 and 1/49, covariance 0, variances 0 and 1/49 (sample)
    x, y, c1, c2 = 0.5, 1 / 49, 0.02**2, 0.06**2
    expected = (2 * x * y + c1) * c2 / ((x * x + y * y + c1) * (1 / 49 + c2))
    assert found['ssim'] == pytest.approx(expected)


def test_frames_and_videos_are_averaged_and_pixels_summed():
    ones, zeros = torch.ones(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    mixed = torch.stack([ones[0], zeros[0]])
    metric = VideoPredictionMetric()
    metric.process(
        {},
        [
            dict(inputs=zeros, prediction=mixed, target=zeros),  # 64 and 0
            dict(inputs=zeros, prediction=2 * ones, target=zeros),  # 256 twice
        ],
    )
    found = metric.compute_metrics(metric.results)
    assert found['mse'] == (32 + 256) / 2
    assert found['mae'] == (32 + 128) / 2


def test_predictions_are_clipped_for_psnr_alone():
    target = torch.zeros(1, 1, 8, 8)
    metric = VideoPredictionMetric()
    metric.process({}, [dict(inputs=target, prediction=target + 3, target=target)])
    (row,) = metric.results
    assert row['mse'] == 64 * 9 and row['psnr'] == pytest.approx(0.0)


def test_a_perfect_frame_is_similar_and_without_noise():
    frame = torch.rand(3, 2, 9, 9)
    torch.testing.assert_close(ssim(frame, frame), torch.ones(3, dtype=torch.float64))
    assert psnr(frame, frame).isinf().all()


def test_ssim_is_that_of_scikit_image():
    metrics = pytest.importorskip('skimage.metrics')
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 3, 17, 23), dtype=np.float32)
    for channels in (1, 3):
        expected = metrics.structural_similarity(
            x[:channels], y[:channels], data_range=2.0, channel_axis=0
        )
        found = ssim(torch.from_numpy(x[:channels]), torch.from_numpy(y[:channels]))
        assert found.item() == pytest.approx(expected, abs=1e-6)


def test_frames_smaller_than_the_window_are_refused():
    with pytest.raises(ValueError, match='7 pixels'):
        ssim(torch.rand(1, 1, 6, 20), torch.rand(1, 1, 6, 20))
