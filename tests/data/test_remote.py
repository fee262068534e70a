"""URLs, streams, cameras and videos: what is refused before any connection, and what is fetched."""

import re
import socket
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from file_server import Answer, make_certificate, serving

from moganet_dense.data import remote
from moganet_dense.data.image_array import as_bgr
from moganet_dense.data.sources import Fault, find, frames
from moganet_dense.data.video_files import is_video
from moganet_dense.utils.errors import UserError

PNG = cv2.imencode('.png', np.full((6, 8, 3), 90, np.uint8))[1].tobytes()


def clip(path: Path) -> bytes:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
    for k in range(3):
        writer.write(np.full((24, 32, 3), 40 * k, np.uint8))
    writer.release()
    return path.read_bytes()


REFUSED = {
    'http://example.org/a.jpg': 'http can be read and changed in transit',
    'https://127.0.0.1/a.jpg': 'address of a private network',
    'https://localhost:9/a.jpg': 'address of a private network',
    'https://[::1]/a.jpg': 'address of a private network',
    'https://[::ffff:10.0.0.1]/a.jpg': 'address of a private network',
    'https://169.254.169.254/latest/meta-data': 'address of a private network',
    'rtsp://192.168.1.7:554/live': 'address of a private network',
    'ftp://example.org/a.jpg': 'expected https://, rtsp:// or a file',
    'file:///etc/passwd': 'expected https://, rtsp:// or a file',
    'https:///a.jpg': 'expected https://',
    'https://[bad/a.jpg': 'is not a URL',
}


@pytest.mark.parametrize('url', REFUSED)
def test_refused_before_any_connection(url, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError(f'a connection: {args}')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(cv2, 'VideoCapture', refuse)
    (fault,) = frames(find([url]))
    assert isinstance(fault, Fault) and REFUSED[url] in fault.reason and '\n' not in fault.reason
    with pytest.raises(UserError):
        as_bgr(url)


def test_private_addresses_when_the_user_allows_them():
    with serving(Answer(PNG)) as (address, requests):
        (frame,) = frames(find([f'{address}/photos/a.png?x=1'], allow_private=True))
        assert frame.image.shape == (6, 8, 3) and frame.source.name == 'a'
        assert frame.file_name == f'{address}/photos/a.png?x=1' and requests


def test_videos_behind_urls(tmp_path):
    with serving(Answer(clip(tmp_path / 'v.avi'))) as (address, _):
        found = list(frames(find([f'{address}/v.bin'], allow_private=True)))
    assert [frame.file_name for frame in found] == [f'v.frames/{k:06d}.jpg' for k in range(3)]


def test_a_certificate_is_verified(monkeypatch, tmp_path):
    certificate = make_certificate(tmp_path)
    with serving(Answer(PNG), certificate) as (address, requests):
        (fault,) = frames(find([f'{address}/a.png'], allow_private=True))
        assert 'CERTIFICATE_VERIFY_FAILED' in fault.reason and not requests
        monkeypatch.setenv('SSL_CERT_FILE', str(certificate))
        (frame,) = frames(find([f'{address}/a.png'], allow_private=True))
        assert frame.image.shape == (6, 8, 3)


FAULTS = {
    'too large': (Answer(PNG, headers={'Content-Length': '9999999999'}), 'expected at most'),
    'absent': (Answer(b'', 404), '404'),
    'cut': (Answer(PNG, sent=30), 'truncated|cannot be downloaded'),
    'says more': (Answer(PNG, headers={'Content-Length': '99999'}), 'truncated'),
    'says less': (Answer(PNG, headers={'Content-Length': '40'}), 'the image is truncated'),
    'says nothing': (Answer(PNG[:40], headers={'Content-Length': None}), 'the image is truncated'),
    'chunks that end early': (
        Answer(b'ff\r\nabc', headers={'Content-Length': None, 'Transfer-Encoding': 'chunked'}),
        'cannot be downloaded',
    ),
    'compressed': (Answer(PNG, headers={'Content-Encoding': 'gzip'}), 'found it in gzip'),
    'a part': (Answer(PNG, status=206), '206'),
    'more than a head may have': (Answer(PNG, headers={'X': 'x' * 70_000}), 'cannot be downloaded'),
    'no image': (Answer(b'<html>'), 'expected an image that OpenCV reads'),
    'loop': (Answer(b'', 302, {'Location': '/again'}), 'more than 5 redirects'),
    'to a file': (Answer(b'', 302, {'Location': 'file:///etc/passwd'}), 'expected https://'),
}


@pytest.mark.parametrize('kind', FAULTS)
def test_what_cannot_be_fetched_is_one_line(kind, monkeypatch):
    answer, said = FAULTS[kind]
    with serving(answer) as (address, _):
        (fault,) = frames(find([f'{address}/a.png'], allow_private=True))
    assert re.search(said, fault.reason), fault.reason
    assert '\n' not in fault.reason and '/tmp' not in fault.reason


CHUNKS = {'Content-Length': None, 'Transfer-Encoding': 'chunked'}
SLOW = {
    'stalls after its head': Answer(PNG, pause=partial(time.sleep, 60)),
    'sends a byte at a time': Answer(PNG, trickle=0.02),
    'sends a chunk at a time': Answer(b'1\r\nx\r\n' * 50, headers=CHUNKS, trickle=0.02),
}


@pytest.mark.parametrize('kind', SLOW)
def test_a_slow_server_is_left(kind, monkeypatch):
    monkeypatch.setattr(remote, 'MINUTE', 0.2)
    with serving(SLOW[kind]) as (address, _):
        (fault,) = frames(find([f'{address}/a.png'], allow_private=True))
    assert re.search(r'\d+ bytes arrived within 0.2 seconds, too few', fault.reason)


def test_a_head_that_does_not_end_is_left(monkeypatch):
    """Each byte of it ends the wait for the next one."""
    import contextlib
    import threading

    monkeypatch.setattr(remote, 'MINUTE', 0.2)
    with socket.create_server(('127.0.0.1', 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                for byte in b'HTTP/1.1 200 OK\r\n' + b'X: y\r\n' * 50:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.02)

        threading.Thread(target=trickle, daemon=True).start()
        url = f'http://127.0.0.1:{server.getsockname()[1]}/a.png'
        (fault,) = frames(find([url], allow_private=True))
    assert '0 bytes arrived within 0.2 seconds' in fault.reason


def test_a_redirect_is_checked_again(monkeypatch):
    public = [(2, 1, 6, '', ('93.184.216.34', 443))]
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *a, **k: public)
    asked = []

    class Redirecting:
        status, reason = 302, ''

        def __init__(self, parts, address, watch):
            asked.append(address)

        def request(self, *args, **options): ...

        def close(self): ...

        def getresponse(self):
            return self

        def getheader(self, name, default=None):
            return 'https://10.0.0.1/secret'

    monkeypatch.setattr(remote, '_connection', Redirecting)
    (fault,) = frames(find(['https://example.org/a.png']))
    assert 'address of a private network' in fault.reason and asked == ['93.184.216.34']


def test_streams_and_cameras_that_are_not_there_are_one_line():
    for given in ('rtsp://127.0.0.1:5/stream', '63'):
        (fault,) = frames(find([given], allow_private=True))
        assert 'cannot be opened' in fault.reason and '\n' not in fault.reason
    assert [s.name for s in find(['0', 'rtsp://1.2.3.4/live/x.sdp'])] == ['camera_0', 'x']


def test_videos_are_known_by_their_content(tmp_path):
    clip(tmp_path / 'v.avi')
    (tmp_path / 'v.avi').rename(tmp_path / 'video.jpg')
    (tmp_path / 'image.mp4').write_bytes(PNG)
    (tmp_path / 'empty.mp4').write_bytes(b'')
    heads = dict(mp4=b'\0\0\0\x20ftypisom', mkv=b'\x1a\x45\xdf\xa3', ts=(b'\x47' + b'\0' * 187) * 3)
    for name, head in heads.items():
        (tmp_path / f'{name}.bin').write_bytes(head + b'\0' * 40)
        assert is_video(tmp_path / f'{name}.bin')
    (tmp_path / 'a.avif').write_bytes(b'\0\0\0\x20ftypavif' + b'\0' * 30)
    assert is_video(tmp_path / 'video.jpg') and is_video(tmp_path / 'empty.mp4')
    assert not is_video(tmp_path / 'image.mp4') and not is_video(tmp_path / 'a.avif')
    assert len(list(frames(find([str(tmp_path / 'video.jpg')])))) == 3
    (frame,) = frames(find([str(tmp_path / 'image.mp4')]))
    assert frame.index is None


def test_file_names_are_below_the_folder_that_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('a/1.png', 'a/deep/2.png', 'b/1.png'):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(PNG)
    names = lambda *given: [source.relative for source in find(given)]  # noqa: E731
    assert names('a') == ['1.png', 'deep/2.png']
    assert names('a', 'b') == ['a/1.png', 'a/deep/2.png', 'b/1.png']
    assert names('a/*.png') == ['1.png'] and names('a/**/*.png') == ['1.png', 'deep/2.png']
    assert names('a/1.png') == ['a/1.png']
    assert names(str(tmp_path / 'a')) == ['1.png', 'deep/2.png']


def test_images_of_every_kind_are_the_same():
    import io

    import torch
    from PIL import Image

    image = np.random.RandomState(0).randint(0, 255, (5, 7, 3)).astype(np.uint8)
    content = cv2.imencode('.png', image)[1].tobytes()
    rgb = np.ascontiguousarray(image[..., ::-1])
    alpha = np.dstack([rgb, np.full((5, 7), 9, np.uint8)])
    tensor = torch.from_numpy(rgb).permute(2, 0, 1)
    for given, order in [
        (content, None), (io.BytesIO(content), None), (bytearray(content), None), (rgb, 'rgb'),
        (image, 'bgr'), (alpha, 'rgb'), (tensor, None), (tensor / 255, None),
        (tensor.flip(0), 'bgr'), (Image.fromarray(alpha), None),
    ]:  # fmt: skip
        assert (as_bgr(given, order) == image).all(), type(given)
    grey = torch.full((1, 4, 4), 0.2)
    assert as_bgr(grey).shape == (4, 4, 3) and as_bgr(grey)[0, 0, 0] == 51
    for wrong in (torch.randn(3, 4, 4) * 3, torch.zeros(2, 3, 4, 4), b'', content[:40], 3):
        with pytest.raises(UserError, match='expected|truncated'):
            as_bgr(wrong)
