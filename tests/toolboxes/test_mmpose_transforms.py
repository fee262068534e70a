"""Random boxes of mmpose 0.29: moments by formula, and that the published recipes have them."""

import math
from math import erf, exp, pi, sqrt

import numpy as np
import pytest
from conftest import ROOT
from mmengine.config import Config

pytest.importorskip('mmcv')
from moganet_dense.toolboxes.mmpose_transforms import RandomScaleRotation029, RandomShift029

COUNT = 200_000


def clipped_variance(a: float) -> float:
    """Of a standard normal number clipped to [-a, a]: integral of z^2 inside, a^2 outside."""
    inside = erf(a / sqrt(2)) - 2 * a * exp(-a * a / 2) / sqrt(2 * pi)
    return inside + a * a * (1 - erf(a / sqrt(2)))


def boxes() -> dict:
    return dict(
        bbox_center=np.full((COUNT, 2), 100, np.float32),
        bbox_scale=np.tile(np.float32([[50, 80]]), (COUNT, 1)),
    )


def test_scale_and_rotation_have_the_moments_of_clipped_normals():
    np.random.seed(0)
    found = RandomScaleRotation029()(boxes())
    scale = found['bbox_scale'] / (50, 80)
    np.testing.assert_allclose(scale[:, 0], scale[:, 1], rtol=1e-6)
    assert scale.min() == pytest.approx(0.5) and scale.max() == pytest.approx(1.5)
    assert scale[:, 0].std() == pytest.approx(0.5 * sqrt(clipped_variance(1)), rel=0.01)
    assert scale[:, 0].std() == pytest.approx(0.359, abs=2e-3)
    angle = found['bbox_rotation']
    assert np.abs(angle).max() == 80 and (angle == 0).mean() == pytest.approx(0.4, abs=0.01)
    assert angle.std() == pytest.approx(40 * sqrt(0.6 * clipped_variance(2)), rel=0.01)
    assert math.isclose(40 * sqrt(0.6 * clipped_variance(2)), 29.7, abs_tol=0.05)


def test_shift_is_uniform_by_the_size_of_the_box():
    np.random.seed(0)
    found = RandomShift029()(boxes())
    shift = (found['bbox_center'] - 100) / (50, 80)
    moved = (shift != 0).any(1)
    assert moved.mean() == pytest.approx(0.3, abs=0.01)
    assert np.abs(shift).max() == pytest.approx(0.16, abs=1e-3)
    assert shift[moved].std() == pytest.approx(0.16 / sqrt(3), rel=0.01)
    assert found['bbox_center'].dtype == np.float32


@pytest.mark.parametrize('size', ['256x192', '384x288'])
def test_published_recipes_draw_boxes_so(size):
    cfg = Config.fromfile(ROOT / f'configs/pose/topdown_moganet_s_{size}.py')
    steps = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert steps[2:6] == [
        'RandomShift029', 'RandomFlip', 'RandomHalfBody', 'RandomScaleRotation029'
    ]  # fmt: skip
