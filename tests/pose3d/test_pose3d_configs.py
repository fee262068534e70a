"""Configs of 3D pose: built, and what they are made of."""

import pytest
from conftest import ROOT
from mmengine.config import Config

pytest.importorskip('mmpose')
from moganet_dense.config.reading import read_config
from moganet_dense.data.drawn_figures import SKELETONS
from moganet_dense.toolboxes.build import build
from moganet_dense.visualization.skeletons_3d import draw_two_views

CONFIGS = sorted((ROOT / 'configs/pose3d').glob('*.py'))
OURS = [path for path in CONFIGS if 'moganet' in path.stem]

SIZES = {  # parameters in millions; that of InterNet with T was known before
    'internet_moganet_t_interhand3d': 12.22,
    'internet_moganet_s_interhand3d': 34.46,
    'simcc3d_moganet_t_figures': 5.78,
    'simcc3d_moganet_s_figures': 25.88,
    'simcc3d_moganet_t_hands': 5.83,
    # of a keypoint 49 C + 1 more than for figures, and 256 more of each bin and place of the map
    'simcc3d_moganet_t_h3wb': 7.41,
    'simcc3d_moganet_s_h3wb': 28.96,
}


def stem(path):
    return path.stem


@pytest.mark.parametrize('path', OURS, ids=stem)
def test_config_says_that_there_is_no_official_result_and_has_its_size(path):
    assert 'there is no official 3D result of MogaNet' in path.read_text()
    model = build(read_config(path))
    found = sum(p.numel() for p in model.parameters()) / 1e6
    assert found == pytest.approx(SIZES[path.stem], abs=0.01)


def test_there_is_a_config_for_each_lifting_model_of_mmpose():
    lifters = {Config.fromfile(p).model.backbone.type: p for p in CONFIGS if p not in OURS}
    assert set(lifters) == {'TCN', 'DSTFormer'}
    assert len(CONFIGS) - len(OURS) == 3  # of an image, of 27 frames, of 243 frames
    for path in CONFIGS:
        assert Config.fromfile(path).default_hooks.checkpoint.type == 'AtomicCheckpointHook'


@pytest.mark.slow
def test_a_photograph_is_lifted_from_our_2d_model():
    """mmpose's inferencer with our 2D model and a lifter of ours, without weights."""
    import numpy as np
    from mmpose.apis.inferencers import Pose3DInferencer

    from moganet_dense import register

    register()
    inferencer = Pose3DInferencer(
        str(ROOT / 'configs/pose3d/image_pose_lift_h36m.py'),
        pose2d_model=str(ROOT / 'configs/pose/topdown_moganet_xt_256x192.py'),
        det_model='whole_image',
        device='cpu',
    )
    image = np.random.default_rng(0).integers(0, 256, (96, 72, 3), np.uint8)
    (found,) = inferencer(image)
    (person,) = found['predictions'][0]
    keypoints = np.array(person['keypoints'])
    assert keypoints.shape == (17, 3)
    points = keypoints[:, [0, 2, 1]] * (-1, -1, 1)
    assert draw_two_views([points], SKELETONS['body'].links, 320).shape == (320, 640, 3)
