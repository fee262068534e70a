"""Images of one and of four channels, from the data to the exported file."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from own_data import LABELS, write_labels, write_tiny
from test_recipes import recipe

from moganet_dense.cli import main
from moganet_dense.data.image_array import as_read, visible
from moganet_dense.models import MogaNet
from moganet_dense.weights.first_conv import fit_first_conv, for_channels

ARCH = dict(embed_dims=(8,) * 4, depths=(1,) * 4, ffn_ratios=(2,) * 4)
GREY = """_base_ = 'mine.py'
model = dict(
    backbone=dict(in_channels=1), data_preprocessor=dict(mean=[110.0], std=[58.0], bgr_to_rgb=False)
)
"""
PIPELINES = """
load = dict(type='LoadImageFromFile', color_type={kind!r})
train = [step for step in _base_.train_pipeline[1:] if step['type'] != 'PhotoMetricDistortion']
train_dataloader = dict(dataset=dict(pipeline=[load, *train]))
val_dataloader = dict(dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
test_dataloader = val_dataloader
"""


def test_weights_for_one_channel_are_the_sum_over_colours():
    """A grey image gives what its copy in three equal colours gives."""
    weight, grey = torch.randn(5, 3, 3, 3), torch.randn(1, 1, 8, 8)
    one = torch.nn.functional.conv2d(grey, for_channels(weight, 1))
    assert torch.allclose(
        one, torch.nn.functional.conv2d(grey.expand(1, 3, 8, 8), weight), atol=1e-5
    )


def test_weights_for_more_channels_are_repeated_and_scaled():
    """Channels 4 and 5 are colours 1 and 2 again, all times 3 / 5; equal channels give the same."""
    weight = torch.randn(5, 3, 3, 3)
    five = for_channels(weight, 5)
    assert torch.allclose(five, weight[:, [0, 1, 2, 0, 1]] * 0.6)
    constant = torch.ones(1, 1, 3, 3)
    six = torch.nn.functional.conv2d(constant.expand(1, 6, 3, 3), for_channels(weight, 6))
    three = torch.nn.functional.conv2d(constant.expand(1, 3, 3, 3), weight)
    assert torch.allclose(six, three, atol=1e-5)


def test_weights_as_timm_adapts_them():
    timm = pytest.importorskip('timm.models._manipulate')
    weight = torch.randn(4, 3, 3, 3)
    for channels in (1, 2, 4, 7):
        wanted = timm.adapt_input_conv(channels, weight)
        assert torch.allclose(for_channels(weight, channels), wanted, atol=1e-6)


def test_pretrained_weights_fit_other_channels(tmp_path):
    colours = MogaNet(ARCH)
    torch.save(colours.state_dict(), tmp_path / 'colours.pth')
    start = dict(type='Pretrained', checkpoint=str(tmp_path / 'colours.pth'))
    grey = MogaNet(ARCH, in_channels=1, init_cfg=start)
    grey.init_weights()
    image = torch.randn(1, 1, 64, 64)
    for one, three in zip(
        grey.eval()(image), colours.eval()(image.expand(1, 3, 64, 64)), strict=True
    ):
        assert torch.allclose(one, three, atol=1e-4)
    assert fit_first_conv(colours.state_dict(), colours)[1] == ''


def test_a_mean_for_each_channel():
    many = MODELS.build(
        dict(
            type='MultiChannelDataPreprocessor', base='mmseg.SegDataPreProcessor',
            mean=[1.0, 2.0, 3.0, 4.0], std=[1.0, 1.0, 2.0, 2.0], size=(2, 2),
        )
    )  # fmt: skip
    image = torch.full((4, 2, 2), 5.0)
    found = many(dict(inputs=[image], data_samples=None), False)['inputs']
    assert found[0, :, 0, 0].tolist() == [4.0, 3.0, 1.0, 0.5]


def test_arrays_are_read_as_files_are(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 4), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'four.png'), image)
    assert (as_read(tmp_path / 'four.png', None, 'unchanged') == image).all()
    assert (as_read(image, None, 'unchanged') == image).all()
    grey = as_read(tmp_path / 'four.png', None, 'grayscale')
    assert grey.shape == (8, 8) and as_read(grey, None, 'grayscale') is grey
    assert (visible(image) == image[..., :3]).all() and visible(grey).shape == (8, 8, 3)
    deep = np.array([[0, 65535]], np.uint16)
    assert visible(deep)[0, :, 0].tolist() == [0, 255]


@pytest.fixture(scope='module', params=[1, 4])
def trained(request, tmp_path_factory) -> Iterator[tuple[Path, int]]:
    """A work dir of a segmentor of that many channels, and their number."""
    folder, channels = tmp_path_factory.mktemp('channels'), request.param
    write_labels(folder / 'set', channels=channels)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(['init', 'set', '--name', 'full']) == 0
        write_tiny(folder, LABELS)
        title = 'Images with one, four or more channels'
        code = recipe(title, 'segmentation') if channels == 4 else GREY
        kind = 'unchanged' if channels == 4 else 'grayscale'
        Path('own.py').write_text(code + PIPELINES.format(kind=kind))
        how = ['--from-scratch', '--epochs', '1', '--img-size', '64', '--work-dir', 'work']
        assert main(['train', 'own.py', *how]) == 0
        yield folder, channels


@pytest.mark.slow
def test_every_command_reads_what_training_reads(trained, monkeypatch, capsys):
    folder, channels = trained
    monkeypatch.chdir(folder)
    config = next(Path('work').glob('*.py'))
    assert main(['browse', str(config), '--number', '2', '--out', 'browse']) == 0
    assert cv2.imread('browse/000.jpg').std() > 10
    image = str(Path('set/images/0.png'))
    assert main(['predict', 'work', image, '--out', 'found']) == 0
    assert main(['explain', 'work', image, '--out', 'why']) == 0
    assert Path('why/explain.json').is_file()
    assert main(['export', 'work', '--out', 'model.onnx']) == 0
    from moganet_dense.inference.predictor import load_model
    from moganet_dense.runtime import load

    wanted, found = load_model('work')(image), load('model.onnx')(image)
    assert (wanted.labels == found.labels).mean() > 0.999
    array = cv2.imread(image, cv2.IMREAD_UNCHANGED)
    assert array.ndim == (2 if channels == 1 else 3)
    assert (load('model.onnx')(array).labels == found.labels).all()
