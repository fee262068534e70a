"""Videos that `predict` gets: what one clip is, what is skipped, what is not replaced."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from test_video_runs import write_video

from moganet_dense.config.reading import read_config
from moganet_dense.data.given_sources import given_sources
from moganet_dense.utils.errors import UserError
from moganet_dense.video import SimVP, next_frames
from moganet_dense.video.next_frames import clips_of, predict_videos

MMNIST = ROOT / 'configs/video/simvp_moganet_mmnist.py'


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 64, 64), np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Two folders of images and one of videos; a model of two frames to two, without weights."""
    monkeypatch.chdir(tmp_path)
    for name in ('clips/a', 'clips/b', 'videos'):
        Path(name).mkdir(parents=True)
    for name in 'ab':
        for index, image in enumerate(frames(3)):
            cv2.imwrite(f'clips/{name}/{index}.png', image)
    write_video(Path('videos/one.avi'), frames(5))
    write_video(Path('videos/short.avi'), frames(1))
    model = SimVP(2, 2, 1, hid_S=4, hid_T=8, N_S=2, N_T=2)
    monkeypatch.setattr(next_frames, 'build', lambda cfg: model)
    monkeypatch.setattr(next_frames, 'load', lambda *_: None)
    return tmp_path


def test_a_clip_is_a_video_or_the_images_of_a_folder(folder):
    found = clips_of(given_sources(['videos', 'clips']))
    assert [(clip.name, len(clip.sources)) for clip in found] == [
        ('one', 1), ('short', 1), ('a', 3), ('b', 3)
    ]  # fmt: skip
    (images,) = clips_of(given_sources(['clips/a/0.png', 'clips/a/1.png']))
    assert (images.name, images.file, len(images.sources)) == ('a', 'clips/a', 2)
    first, second = clips_of(given_sources(['clips/a', 'videos/one.avi', 'clips/b/../a/2.png']))
    assert first.name == 'a' and len(first.sources) == 3 and second.name == 'one'
    Path('videos/a').mkdir()
    cv2.imwrite('videos/a/0.png', frames(1)[0])
    names = [clip.name for clip in clips_of(given_sources(['clips/a', 'videos/a']))]
    assert names == ['a', 'a_2']


def test_a_short_video_is_skipped_and_the_others_are_predicted(folder):
    cfg, skipped = read_config(MMNIST), []
    inputs = ['videos/short.avi', 'videos/one.avi', 'clips']
    written = predict_videos(cfg, 'x.pth', inputs, 'next', skip=skipped.append)
    assert skipped == ['videos/short.avi: expected at least 2 frames, found 1']
    names = [path.name for path in written]
    assert names == ['one.png', 'one.mp4', 'a.png', 'a.mp4', 'b.png', 'b.mp4']
    assert all(path.stat().st_size for path in written)
    with pytest.raises(UserError, match='expected at least 2 frames, found 1'):
        predict_videos(cfg, 'x.pth', inputs, 'next')


def test_no_input_is_replaced_by_a_result(folder):
    Path('videos/one.avi').rename('videos/one.mp4')
    before = Path('videos/one.mp4').read_bytes()
    with pytest.raises(UserError, match='one.mp4 is an input, .* use another --out'):
        predict_videos(read_config(MMNIST), 'x.pth', ['videos/one.mp4'], 'videos')
    assert Path('videos/one.mp4').read_bytes() == before


def test_folders_without_videos_are_reported(folder):
    Path('empty').mkdir()
    with pytest.raises(UserError, match='no images or videos in empty'):
        predict_videos(read_config(MMNIST), 'x.pth', ['empty'], 'next')
