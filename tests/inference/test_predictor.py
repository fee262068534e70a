"""load_model: the same numbers as the toolboxes' own inference, in the image's coordinates."""

import warnings

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.registry import DefaultScope
from PIL import Image
from small import small

from moganet_dense import load_model
from moganet_dense.utils.errors import UserError

DET = 'configs/det/retinanet_moganet_xt.py'
MASKS = 'configs/det/mask_rcnn_moganet_xt.py'
SEG = 'configs/seg/sem_fpn_moganet_xt.py'
POSE = 'configs/pose/topdown_moganet_xt_256x192.py'
CLS = 'configs/cls/moganet_xt.py'


@pytest.fixture(scope='module')
def models():
    """One model a config, random, with outputs that depend on the image."""
    made = {}

    def get(config: str):
        if config not in made:
            torch.manual_seed(0)
            made[config] = load_model(small(config), 'random', device='cpu')
            for name, module in made[config].model.named_modules():
                if name.endswith(('retina_cls', 'retina_reg', 'conv_seg', 'fc_cls', 'fc')):
                    module.weight.data.mul_(3)  # so that the image decides, not the bias
        return made[config]

    return get


@pytest.fixture
def pixels() -> np.ndarray:
    """(120, 170, 3) uint8, RGB: blobs of many colours."""
    noise = np.random.RandomState(0).randint(0, 256, (6, 9, 3), np.uint8)
    return cv2.resize(noise, (170, 120), interpolation=cv2.INTER_CUBIC)


def of_toolbox(model) -> torch.nn.Module:
    """The model as the toolbox's own functions want it."""
    model.model.cfg = model.cfg
    model.model.dataset_meta = dict(model.names.meta)
    return model.model


@pytest.mark.slow
@pytest.mark.parametrize('config', [DET, MASKS])
def test_boxes_and_masks_are_those_of_mmdet(config, models, pixels, tmp_path):
    from mmdet.apis import inference_detector

    model = models(config)
    cv2.imwrite(str(tmp_path / 'a.png'), pixels[..., ::-1])
    with DefaultScope.overwrite_default_scope('mmdet'):
        wanted = inference_detector(of_toolbox(model), str(tmp_path / 'a.png')).pred_instances
    found = model(tmp_path / 'a.png')
    assert len(found) == len(wanted) > 0
    np.testing.assert_allclose(found.boxes, wanted.bboxes.numpy(), atol=1e-3)
    np.testing.assert_allclose(found.scores, wanted.scores.numpy(), atol=1e-6)
    np.testing.assert_array_equal(found.labels, wanted.labels.numpy())
    assert found.boxes.dtype == np.float32 and found.labels.dtype == np.int64
    assert (np.diff(found.scores) <= 0).all()
    if config == MASKS:
        assert model.task == 'instance segmentation'
        assert found.masks.shape == (len(found), 120, 170) and found.masks.dtype == bool
        np.testing.assert_array_equal(found.masks, wanted.masks.numpy())
    else:
        assert model.task == 'detection' and found.masks is None


def test_labels_of_pixels_are_those_of_mmseg(models, pixels):
    from mmseg.apis import inference_model

    model = models(SEG)
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    with DefaultScope.overwrite_default_scope('mmseg'):
        wanted = inference_model(of_toolbox(model), bgr).pred_sem_seg.data[0].numpy()
    found = model(bgr, order='bgr')
    assert found.labels.shape == (120, 170) and len(found.names) == 150
    np.testing.assert_array_equal(found.labels, wanted)
    assert len(np.unique(wanted)) > 1
    assert found.names[:2] == ('wall', 'building')
    assert found.palette[:2].tolist() == [[120, 120, 120], [180, 120, 120]]  # ADE20K's own


def test_two_classes_may_share_one_output(pixels):
    from mmseg.apis import inference_model

    cfg = small(SEG)
    cfg.model.decode_head.update(num_classes=2, out_channels=1, threshold=0.5)
    cfg.model.decode_head.loss_decode.use_sigmoid = True
    cfg.test_dataloader.dataset.metainfo = dict(classes=('sky', 'road'))
    torch.manual_seed(0)
    model = load_model(cfg, 'random', device='cpu')
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    with DefaultScope.overwrite_default_scope('mmseg'):
        wanted = inference_model(of_toolbox(model), bgr)
    found, probable = model(pixels, order='rgb'), wanted.seg_logits.data[0].numpy()
    np.testing.assert_array_equal(found.labels, wanted.pred_sem_seg.data[0].numpy())
    np.testing.assert_allclose(found.scores, np.maximum(probable, 1 - probable), atol=1e-6)
    assert found.names == ('sky', 'road') and set(np.unique(found.labels)) <= {0, 1}


def test_keypoints_are_those_of_mmpose(models, pixels):
    from mmpose.apis import inference_topdown

    model = models(POSE)
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    boxes = np.array([[10, 20, 60, 110], [90, 5, 160, 100]], np.float32)
    wanted = inference_topdown(of_toolbox(model), bgr, boxes)
    found = model(pixels, order='rgb', boxes=boxes)
    assert found.keypoints.shape == (2, 17, 2) and found.scores.shape == (2, 17)
    for i in range(2):
        own = wanted[i].pred_instances
        np.testing.assert_allclose(found.keypoints[i], own.keypoints[0], atol=1e-2)
        np.testing.assert_allclose(found.scores[i], own.keypoint_scores[0], atol=1e-5)
    assert found.names[0] == 'nose' and (5, 6) in found.skeleton  # the shoulders
    np.testing.assert_array_equal(found.boxes, boxes)


def test_classes_are_those_of_mmpretrain(models, pixels, tmp_path):
    from mmpretrain import ImageClassificationInferencer

    model = models(CLS)
    cv2.imwrite(str(tmp_path / 'a.png'), pixels[..., ::-1])
    of_toolbox(model)._config, model.model._dataset_meta = model.cfg, model.names.meta
    wanted = ImageClassificationInferencer(model.model)(str(tmp_path / 'a.png'))[0]
    found = model(Image.fromarray(pixels))
    np.testing.assert_allclose(found.scores, wanted['pred_scores'], atol=1e-6)
    assert found.label == wanted['pred_label'] and found.name == wanted['pred_class']
    assert found.scores.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_all_ways_to_hand_over_an_image_give_the_same(models, pixels, tmp_path):
    model = models(DET)
    file = tmp_path / 'a.png'
    Image.fromarray(pixels).save(file)
    wanted = model(file)
    ways = [
        model(str(file)),
        model(Image.open(file)),
        model(pixels, order='rgb'),
        model(pixels[..., ::-1], order='bgr'),
        *model([file, pixels], order='rgb'),
    ]
    for found in ways:
        np.testing.assert_array_equal(found.boxes, wanted.boxes)
        np.testing.assert_array_equal(found.scores, wanted.scores)
    assert len(wanted)
    assert np.abs(model(pixels, order='bgr').scores - wanted.scores).max() > 1e-4


@pytest.mark.parametrize('config', [DET, SEG, POSE, CLS])
def test_a_batch_gives_what_images_alone_give(config, models, pixels):
    model = models(config)
    wide, high = pixels, np.ascontiguousarray(pixels.transpose(1, 0, 2))
    images = [wide, 255 - wide, high, wide[:60]]
    together = model(images, order='rgb', batch_size=3)
    for image, found in zip(images, together, strict=True):
        alone = model(image, order='rgb')
        if hasattr(alone, 'labels'):
            others = np.count_nonzero(found.labels != alone.labels)
            assert others <= np.size(alone.labels) / 1000  # ties of pixels
        for name in ('boxes', 'scores', 'keypoints'):
            if hasattr(alone, name):
                np.testing.assert_allclose(getattr(found, name), getattr(alone, name), atol=2e-3)
    assert model([], order='rgb') == []


def test_a_turned_photograph_is_seen_as_it_is_shown(models, pixels, tmp_path):
    """EXIF orientation 6: stored lying on its side, to be turned clockwise by a quarter."""
    stored = np.ascontiguousarray(np.rot90(pixels))  # counter-clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / 'a.jpg', quality=100, subsampling=0, exif=exif)
    Image.fromarray(pixels).save(tmp_path / 'upright.jpg', quality=100, subsampling=0)
    model = models(SEG)
    upright = model(tmp_path / 'upright.jpg').labels
    turned = model(tmp_path / 'a.jpg').labels
    assert turned.shape == upright.shape == (120, 170)
    assert (turned == upright).mean() > 0.95  # JPEG, twice
    np.testing.assert_array_equal(model(Image.open(tmp_path / 'a.jpg')).labels, turned)


def test_people_of_several_images(models, pixels):
    model = models(POSE)
    one, two = np.array([[0, 0, 50, 90]]), np.array([[20, 10, 80, 110], [60, 0, 160, 110]])
    found = model([pixels, pixels, pixels], order='rgb', batch_size=4, boxes=[two, [], one])
    assert [len(poses) for poses in found] == [2, 0, 1]
    assert found[1].keypoints.shape == (0, 17, 2)
    again = model(pixels, order='rgb', boxes=one)
    np.testing.assert_allclose(found[2].keypoints, again.keypoints, atol=1e-3)
    whole = model(pixels, order='rgb')
    np.testing.assert_array_equal(whole.boxes, [[0, 0, 170, 120]])


def test_the_pyramid_is_the_backbones(models, pixels):
    pyramid = models(DET).features(pixels, order='rgb')
    height, width = pyramid.input_size
    assert (height, width) == (160, 192)  # 120 x 170 fitted into 160 x 192, padded to 32s
    assert pyramid.strides == (4, 8, 16, 32) and pyramid.channels == (32, 64, 96, 192)
    levels = zip(pyramid.maps, pyramid.strides, pyramid.channels, strict=True)
    for feature, stride, channels in levels:
        assert feature.shape == (channels, height // stride, width // stride)
        assert feature.dtype == np.float32


def test_the_fused_model_sees_the_same(models, pixels, tmp_path):
    plain = models(DET)
    torch.save({'state_dict': plain.model.state_dict()}, tmp_path / 'w.pth')
    deployed = load_model(small(DET), tmp_path / 'w.pth', device='cpu', deploy=True)
    assert deployed.model.backbone.deployed
    a, b = plain(pixels, order='rgb'), deployed(pixels, order='rgb')
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


def saved(model, path, **meta):
    torch.save({'state_dict': model.model.state_dict(), 'meta': meta}, path)
    return path


@pytest.mark.slow
def test_names_come_from_the_checkpoint_first(models, tmp_path):
    model = models(DET)
    own = tuple(f'thing {k}' for k in range(80))
    new = saved(model, tmp_path / 'new.pth', dataset_meta=dict(classes=own))
    old = saved(model, tmp_path / 'old.pth', CLASSES=own, PALETTE=None)  # mmdet 2.x
    none = saved(model, tmp_path / 'none.pth')
    assert load_model(small(DET), new, device='cpu').classes == own
    assert load_model(small(DET), old, device='cpu').classes == own
    assert load_model(small(DET), none, device='cpu').classes == model.classes
    assert model.classes[0] == 'person' and model.classes[79] == 'toothbrush'


def test_colours_of_known_classes_do_not_need_to_be_noted(models, tmp_path):
    model = models(SEG)
    noted = saved(model, tmp_path / 'a.pth', CLASSES=model.classes)
    found = load_model(small(SEG), noted, device='cpu')
    np.testing.assert_array_equal(found.names.palette, model.names.palette)
    other = saved(model, tmp_path / 'b.pth', CLASSES=[f'c{k}' for k in range(150)])
    found = load_model(small(SEG), other, device='cpu')
    assert not np.array_equal(found.names.palette, model.names.palette)


def test_names_that_are_too_few_or_missing_are_an_error(models, tmp_path):
    few = saved(models(DET), tmp_path / 'few.pth', dataset_meta=dict(classes=('a', 'b')))
    with pytest.raises(UserError, match='checkpoint names 2 classes.*bbox_head has 80'):
        load_model(small(DET), few, device='cpu')
    cfg = small(DET)
    cfg.test_dataloader.dataset.metainfo = dict(classes=('a', 'b', 'c'))
    with pytest.raises(UserError, match="config's data set names 3 .* has 80"):
        load_model(cfg, 'random', device='cpu')
    cfg = small(CLS)
    cfg.test_dataloader.dataset = dict(
        type='CustomDataset', data_prefix='x', pipeline=cfg.test_dataloader.dataset.pipeline
    )
    with pytest.raises(UserError, match='class names are unknown'):
        load_model(cfg, 'random', device='cpu')
    cfg = small(POSE)
    cfg.model.head.out_channels = 16
    with pytest.raises(UserError, match='names 17 classes or keypoints, head has 16'):
        load_model(cfg, 'random', device='cpu')


@pytest.mark.parametrize(
    'args, said',
    [
        (('retinanet_moganet_sx', 'random'), 'no such model.*did you mean retinanet_moganet'),
        (('nowhere.py', 'random'), 'no such config'),
        (
            (str(ROOT / DET),),
            'no weights for .*; retinanet_moganet_xt has published ones',
        ),
        (('faster_rcnn_moganet_s',), 'no weights are published for faster_rcnn_moganet_s'),
        ((str(ROOT / DET), 'faster_rcnn_moganet_s'), 'no weights are published for faster'),
        ((str(ROOT / DET), 'missing.pth'), 'no such file: missing.pth'),
    ],
)
def test_a_mistake_in_names_is_one_line(args, said):
    with pytest.raises(UserError, match=said):
        load_model(*args, device='cpu')


def test_published_weights_are_fetched_by_name(models, tmp_path, monkeypatch):
    """From the cache, under the name that a download gets."""
    from moganet_dense.config import metafiles
    from moganet_dense.weights.download import _cached_name, cache_folder

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    cache_folder().mkdir(parents=True)
    url = metafiles.find('retinanet_moganet_xt')['Weights']
    model = models(DET)
    saved(model, cache_folder() / _cached_name(url), CLASSES=model.classes)
    found = load_model('retinanet_moganet_xt', device='cpu')
    wanted = model.model.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in found.model.state_dict().items())


def test_an_image_that_does_not_fit_is_one_line(models, pixels, tmp_path):
    model = models(DET)
    (tmp_path / 'a.txt').write_text('no image')
    for image, said in [
        (pixels, 'pass order='),
        (pixels.astype(np.float32), 'found .*float32'),
        (np.zeros((4, 4, 5), np.uint8), r'found \(4, 4, 5\)'),
        (torch.zeros(2, 4, 4), r'found \(2, 4, 4\)'),
        (dict(image=pixels), 'found dict'),
        (tmp_path / 'absent.jpg', 'expected an image at'),
        (tmp_path / 'a.txt', 'expected an image that OpenCV reads'),
        (Image.fromarray(np.zeros((4, 4), np.uint16)), 'PIL mode I;16'),
    ]:
        with pytest.raises(UserError, match=said):
            model(image)
    with pytest.raises(UserError, match='boxes are for pose estimators'):
        model(pixels, order='rgb', boxes=[[0, 0, 1, 1]])
    with pytest.raises(UserError, match="expected 'rgb' or 'bgr'"):
        model(pixels, order='hsv')
    for boxes in ([[0, 0, 1]], [[5, 5, 1, 1]], [[0, 0, float('nan'), 1]]):
        with pytest.raises(UserError, match='boxes: expected'):
            models(POSE)(pixels, order='rgb', boxes=boxes)


def test_an_image_too_thin_to_be_resized_is_one_line(models):
    with pytest.raises(UserError, match='4000 x 1 pixels is less than one pixel wide'):
        models(DET)(np.zeros((1, 4000, 3), np.uint8), order='rgb')


def test_loading_a_model_warns_of_nothing(models):
    with warnings.catch_warnings(record=True) as said:
        load_model(small(POSE), 'random', device='cpu')
    assert not [w for w in said if 'metainfo' in str(w.message)]
