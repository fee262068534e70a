"""Our names in mmpretrain's hub and in the inferencers of the other toolboxes, with weights
from the cache and from a path, read without running code."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.registry import MODELS, DefaultScope
from PIL import Image
from registered_names import NAMES_AFTER, TOOLBOXES, assert_names_are_known
from test_classification import PARAMETERS, by_hand, official, tensors_of

import moganet_dense
from moganet_dense import load_model
from moganet_dense.config import metafiles
from moganet_dense.config.metafiles import METAFILES, entries
from moganet_dense.utils.errors import UserError
from moganet_dense.weights import releases
from moganet_dense.weights.conversion import WeightsError
from moganet_dense.weights.download import _cached_name

mmpretrain = pytest.importorskip('mmpretrain')
moganet_dense.register()  # its hub gets our names now

PULL_REQUEST = {
    'moganet-xtiny_3rdparty_8xb128_in1k': 'xt',
    'moganet-tiny_3rdparty_8xb128_in1k': 't',
    'moganet-small_3rdparty_8xb128_in1k': 's',
    'moganet-base_3rdparty_8xb128_in1k': 'b',
    'moganet-large_3rdparty_8xb128_in1k': 'l',
    'moganet-xlarge_3rdparty_16xb32_in1k': 'xl',
}
TINY, OFFICIAL = 'moganet-tiny_3rdparty_8xb128_in1k', 'moganet-tiny_official_8xb128_in1k'


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, 'w')


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    folder = tmp_path / 'torch/hub/checkpoints'
    folder.mkdir(parents=True)
    return folder


def flat(state: dict) -> dict:
    """With OpenMixup's flat averages, of parameters, beside raw zeros."""
    buffers = ('running_mean', 'running_var', 'num_batches_tracked')
    averages = {
        'ema_' + k.replace('.', '_'): v for k, v in state.items() if not k.endswith(buffers)
    }
    return {k: v if k.endswith(buffers) else v * 0 for k, v in state.items()} | averages


# name, gate, what the file holds
FILES = [
    (TINY, 'double', lambda state: {'state_dict': state}),
    (OFFICIAL, 'single', lambda state: {'state_dict': official(state), 'metric': 79.0}),
    (
        'moganet-xtiny_official_8xb128_in1k-256',
        'single',
        lambda state: {
            'state_dict': {k: v * 0 for k, v in official(state).items()},
            'state_dict_ema': official(state),
        },
    ),
    (
        'moganet-xtiny_openmixup-rsb-a3_8xb256_in1k-160',
        'double',
        lambda state: {'meta': {'epoch': 100}, 'state_dict': flat(state)},
    ),
    (
        'moganet-tiny_openmixup-deit3_8xb128_in1k-256',
        'double',
        lambda state: {
            'state_dict': {k.removeprefix('backbone.'): v for k, v in state.items()},
            'author': 'someone',
        },
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize('name, gate, content', FILES, ids=[f[0] for f in FILES])
def test_the_hub_computes_what_the_published_file_says(name, gate, content, cache):
    from mmpretrain.apis.model import ModelHub

    arch = 't' if 'tiny' in name and 'xtiny' not in name else 'xt'
    tensors = tensors_of(arch)
    path = cache / ModelHub.get(name).weights.rpartition('/')[2]
    torch.save(content(tensors), path)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    wanted = by_hand(arch, gate, tensors, pixels)
    for pretrained in (True, str(path)):
        model = mmpretrain.get_model(name, pretrained=pretrained)
        assert model.backbone.gate == gate and not model.training
        data = model.data_preprocessor(dict(inputs=list(pixels.flip(1))))  # BGR, as it is read
        with torch.no_grad():
            found, (features,) = model(data['inputs']), model.extract_feat(data['inputs'])
        assert features.shape == (2, model.head.in_channels)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_an_image_is_classified_by_name(cache, tmp_path):
    tensors = tensors_of('t')
    torch.save({'state_dict': tensors}, cache / f'{TINY}.pth')
    pixels = np.random.RandomState(2).randint(0, 256, (248, 248, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    inner = torch.tensor(pixels[None, 12:236, 12:236]).permute(0, 3, 1, 2).float()
    best = by_hand('t', 'double', tensors, inner).softmax(1).max(1)
    found = mmpretrain.inference_model(TINY, str(tmp_path / 'a.png'))
    assert found['pred_label'] == best.indices.item()
    assert found['pred_score'] == pytest.approx(best.values.item(), rel=1e-3)
    assert isinstance(found['pred_class'], str)


@pytest.mark.parametrize('name', PULL_REQUEST)
def test_the_six_names_of_the_pull_request(name):
    assert name in mmpretrain.list_models('moganet*3rdparty', task='Image Classification')
    with torch.device('meta'):  # counts, without the memory
        model = mmpretrain.get_model(name)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[PULL_REQUEST[name]]
    known = releases.find(f'{name}.pth')
    assert model.backbone.gate == known.gate and model._metainfo.weights == known.url


def test_a_file_with_the_other_gate_does_not_load(tmp_path):
    path = tmp_path / f'{TINY}.pth'
    torch.save({'state_dict': tensors_of('t')}, path)
    with pytest.raises(WeightsError, match="trained with gate='double'.*has gate='single'"):
        mmpretrain.get_model(OFFICIAL, pretrained=str(path))


def test_a_hostile_file_is_refused_and_not_run(tmp_path):
    marker, path = tmp_path / 'code-has-run', tmp_path / 'bad.pth'
    torch.save({'state_dict': {}, 'x': Hostile(marker)}, path)
    with pytest.raises(WeightsError, match='refused'):
        mmpretrain.get_model(TINY, pretrained=str(path))
    from mmdet.apis import DetInferencer

    with pytest.raises(WeightsError, match='refused'):
        DetInferencer('retinanet_moganet_xt', str(path), 'cpu')
    assert not marker.exists()


@pytest.mark.slow  # torch in a process of its own
def test_registering_changes_how_paths_and_urls_are_read_and_building_a_model_nothing():
    """Names of others' weights are read as before; a constructor has no effect on the process."""
    code = (
        'from mmengine.runner import CheckpointLoader as c; before = dict(c._schemes)\n'
        'from moganet_dense.models import MogaNet\n'
        'c._schemes = dict(before); MogaNet("xt"); print(c._schemes == before)\n'
        'import moganet_dense; moganet_dense.register()\n'
        'ours = "moganet_dense.weights.mmengine_loader"\n'
        'print(*sorted(repr(k) for k, v in c._schemes.items() if v.__module__ == ours))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ['True', "''", "'http://'", "'https://'", "'moganet://'"]


@pytest.mark.long  # toolboxes first: in engine/test_toolbox_scripts.py
def test_names_are_known_where_this_package_is_imported_first():
    done = subprocess.run(
        [sys.executable, '-c', NAMES_AFTER.format('import moganet_dense', TOOLBOXES)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert_names_are_known(done.stdout)


def test_entries_name_configs_that_exist():
    for scope in METAFILES:
        for entry in entries(scope):
            path = Path(entry['Config'])
            assert path.is_absolute() and path.is_file()


def test_find_gives_config_and_published_weights():
    files = moganet_dense.find('retinanet_moganet_xt')
    assert Path(files.config).name == 'retinanet_moganet_xt.py' and Path(files.config).is_file()
    assert files.checkpoint == metafiles.find('retinanet_moganet_xt')['Weights']
    with pytest.raises(UserError, match='no such model: retinanet_moganet_z; did you mean'):
        moganet_dense.find('retinanet_moganet_z')
    with pytest.raises(UserError, match='no weights are published for faster_rcnn_moganet_s'):
        moganet_dense.find('faster_rcnn_moganet_s')


def test_registering_again_changes_nothing():
    before = BaseInferencer._init_model, BaseInferencer._get_models_from_metafile
    moganet_dense.register()
    assert (BaseInferencer._init_model, BaseInferencer._get_models_from_metafile) == before
    assert len(mmpretrain.list_models('moganet')) == 30


def published(name: str, scope: str, path: Path, renamed: tuple[str, str] = ('', '')) -> dict:
    """Writes a file for one of our models at ``path``; returns its tensors as they are named
    in the model."""
    config = next(entry['Config'] for entry in entries(scope) if entry['Name'] == name)
    cfg = Config.fromfile(config)
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(scope):
        state = MODELS.build(cfg.model).state_dict()
    if 'bbox_head.retina_cls.bias' in state:  # so that there are boxes
        state['bbox_head.retina_cls.bias'].zero_()
    new, old = renamed
    torch.save({'meta': {}, 'state_dict': {k.replace(new, old): v for k, v in state.items()}}, path)
    return state


def move_to_cache(file: Path, name: str, cache: Path) -> None:
    """To where a download of a model's published weights would be."""
    file.rename(cache / _cached_name(metafiles.find(name)['Weights']))


def image(path: Path) -> str:
    """Long and thin: the published pipelines enlarge it to a length of 1333 or 2048 pixels."""
    Image.fromarray(np.random.RandomState(3).randint(0, 256, (6, 256, 3), np.uint8)).save(path)
    return str(path)


def assert_holds(model: torch.nn.Module, state: dict) -> None:
    found = model.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[k], state[k]) for k in state)


@pytest.mark.slow
def test_a_detector_by_name(tmp_path, cache):
    from mmdet.apis import DetInferencer

    state = published('retinanet_moganet_xt', 'mmdet', tmp_path / 'w.pth')
    inferencer = DetInferencer('retinanet_moganet_xt', str(tmp_path / 'w.pth'), 'cpu')
    assert_holds(inferencer.model, state)
    shown = image(tmp_path / 'a.png')
    (found,) = inferencer(shown)['predictions']
    assert len(found['bboxes']) == len(found['scores']) == 100
    # load_model sees the same, and finds the published file by the name alone, in the cache
    move_to_cache(tmp_path / 'w.pth', 'retinanet_moganet_xt', cache)
    ours = load_model('retinanet_moganet_xt', device='cpu')(shown)
    np.testing.assert_allclose(ours.boxes, found['bboxes'], atol=1e-3)
    np.testing.assert_allclose(ours.scores, found['scores'], atol=1e-6)
    assert ours.labels.tolist() == found['labels']
    by_name = DetInferencer('retinanet_moganet_xt', device='cpu')
    assert_holds(by_name.model, state)


@pytest.mark.slow
def test_a_segmentor_by_name(tmp_path):
    from mmseg.apis import MMSegInferencer

    state = published('sem_fpn_moganet_xt', 'mmseg', tmp_path / 'w.pth')
    inferencer = MMSegInferencer('sem_fpn_moganet_xt', str(tmp_path / 'w.pth'), device='cpu')
    assert_holds(inferencer.model, state)
    found = inferencer(image(tmp_path / 'a.png'))['predictions']
    assert found.shape == (6, 256) and 0 <= found.min() <= found.max() < 150
    ours = load_model('sem_fpn_moganet_xt', tmp_path / 'w.pth', device='cpu')
    np.testing.assert_array_equal(ours(tmp_path / 'a.png').labels, found)


@pytest.mark.slow
def test_a_pose_estimator_by_name(tmp_path):
    from mmpose.apis import MMPoseInferencer

    name = 'topdown_moganet_xt_256x192'
    state = published(name, 'mmpose', tmp_path / 'w.pth', renamed=('head.', 'keypoint_head.'))
    inferencer = MMPoseInferencer(
        pose2d=name, pose2d_weights=str(tmp_path / 'w.pth'), det_model='whole_image', device='cpu'
    )
    assert_holds(inferencer.inferencer.model, state)
    ((found,),) = next(inferencer(image(tmp_path / 'a.png')))['predictions']
    assert np.shape(found['keypoints']) == (17, 2) and len(found['keypoint_scores']) == 17
    ours = load_model(name, tmp_path / 'w.pth', device='cpu')(tmp_path / 'a.png')
    np.testing.assert_allclose(ours.keypoints[0], found['keypoints'], atol=1e-2)
    np.testing.assert_allclose(ours.scores[0], found['keypoint_scores'], atol=1e-5)


@pytest.mark.slow
def test_a_pose_estimator_and_a_detector_by_name(tmp_path, cache):
    """Both from the cache, where a download by name would put them."""
    from mmpose.apis import MMPoseInferencer

    pose, detector = 'topdown_moganet_xt_256x192', 'retinanet_moganet_xt'
    published(pose, 'mmpose', tmp_path / 'p.pth')
    state = published(detector, 'mmdet', tmp_path / 'd.pth')
    move_to_cache(tmp_path / 'p.pth', pose, cache)
    move_to_cache(tmp_path / 'd.pth', detector, cache)
    inferencer = MMPoseInferencer(
        pose2d=pose, det_model=detector, det_cat_ids=list(range(80)), device='cpu'
    )
    found_by = inferencer.inferencer.detector.model
    assert_holds(found_by, state)
    found_by.test_cfg.max_per_img = found_by.bbox_head.test_cfg.max_per_img = 2
    shown = image(tmp_path / 'a.png')
    (people,) = next(inferencer(shown, bbox_thr=0.0, nms_thr=1.0))['predictions']
    assert 1 <= len(people) <= 2 and np.shape(people[0]['keypoints']) == (17, 2)
