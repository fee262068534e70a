"""The web page's server over HTTP: what it answers, and what it refuses."""

import base64
import contextlib
import io
import json
import logging
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from pycocotools import mask as rle
from serving import NAMES, Watched, ask, predict, served
from tiny_onnx import FOUND, NOTES, tiny_detector

from moganet_dense.demo import connections, serve
from moganet_dense.demo import server as module
from moganet_dense.demo.connections import CONNECTIONS
from moganet_dense.demo.decoder import Decoder
from moganet_dense.demo.guard import host_names
from moganet_dense.demo.model_cache import KEPT, ModelCache
from moganet_dense.demo.uploads import MAX_BYTES
from moganet_dense.utils.errors import UserError

PAGE = ROOT / 'moganet_dense/demo/page'


@pytest.fixture(scope='module')
def watched():
    return Watched()


@pytest.fixture(scope='module')
def port(watched):
    with served(watched) as number:
        yield number


def encoded(width=100, height=80, kind='PNG', **options) -> bytes:
    content = io.BytesIO()
    Image.new('RGB', (width, height), (250, 120, 10)).save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize('count', [module.ARRIVING, 90])
@pytest.mark.parametrize('chunked', [False, True])
def test_slow_uploads_do_not_shut_others_out(count, chunked, port):
    length = 'Transfer-Encoding: chunked' if chunked else 'Content-Length: 1000'
    head = f'POST /predict?model=detector HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{length}\r\n'
    head += 'Content-Type: application/octet-stream\r\n\r\n' + ('1\r\nx\r\n' if chunked else 'x')
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(count):
            slow.append(stack.enter_context(socket.create_connection(('127.0.0.1', port), 60)))
            slow[-1].sendall(head.encode())
        assert predict(port, encoded())[0] == 200
        with contextlib.suppress(ConnectionResetError):  # it may overtake the answer
            assert b' 408 ' in slow[0].recv(1000)


def test_the_page_and_its_parts_are_there(port):
    status, headers, body = ask(port, 'GET', '/')
    assert status == 200 and headers['content-type'].startswith('text/html')
    for name in re.findall(rb'(?:src|href)="([^"]+)"', body):
        assert ask(port, 'GET', '/' + name.decode())[0] == 200, name
    for path in ('/../server.py', '/%2e%2e/server.py', '/..%2fserver.py', '/nothing'):
        assert ask(port, 'GET', path)[0] == 404


def test_the_page_names_no_other_host():
    for path in PAGE.rglob('*.*'):
        if path.suffix in ('.html', '.css', '.js', '.svg'):
            text = path.read_text().replace('http://www.w3.org/2000/svg', '')
            assert not re.search(r'https?:|url\(|@import|[\'"(]//', text), path


def test_every_response_carries_the_headers(port):
    for request in ['GET /', 'GET /models', 'GET /nothing', 'POST /predict']:
        _, headers, _ = ask(port, *request.split())
        assert headers['x-content-type-options'] == 'nosniff'
        assert "default-src 'none'" in headers['content-security-policy']
        assert "frame-ancestors 'none'" in headers['content-security-policy']
        assert 'access-control-allow-origin' not in headers


@pytest.mark.parametrize(
    'host, status',
    [('localhost:80', 200), ('127.0.0.1', 200), ('[::1]:7860', 200), ('LOCALHOST', 200),
     ('evil.example', 421), ('localhost.evil.example', 421), ('', 421), ('a:b:c', 421),
     ('192.168.1.7', 421), ('8.8.8.8', 421), ('127.0.0.1/x', 421), ('evil@127.0.0.1', 421),
     ('127.0.0.1:80@evil', 421), ('127.0.0.1:', 421), ('127.0.0.1:123456', 421), ('[::1', 421),
     ('127.0.0.1#', 421), ('127.0.0.1?', 421), ('127.0.0.1, evil', 421), ('0x7f.1', 421),
     ('2130706433', 421), ('127.1', 421), ('localhost.', 421), ('localhost\t', 200),
     ('\xe9vil', 421)],
)  # fmt: skip
def test_only_its_own_names_are_answered(port, host, status):
    assert ask(port, 'GET', '/models', Host=host)[0] == status


def test_names_that_were_allowed_are_answered():
    with served(Watched(), host_names(['Demo.Example.org', '10.1.2.3', 'fe80::1'])) as port:
        for host in ('demo.example.org:443', '10.1.2.3', '[fe80::1]', 'localhost'):
            assert ask(port, 'GET', '/models', Host=host)[0] == 200
        for host in ('example.org', '10.1.2.4'):
            assert ask(port, 'GET', '/models', Host=host)[0] == 421
    for wrong in ('https://demo.example.org', 'a/b', 'a:80', '[::1]:80', '', '*', 'a@b', 'a b'):
        with pytest.raises(UserError, match='--allow-host: expected a name'):
            host_names([wrong])


def test_an_address_of_the_network_is_its_own_where_a_request_arrives_there():
    from moganet_dense.demo.guard import _own_names

    assert _own_names(dict(server=('192.168.1.7', 80))) == {'192.168.1.7'}
    assert _own_names(dict(server=('127.0.0.1', 80))) == {'localhost', '127.0.0.1', '::1'}
    assert _own_names(dict(server=None)) == set()


def test_silent_connections_shut_nobody_out(port):
    """More than may be open at once; the oldest give way, and all are closed in time."""
    silent = [socket.create_connection(('127.0.0.1', port)) for _ in range(CONNECTIONS + 10)]
    for one in silent[:50]:
        one.sendall(b'GET / HTTP/1.1\r\nHost: 127')  # the beginning of a request is none
    assert ask(port, 'GET', '/models')[0] == 200
    assert predict(port, encoded())[0] == 200
    for one in silent:
        one.close()


@pytest.mark.parametrize(
    'sent', [b'', b'GET / HT', b'GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n']
)
def test_a_connection_that_does_not_ask_is_closed(port, sent, monkeypatch):
    monkeypatch.setattr(connections, 'SECONDS_TO_ASK', 0.2)
    with socket.create_connection(('127.0.0.1', port)) as silent:
        silent.settimeout(60)
        silent.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            while silent.recv(1 << 16):  # an answer, if it asked; then the end
                pass


def many_scans(number: int, side: int = 1500) -> bytes:
    """A progressive JPEG with one of its scans repeated; nothing in it is damaged."""
    Image.new('L', (side, side), 128).save(
        content := io.BytesIO(), 'JPEG', progressive=True, quality=50
    )
    whole = content.getvalue()
    last = whole.rindex(b'\xff\xda')
    return whole[:-2] + whole[last:-2] * number + whole[-2:]


def test_an_image_that_takes_long_to_decode(port):
    assert predict(port, many_scans(20))[0] == 200
    status, found = predict(port, many_scans(2000))
    assert status == 422 and found['error'] == 'expected a JPEG of at most 100 scans, found more'


def test_decoding_ends_in_time_and_the_next_image_is_decoded(monkeypatch):
    decode = Decoder()
    assert decode(encoded(60, 40))[0].shape == (40, 60, 3)
    first = decode._process.pid
    os.kill(first, signal.SIGSTOP)  # as by an image that takes minutes
    decode.seconds = 0.1
    with pytest.raises(UserError, match='takes more than 0.1 seconds'):
        decode(encoded(60, 40))
    assert decode._process is None
    decode.seconds = 60
    assert decode(encoded(60, 40))[1] == (60, 40) and decode._process.pid != first
    decode._process.kill()  # as by a decoder that crashes
    decode._process.wait()
    assert decode(encoded(60, 40))[1] == (60, 40)
    with pytest.raises(UserError, match='expected a JPEG, PNG or WebP image'):
        decode(b'none')
    assert decode(encoded(60, 40))[1] == (60, 40)
    decode.close()


@pytest.mark.slow  # 230 requests
def test_memory_stays_where_it_is(port, watched):
    """Over many images of many sizes; the first ones fill caches."""

    def resident() -> int:
        with open('/proc/self/statm') as file:
            return int(file.read().split()[1]) * 4096

    sizes = [(300 + 37 * (k % 11), 300 + 53 * (k % 7)) for k in range(230)]
    watched.given = deque(maxlen=1)  # the images are kept for other tests
    for width, height in sizes[:30]:
        assert predict(port, encoded(width, height), 'segmentor')[0] == 200
    before = resident()
    for width, height in sizes[30:]:
        assert predict(port, encoded(width, height), 'segmentor')[0] == 200
    watched.given = []
    assert resident() - before < 20 * 2**20


def test_other_sites_pages_are_refused(port):
    ours = f'http://127.0.0.1:{port}'
    assert predict(port, encoded(), Origin=ours)[0] == 200
    for origin in ('http://evil.example', 'null', f'http://localhost:{port}'):
        assert predict(port, encoded(), Origin=origin)[0] == 403
    for kind in ('text/plain', 'multipart/form-data; boundary=x'):  # what a form can send
        assert predict(port, encoded(), Content_Type=kind)[0] == 415


def test_objects_come_in_cocos_format(port, watched):
    status, found = predict(port, encoded(100, 80))
    assert status == 200 and found['task'] == 'detection' and found['stored_size'] == [100, 80]
    assert found['images'] == [dict(id=1, width=100, height=80)]
    assert found['categories'] == [dict(id=1, name=NAMES[0]), dict(id=2, name=NAMES[1])]
    first, second = found['annotations']
    assert first['bbox'] == [5, 10, 20, 20] and first['score'] == 0.9 and first['category_id'] == 1
    assert second['bbox'] == [50, 40, 40, 20] and second['area'] == 800
    mask = rle.decode(second['segmentation'])
    assert mask.sum() == 800 and mask[40:60, 50:90].all()
    image, order = watched.given[-1]
    assert order == 'rgb' and image.shape == (80, 100, 3) and image[0, 0].tolist() == [250, 120, 10]


def test_areas_come_as_run_lengths_and_certainties(port):
    _, found = predict(port, encoded(10, 4), 'segmentor')
    assert [row['name'] for row in found['classes']] == list(NAMES)
    assert [row['pixels'] for row in found['classes']] == [20, 20]
    assert [row['score'] for row in found['classes']] == pytest.approx([0.8, 0.2])
    assert rle.decode(found['classes'][0]['segmentation'])[:, :5].all()
    packed = zlib.decompress(base64.b64decode(found['shown']['certainty']))
    assert np.frombuffer(packed, np.uint8).reshape(4, 10)[0].tolist() == [204] * 5 + [51] * 5
    assert found['shown']['colours'] == {'0': '#c81e1e', '1': '#1e1ec8'}


def test_skeletons_of_the_people_that_a_detector_finds(port):
    _, found = predict(port, encoded(), 'poser', '&detector=detector')
    (person,) = found['annotations']  # the other object is none
    assert person['keypoints'] == pytest.approx([5, 10, 0.9, 25, 30, 0.5], abs=1e-3)
    assert person['score'] == pytest.approx(0.9 * 0.7)  # of the box, and the keypoints' mean
    status, found = predict(port, encoded(), 'poser', '&detector=segmentor')
    assert status == 422 and 'segmentor does not find people' in found['error']


def test_poses_come_with_their_points_in_space(port):
    _, found = predict(port, encoded(), 'poser%20in%20space')
    (figure,) = found['annotations']
    assert found['task'] == 'pose3d' and figure['points'] == [[0, 0, 0], [0, 0, 1]]
    assert figure['keypoints'] == pytest.approx([10, 20, 0.9, 60, 20, 0.9], abs=1e-3)
    assert found['categories'][0]['skeleton'] == [[1, 2]]


@pytest.mark.parametrize('name', ['simcc3d_moganet_t_hands', 'internet_moganet_t_interhand3d'])
def test_a_3d_config_is_offered_under_its_task(tmp_path, name):
    (tmp_path / 'a.pth').touch()
    config = str(ROOT / f'configs/pose3d/{name}.py')
    (choice,) = ModelCache.of([config, str(tmp_path / 'a.pth')]).choices.values()
    assert choice.task == 'pose3d'


def test_classes_come_with_their_probability(port):
    _, found = predict(port, encoded(), 'classifier')
    assert found['classes'][0] == dict(label=1, name=NAMES[1], score=0.75)


def test_a_photograph_is_turned_as_its_tag_says_and_large_ones_are_shrunk(port, watched):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    status, found = predict(port, encoded(4000, 3000, 'JPEG', exif=exif))
    assert status == 200 and found['stored_size'] == [3000, 4000]
    assert found['images'] == [dict(id=1, width=1200, height=1600)]
    assert watched.given[-1][0].shape == (1600, 1200, 3)


def header_of_a_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)

    start = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + start + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b'')


@pytest.mark.parametrize(
    'content, words',
    [
        (b'', 'expected a JPEG, PNG or WebP image'),
        (b'hello, this is no image', 'expected a JPEG, PNG or WebP image'),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'expected a JPEG, PNG or WebP image'),
        (encoded(kind='GIF'), 'expected a JPEG, PNG or WebP image'),
        (encoded(kind='TIFF'), 'expected a JPEG, PNG or WebP image'),
        (encoded(300, 300, 'JPEG')[:900], 'damaged'),
        (header_of_a_png(9000, 9000), 'at most 50 million pixels, found 9000 x 9000'),
        (header_of_a_png(100_000, 100_000), 'at most 50 million pixels, found far more'),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_in_one_line(port, watched, content, words):
    before = len(watched.given)
    status, found = predict(port, content)
    assert status == 422 and words in found['error'] and '\n' not in found['error']
    assert len(watched.given) == before


def test_a_file_that_is_too_large_is_refused_before_it_is_there(port):
    status, found = predict(port, b'0' * (MAX_BYTES + 1))
    assert status == 413 and found['error'] == 'expected at most 20 MB, found a larger file'
    status, _ = predict(port, (b'0' * 2**20 for _ in range(22)))  # without saying its length
    assert status == 413


def test_a_model_that_fails_tells_nothing_of_the_server(port):
    status, found = predict(port, encoded(), 'broken')
    assert status == 500 and 'secret' not in found['error'] and 'Traceback' not in found['error']
    assert predict(port, encoded(), 'nobody')[0] == 422
    assert predict(port, encoded())[0] == 200


@pytest.mark.slow
def test_ten_at_once_take_turns(monkeypatch):
    watched, refused = Watched(partial(time.sleep, 0.05)), threading.Event()
    content = encoded()

    def asked(_) -> tuple[int, str]:
        status, found = predict(port, content)
        if status == 503:
            refused.set()
        return status, found.get('error', '')

    with served(watched) as port, ThreadPoolExecutor(10) as pool:
        assert list(pool.map(asked, range(10))) == [(200, '')] * 10 and watched.most == 1
        monkeypatch.setattr(module, 'WAITING', 3)
        watched.pause = partial(refused.wait, 60)  # so that three wait, however late the others ask
        answers = set(pool.map(asked, range(10)))
    assert watched.most == 1
    assert answers == {(200, ''), (503, 'too many images are waiting; try again in a moment')}


def test_few_models_are_in_memory(port, watched):
    watched.loaded.clear()
    for model in ('detector', 'classifier', 'classifier', 'detector', 'segmentor', 'detector'):
        predict(port, encoded(), model)
    assert watched.loaded[-1] == 'segmentor'  # the detector, used in between, stayed
    assert KEPT == 2


def test_the_models_of_the_command_line(tmp_path):
    (tmp_path / 'best.pth').touch()
    config = str(ROOT / 'configs/seg/upernet_moganet_t.py')
    choices = ModelCache.of(['retinanet_moganet_s', f'{config}={tmp_path}/best.pth']).choices
    assert {name: choice.task for name, choice in choices.items()} == {
        'retinanet_moganet_s': 'detection',
        'upernet_moganet_t (best)': 'segmentation',
    }
    pair = [config, f'{tmp_path}/best.pth']
    assert ModelCache.of(['retinanet_moganet_s', *pair]).choices == choices
    assert list(ModelCache.of([*pair, 'retinanet_moganet_s']).choices) == [*choices][::-1]
    published = ModelCache.of([]).choices
    assert {choice.task for choice in published.values()} == {
        'detection', 'segmentation', 'pose', 'classification'
    }  # fmt: skip
    for wrong, words in [
        (['retinanet_moganet_x'], 'no such model: retinanet_moganet_x; did you mean'),
        ([config], 'expected CONFIG CHECKPOINT'),
        ([f'{config}=nothing.pth'], 'no such checkpoint: nothing.pth'),
        (['faster_rcnn_moganet_s'], 'no weights are published'),
        (['retinanet_moganet_s'] * 2, 'given twice'),
    ]:
        with pytest.raises(UserError, match=words):
            ModelCache.of(wrong)


def test_examples_are_the_first_validation_images_of_the_config(tmp_path):
    """Those of the page where the data set is not there; nothing else of the folder is served."""
    folder = tmp_path / 'own' / 'val'
    folder.mkdir(parents=True)
    for k in range(5):
        (folder / f'{k}.png').write_bytes(encoded(width=10 + k))
    (folder / '0.txt').write_text('secret')
    (tmp_path / 'best.pth').touch()
    config = tmp_path / 'cells.py'
    config.write_text(
        f'_base_ = {str(ROOT / "configs/seg/sem_fpn_moganet_t.py")!r}\n'
        f'test_dataloader = dict(dataset=dict(data_root={str(tmp_path / "own")!r}, '
        'data_prefix=dict(img_path="val", seg_map_path="none")))\n'
    )
    elsewhere = str(ROOT / 'configs/seg/upernet_moganet_t.py')
    pair = [f'{tmp_path}/best.pth']
    cache = ModelCache.of([elsewhere, *pair, str(config), *pair])
    with served(cache=cache) as port:
        listed = json.loads(ask(port, 'GET', '/models')[2])['models']
        assert [model['examples'] for model in listed] == [0, 3]
        for k in range(3):
            status, headers, content = ask(port, 'GET', f'/samples/1/{k}')
            assert status == 200 and content == (folder / f'{k}.png').read_bytes()
            assert headers['content-type'] == 'image/png'
        for path in (
            '/samples/1/3',
            '/samples/0/0',
            '/samples/9/0',
            '/samples/1/-1',
            '/samples/1/x',
        ):
            assert ask(port, 'GET', f'/samples/{path}')[0] == 404


def test_what_keeps_the_server_from_starting(monkeypatch):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f'cannot listen on 127.0.0.1, port {port}: Address'):
            serve(['retinanet_moganet_s'], port=port)
    monkeypatch.setitem(sys.modules, 'uvicorn', None)
    with pytest.raises(UserError, match=r"pip install 'moganet_dense\[demo\]'"):
        serve(['retinanet_moganet_s'])


def test_log_files_of_the_process_stay_open(tmp_path, monkeypatch):
    """mmengine writes into that of a training when it initializes the next model."""
    tiny_detector(tmp_path / 'tiny.onnx')
    monkeypatch.setattr('uvicorn.Server.run', lambda server, sockets: None)
    handler = logging.FileHandler(tmp_path / 'training.log')
    try:
        serve([str(tmp_path / 'tiny.onnx')], port=0)
        assert handler.stream is not None
    finally:
        handler.close()


def test_sites_that_may_embed_the_page():
    from moganet_dense.demo.guard import Guard, origins

    assert origins(['https://a.example:8888', '*']) == ['https://a.example:8888', '*']
    for wrong in ('a.example', "'self'", 'https://a.example/path', 'https://a; script-src *'):
        with pytest.raises(UserError, match='--allow-embed: expected an origin'):
            origins([wrong])
    policy = dict(Guard(None, embedders=['https://a.example']).headers)[b'content-security-policy']
    assert b'frame-ancestors https://a.example' in policy and b'{' not in policy


def of_one_file(file) -> ModelCache:
    cache = ModelCache.of([str(file)])
    cache.require_libraries()
    return cache


def test_areas_of_an_exported_file_have_no_certainty(tmp_path):
    notes = dict(NOTES, task='segmentation', classes=['a', 'b'], palette=[[0, 0, 0], [255, 0, 0]])
    notes['resize'] = dict(scale=[100, 80], keep_ratio=False)
    labels = np.zeros((1, 80, 100), np.int64)
    labels[:, :20] = 1
    file = tiny_detector(tmp_path / 'areas.onnx', notes, dict(labels=labels))
    with served(cache=of_one_file(file)) as port:
        status, found = predict(port, encoded(), 'areas')
    assert status == 200 and set(found['shown']) == {'colours'}
    assert {row['name']: row['pixels'] for row in found['classes']} == {'a': 6000, 'b': 2000}
    assert not any('score' in row for row in found['classes'])


@pytest.mark.parametrize('name', ['scores', 'boxes'])
def test_values_that_are_not_finite_are_one_line(tmp_path, name):
    spoiled = {**FOUND, name: np.full_like(FOUND[name], np.nan)}
    file = tiny_detector(tmp_path / 'spoiled.onnx', found=spoiled)
    with served(cache=of_one_file(file)) as port:
        status, found = predict(port, encoded(), 'spoiled')
    assert status == 422
    assert found == dict(error='the model returned values that are not finite')


def test_exported_files_are_offered_without_torch(tmp_path, monkeypatch):
    file = tiny_detector(tmp_path / 'my_boxes.onnx')
    monkeypatch.setattr('moganet_dense.demo.model_cache.find_spec', lambda name: None)
    cache = ModelCache.of([str(file)])
    cache.require_libraries()
    (choice,) = cache.choices.values()
    assert (choice.name, choice.task) == ('my_boxes', 'detection')
    found = cache.get('my_boxes')(np.zeros((32, 32, 3), np.uint8), order='rgb')
    assert len(found.boxes) == len(found.scores)
    with pytest.raises(UserError, match=r"needs torch.*pip install 'moganet_dense\[train\]'"):
        ModelCache.of(['retinanet_moganet_s=random']).require_libraries()
    with pytest.raises(UserError, match='takes no checkpoint'):
        ModelCache.of([f'{file}=random'])
