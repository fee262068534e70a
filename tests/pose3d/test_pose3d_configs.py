"""Configs of 3D pose: built, and what they are made of."""

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config

pytest.importorskip('mmpose')
from moganet_dense.config.reading import read_config
from moganet_dense.data.drawn_figures import SKELETONS
from moganet_dense.engine.job import Job
from moganet_dense.export.fused_checkpoint import deploy
from moganet_dense.inference.metainfo import names_of
from moganet_dense.toolboxes.build import build
from moganet_dense.toolboxes.flops import complexity, usual_shape
from moganet_dense.utils.errors import UserError
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


def test_commands_without_a_way_for_them_say_so(tmp_path, monkeypatch):
    """They failed in the data set, or in the network, before."""
    monkeypatch.chdir(tmp_path)
    lifter, model = read_config(ROOT / 'configs/pose3d/image_pose_lift_h36m.py'), torch.nn.Module()
    with pytest.raises(UserError, match="reads keypoints and no images; use mmpose's Pose3DInf"):
        names_of(lifter, {}, model)
    with pytest.raises(UserError, match='expected a model of images or videos, found PoseLifter'):
        complexity(build(lifter), usual_shape(lifter))
    for name, head in [('simcc3d_moganet_t_hands', 'SimCC3DHead'),
                       ('internet_moganet_t_interhand3d', 'InternetHead')]:  # fmt: skip
        with pytest.raises(UserError, match=f'{head} finds keypoints in space'):
            names_of(read_config(ROOT / f'configs/pose3d/{name}.py'), {}, model)
    with pytest.raises(UserError, match='--mini draws no Human3.6M'):
        Job(ROOT / 'configs/pose3d/motionbert_243frm_h36m.py', mini=True).read()


@pytest.mark.parametrize(
    'name, shape',
    [('internet_moganet_s_interhand3d', (256, 256)), ('simcc3d_moganet_s_h3wb', (256, 192)),
     ('simcc3d_moganet_t_hands', (128, 128))],
)  # fmt: skip
def test_flops_are_those_of_the_crop(name, shape):
    assert usual_shape(read_config(ROOT / f'configs/pose3d/{name}.py')) == shape


@pytest.mark.slow
def test_the_network_is_fused_at_the_size_of_its_crops(tmp_path):
    """Its head fits maps of one size; a lifter has no MogaNet to fuse."""
    config = str(ROOT / 'configs/pose3d/simcc3d_moganet_t_hands.py')
    states = {}
    for path in (config, lifter := str(ROOT / 'configs/pose3d/image_pose_lift_h36m.py')):
        states[path] = str(tmp_path / 'weights.pth')
        torch.save(dict(state_dict=build(read_config(path)).state_dict()), states[path])
        if path == config:
            fused = deploy(config, states[path], str(tmp_path / 'fused.pth'))
            assert fused.stat().st_size > 1e6
    with pytest.raises(UserError, match='only MogaNet can be fused, the backbone is TCN'):
        deploy(lifter, states[lifter], str(tmp_path / 'other.pth'))
    assert not (tmp_path / 'other.pth').exists()
