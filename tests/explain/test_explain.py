"""Grad-CAM compared with its formula, v against a model worked out by hand, and whole runs."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT

from moganet_dense import load_model
from moganet_dense.explain import Case, Sampling, explain, log_odds
from moganet_dense.explain.gradcam import grad_cam, logit
from moganet_dense.utils.errors import UserError

DET = ROOT / 'configs/det/retinanet_moganet_xt.py'
CLS = ROOT / 'configs/cls/moganet_xt.py'
SEG = ROOT / 'configs/seg/sem_fpn_moganet_xt.py'


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / 'image.png'
    image = np.random.default_rng(0).integers(0, 255, (9, 16, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(image, (160, 96), interpolation=cv2.INTER_CUBIC))
    return path


def test_grad_cam_of_a_classifier_is_its_weights_times_its_maps(photo):
    """Behind global pooling and one linear layer the gradient of a class at each place is its
    weight over the number of places, so the map is ReLU(sum over k of w_ck A_k), scaled."""
    predictor = load_model(CLS, 'random')
    model, image = predictor.model, predictor.prepared(photo)['inputs']
    found = grad_cam(model, logit(model, 7), [model.backbone.norm4], image)
    with torch.no_grad():
        (maps,) = model.backbone(image)
        expected = F.relu(torch.einsum('k,khw->hw', model.head.fc.weight[7], maps[0])).numpy()
    scale = cv2.resize((expected - expected.min()) / (1e-7 + np.ptp(expected)), (224, 224))
    scale = (scale - scale.min()) / np.ptp(scale)
    assert found.shape == (224, 224) and found.min() == 0
    assert np.allclose(found, scale, atol=1e-4)
    assert all(p.grad is None for p in model.parameters())


def test_without_the_library_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pytorch_grad_cam', None)
    with pytest.raises(UserError, match=r"pip install 'moganet_dense\[explain\]'"):
        grad_cam(torch.nn.Identity(), lambda image: image.sum(), [], torch.zeros(1, 3, 8, 8))


class MeanColours(torch.nn.Module):
    """Three classes whose outputs are ten times the mean of each colour."""

    def forward(self, images, mode):
        assert mode == 'tensor'
        return 10 * images.mean((2, 3))


def test_v_is_the_log_odds_with_the_other_patches_at_zero():
    image = torch.zeros(1, 3, 32, 32)
    image[0, 0] = 1  # the first colour everywhere, but for
    image[0, 0, :2, :2] = 129  # the first patch: the mean is 1 + 128 * 4 / 1024 = 1.5
    value = log_odds(MeanColours(), image, 0)
    sets = np.zeros((3, 256), dtype=bool)
    sets[0] = True
    sets[1, 0] = True  # the first patch alone: a mean of 129 * 4 / 1024
    by_hand = [np.exp(10 * mean) for mean in (1.5, 129 * 4 / 1024, 0)]
    p = [z / (z + 2) for z in by_hand]  # the other two outputs are zero: e^0 each
    assert np.allclose(value(sets), [np.log(q / (1 - q)) for q in p], atol=1e-5)


@pytest.mark.slow
def test_a_classifier_is_explained(photo, tmp_path):
    sampling = Sampling(orders=3, pairs=1, contexts=1)
    report = explain(CLS, photo, tmp_path / 'out', 'random', sampling=sampling)
    content = json.loads(report.read_text())
    assert content['task'] == 'classification' and content['input_size'] == [224, 224]
    assert [level['stride'] for level in content['pyramid']] == [4, 8, 16, 32]
    assert [level['size'] for level in content['pyramid']] == [
        [56] * 2,
        [28] * 2,
        [14] * 2,
        [7] * 2,
    ]
    assert content['interactions']['orders'] == [0, 127, 254]
    assert np.isclose(np.mean(content['interactions']['relative']), 1)
    assert len(content['receptive_field']) == 4
    files = {path.name for path in report.parent.iterdir()}
    drawn = ('pyramid', 'grad_cam', 'receptive_field', 'interactions')
    assert files == {'explain.json', *(f'{name}.png' for name in drawn)}
    assert all(cv2.imread(str(report.parent / f'{name}.png')) is not None for name in drawn)


@pytest.mark.slow
@pytest.mark.parametrize('config', [DET, 'mask_rcnn', SEG])
def test_detectors_and_segmentors_are_explained(config, photo, tmp_path):
    config = small(config, tmp_path)
    report = explain(config, photo, tmp_path / 'out', 'random', parts=['grad-cam'])
    content = json.loads(report.read_text())
    assert content['grad_cam']['class'] == content['class']
    drawn = cv2.imread(str(report.parent / 'grad_cam.png'))
    assert drawn.std() > 10 and 'pyramid' not in content
    with pytest.raises(UserError, match='interactions is not defined for'):
        explain(config, photo, tmp_path / 'out', 'random', parts=['interactions'])
    with pytest.raises(UserError, match="no class 'persom'; did you mean person"):
        explain(config, photo, tmp_path / 'out', 'random', name='persom')


def small(config, folder):
    """A config that reads small images, and shows boxes that it is not sure of."""
    base = ROOT / 'configs/det/mask_rcnn_moganet_xt.py' if config == 'mask_rcnn' else config
    text = f'_base_ = {str(base)!r}\n'
    steps = "dict(type='LoadImageFromFile'), dict(type='Resize', scale=(160, 96), keep_ratio=True)"
    kind = 'Seg' if config is SEG else 'Det'
    keys = "'img_path', 'ori_shape', 'img_shape', 'scale_factor'"
    keys += '' if config is SEG else ", 'img_id'"
    pack = f"dict(type='Pack{kind}Inputs', meta_keys=({keys}))"
    text += f'test_dataloader = dict(dataset=dict(pipeline=[{steps}, {pack}]))\n'
    text += {
        DET: 'model = dict(test_cfg=dict(score_thr=0.0))\n',
        SEG: '',
    }.get(
        config, 'model = dict(test_cfg=dict(rpn=dict(max_per_img=20), rcnn=dict(score_thr=0.0)))\n'
    )
    path = folder / 'small.py'
    path.write_text(text)
    return path


def test_the_class_that_is_explained(photo, tmp_path):
    predictor = load_model(small(SEG, tmp_path), 'random')
    case = Case.of(predictor, photo, None)
    names, counts = np.unique(case.result.labels, return_counts=True)
    assert case.label == names[counts.argmax()]
    absent = next(i for i in range(150) if i not in names)
    with pytest.raises(UserError, match='the model finds no .* in this image; it finds'):
        Case.of(predictor, photo, predictor.classes[absent])
    other = predictor.classes[names[counts.argmin()]]
    assert Case.of(predictor, photo, other).name == other
