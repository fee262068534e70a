"""Images that are read in part, not at all, or in another form than usual: said, or right."""

import io
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from moganet_dense.cli import main
from moganet_dense.config import metafiles
from moganet_dense.data.image_array import as_bgr, as_read
from moganet_dense.data.image_io import decode
from moganet_dense.inference.predict import predict
from moganet_dense.inference.predictor import Predictor
from moganet_dense.results import Detections
from moganet_dense.results.kinds import class_indices, confident
from moganet_dense.utils.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)


class Nothing:
    """A detector that finds nothing."""

    task, classes = 'detection', ('cat', 'dog')

    def __call__(self, images, *, order, batch_size):
        empty = np.zeros(0, np.float32)
        return [Detections(empty.reshape(0, 4), empty, empty.astype(int), self.classes)] * len(
            images
        )


def animated(path, count=3):
    frames = [Image.fromarray(np.roll(PIXELS, i, 1)) for i in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize('suffix', ['.gif', '.webp', '.tif', '.png'])
def test_only_the_first_of_several_images_is_used_and_said(suffix, tmp_path, capsys):
    animated(tmp_path / f'a{suffix}')
    if cv2.imread(str(tmp_path / f'a{suffix}')) is None:
        pytest.skip('OpenCV before 4.11 reads no GIF')
    Image.fromarray(PIXELS).save(tmp_path / 'b.png')
    files = [str(tmp_path / f'a{suffix}'), str(tmp_path / 'b.png')]
    assert predict(Nothing(), files, None, None, 1, 0.3, None) == 0
    printed = capsys.readouterr().err
    assert '1 file with several images: the first of each was used' in printed
    assert predict(Nothing(), files[1:], None, None, 1, 0.3, None) == 0
    assert 'several images' not in capsys.readouterr().err


def test_images_of_a_folder_that_are_not_read_are_counted(tmp_path, capsys):
    Image.fromarray(PIXELS).save(tmp_path / 'a.png')
    for name in ('b.HEIC', 'c.heic', 'd.gif', 'notes.txt'):
        (tmp_path / name).write_bytes(b'x')
    assert predict(Nothing(), [str(tmp_path)], None, None, 1, 0.3, None) == 0
    printed = capsys.readouterr().err
    assert 'not read: 2 images ending in .heic: convert to PNG' in printed
    assert 'not read: 1 image ending in .gif: convert to PNG' in printed
    assert '.txt' not in printed


def test_an_open_file_is_read_from_its_beginning():
    """As Pillow does: after writing into it, its position is the end."""
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, 'PNG')
    np.testing.assert_array_equal(as_bgr(stream), PIXELS[..., ::-1])
    np.testing.assert_array_equal(as_read(stream, None, 'unchanged'), PIXELS[..., ::-1])


def test_grey_arrays_of_one_channel():
    grey = PIXELS[..., :1]
    np.testing.assert_array_equal(as_bgr(grey), np.repeat(grey, 3, axis=2))


def test_tiff_of_32_bits_is_named(tmp_path):
    Image.fromarray(PIXELS[..., 0].astype(np.float32)).save(tmp_path / 'a.tif')
    with pytest.raises(UserError, match='it has 32 bits per channel: save it with 8 or 16'):
        decode(tmp_path / 'a.tif')
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 256).save(tmp_path / 'a.tif')  # as advised
    assert decode(tmp_path / 'a.tif').shape == (12, 16, 3)


def test_scores_and_classes_of_another_type():
    empty = Nothing()([None], order='bgr', batch_size=1)[0]
    with pytest.raises(UserError, match="score_thr: expected a number, found '0.3'"):
        confident(empty, '0.3')
    with pytest.raises(UserError, match='expected the name of a class, or several, found 0'):
        class_indices(0, ('cat',))


def test_a_mistyped_work_dir_names_the_similar_one(tmp_path):
    (tmp_path / 'my_boxes').mkdir()
    said = metafiles.no_such(f'{tmp_path}/my_boxs')
    assert said.endswith(f'did you mean {tmp_path / "my_boxes"}?')
    assert 'moganet-dense zoo' in metafiles.no_such(f'{tmp_path}/something_else')


@pytest.mark.parametrize('height, width', [(1, 3000), (3000, 1)])
def test_images_that_are_too_long_for_the_model(height, width):
    """Resized as a whole the short side would be no pixel; tiles have the size of the model."""
    from mmcv.transforms import Resize

    model = SimpleNamespace(_prepare=Resize(scale=(96, 64), keep_ratio=True))
    sample = dict(img=np.zeros((height, width, 3), np.uint8), img_shape=(height, width))
    expected = f'an image of {width} x {height} pixels is less than one .* use tiles \\(--tile\\)'
    with pytest.raises(UserError, match=expected):
        Predictor._prepared(model, sample)


def test_overlap_needs_tiles(capsys):
    assert main(['predict', 'x.py', 'a.png', '--overlap', '0.3']) == 2
    assert '--overlap is the overlap of tiles: add --tile PIXELS' in capsys.readouterr().err


def test_spaces_between_classes(monkeypatch):
    """``--classes ' cat, dog,'`` are the classes cat and dog."""
    seen = {}
    monkeypatch.setattr('moganet_dense.commands.predict._built', lambda *_: Nothing())
    monkeypatch.setattr('moganet_dense.commands.predict._own_predictor', lambda _: None)
    monkeypatch.setattr(
        'moganet_dense.inference.predict.predict', lambda *_, **more: seen.update(more) or 0
    )
    assert main(['predict', 'x.py', 'a.png', '--classes', ' cat, dog,']) == 0
    assert seen['classes'] == ['cat', 'dog']
