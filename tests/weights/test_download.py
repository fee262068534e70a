"""Downloads: https only, atomically, into the cache and nowhere else."""

import contextlib
import multiprocessing
import re
import ssl
import time
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Barrier

import pytest
from file_server import Answer, make_certificate, serving

from moganet_dense.weights import download, releases, transfer
from moganet_dense.weights.conversion import WeightsError
from moganet_dense.weights.loading import read_checkpoint

BODY = bytes(range(256)) * 50


@pytest.fixture(scope='session')
def certificate(tmp_path_factory) -> Path:
    return make_certificate(tmp_path_factory.mktemp('certificate'))


@pytest.fixture
def cache(tmp_path, monkeypatch, certificate) -> Path:
    """The cache folder, empty; the server's certificate is trusted."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home/torch'))
    monkeypatch.setenv('SSL_CERT_FILE', str(certificate))
    return tmp_path / 'home/torch/hub/checkpoints'


def refused(url: str) -> str:
    """The message of a download that fails, which has to be one line."""
    with pytest.raises(WeightsError) as raised:
        download.locate(url)
    assert '\n' not in str(raised.value)
    return str(raised.value)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob('*') if not path.is_dir()]


def test_a_file_is_fetched_once(cache, certificate):
    with serving(Answer(BODY), certificate) as (address, requests):
        for _ in range(2):
            file = download.locate(f'{address}/release/weights.pth?token=1#part')
    assert requests == ['/release/weights.pth?token=1']
    assert files(cache) == [file] and file.read_bytes() == BODY
    assert re.fullmatch('[0-9a-f]{8}-weights.pth', file.name)


def test_a_copy_fetched_by_hand_is_used(cache):
    cache.mkdir(parents=True)
    name = 'moganet_xtiny_sz224_8xbs128_ep300.pth.tar'
    (cache / name).write_bytes(BODY)
    assert download.locate('moganet://xt_in1k_224') == cache / name


# --- https


@pytest.mark.parametrize(
    'url', ['http://example.org/w.pth', 'http://127.0.0.1/w.pth', 'ftp://example.org/w.pth',
            'file:///etc/passwd', 's3://bucket/w.pth', 'open-mmlab://resnet50', '://w.pth',
            'https://a/w\n.pth'],
)  # fmt: skip
def test_only_https_is_fetched(url):
    assert 'refused: expected an https' in refused(url)


@pytest.mark.parametrize('target', ['{plain}/w.pth', 'file:///etc/passwd', 'ftp://127.0.0.1/w.pth'])
def test_a_redirect_leads_to_https_only(cache, certificate, target):
    with serving(Answer(BODY)) as (plain, asked):
        moved = Answer(status=302, headers={'Location': target.format(plain=plain)})
        with serving(moved, certificate) as (address, _):
            said = refused(f'{address}/w.pth')  # of file:// Python itself says so
            assert 'refused: expected an https' in said or 'not allowed' in said
    assert not asked and not files(cache)


def test_a_redirect_has_no_say_in_the_name(cache, certificate):
    with serving(Answer(BODY), certificate) as (other, asked):
        moved = Answer(status=302, headers={'Location': f'{other}/a/..%2f..%2fother.pth'})
        with serving(moved, certificate) as (address, _):
            file = download.locate(f'{address}/w.pth')
    assert asked and files(cache) == [file] and file.name.endswith('-w.pth')


def test_redirects_without_end_are_one_line(cache, certificate):
    moved = Answer(status=302, headers={'Location': '/again.pth'})
    with serving(moved, certificate) as (address, asked):
        assert 'cannot download' in refused(f'{address}/w.pth')
    assert len(asked) < 20 and not files(cache)


def test_a_certificate_that_is_not_trusted_or_of_another_host(cache, certificate, monkeypatch):
    with serving(Answer(BODY), certificate) as (address, asked):
        other = address.replace('127.0.0.1', 'localhost')
        assert 'CERTIFICATE_VERIFY_FAILED' in refused(f'{other}/w.pth')
        monkeypatch.setenv('SSL_CERT_FILE', ssl.get_default_verify_paths().openssl_cafile)
        assert 'CERTIFICATE_VERIFY_FAILED' in refused(f'{address}/w.pth')
    assert not asked and not files(cache)


# --- atomically

CUT = {
    'is truncated': (Answer(BODY, sent=5000), 'expected 12800 bytes, received 5000'),
    'at once': (Answer(BODY, sent=0), 'expected 12800 bytes, received 0'),
    'says more': (Answer(BODY, headers={'Content-Length': '12801'}), '12801 bytes, received 12800'),
    'says nothing': (Answer(BODY, headers={'Content-Length': None}), 'found status 200, size None'),
    'says nonsense': (Answer(BODY, headers={'Content-Length': 'x'}), 'status 200, size x'),
    'says less than none': (Answer(BODY, headers={'Content-Length': '-1'}), 'status 200, size -1'),
    'in chunks that are truncated': (
        Answer(b'ff\r\nabc', headers={'Content-Length': None, 'Transfer-Encoding': 'chunked'}),
        'found Transfer-Encoding: chunked',
    ),
    'a signed length': (Answer(BODY, headers={'Content-Length': '+12800'}), 'size +12800'),
    'a length of Python': (Answer(BODY, headers={'Content-Length': '12_800'}), 'size 12_800'),
    'two lengths': (Answer(BODY, headers={'Content-Length': '12800, 1'}), 'size 12800, 1'),
    'a length of other digits': (Answer(BODY, headers={'Content-Length': '\xb2'}), 'status 200'),
    'more than the disk has': (
        Answer(BODY, headers={'Content-Length': '900000000000000'}), 'needs 900 000 000 MB',
    ),
    'compressed': (Answer(BODY, headers={'Content-Encoding': 'gzip'}), 'Content-Encoding: gzip'),
    'a part': (Answer(BODY, status=206), 'found status 206'),
    'no content': (Answer(status=204), 'found status 204'),
    'not found': (Answer(b'<html>', status=404), 'HTTP Error 404'),
    'fails': (Answer(b'', status=500), 'HTTP Error 500'),
}  # fmt: skip


@pytest.mark.parametrize('kind', CUT)
def test_what_is_cut_leaves_nothing_and_starts_again(kind, cache, certificate):
    given, said = CUT[kind]
    answer = replace(given)
    with serving(answer, certificate) as (address, _):
        url = f'{address}/w.pth'
        message = refused(url)
        assert said in message and url in message and str(cache) in message and not files(cache)
        answer.become(Answer(BODY))
        assert download.locate(url).read_bytes() == BODY


def test_a_size_that_is_too_small_is_found_when_the_file_is_read(cache, certificate):
    """Nobody but a hash in the name could know before."""
    with serving(Answer(BODY, headers={'Content-Length': '100'}), certificate) as (address, _):
        file = download.locate(f'{address}/w.pth')
        assert file.read_bytes() == BODY[:100]
        with pytest.raises(WeightsError, match='truncated or not a PyTorch checkpoint'):
            read_checkpoint(file)
        assert 'expected SHA-256' in refused(f'{address}/w-{sha256(BODY).hexdigest()[:8]}.pth')


HASH = sha256(BODY).hexdigest()
NAMES = {  # file name: whether it tells this file's SHA-256, another's, or none
    f'resnet50-{HASH[:8]}.pth': True,
    f'hrnet_w32_coco_256x192-{HASH[:8]}_20200708.pth': True,
    f'w-{HASH}.pth': True,
    'w-00000000.pth': False,
    'hrnet_w32_coco_256x192-00000000_20200708.pth': False,
    'w-20230101.pth': None,
    'w_20230101.pth': None,
    'moga_small_sz224_8xb128_ep300.pth': None,
    'w.pth': None,
}


@pytest.mark.parametrize('name', NAMES)
def test_a_hash_in_the_name_is_compared_with_the_file(name, cache, certificate):
    with serving(Answer(BODY), certificate) as (address, _):
        if NAMES[name] is False:
            said = f'expected SHA-256 00000000..., found {HASH[:8]}...'
            assert said in refused(f'{address}/{name}') and not files(cache)
        else:
            assert download.locate(f'{address}/{name}').read_bytes() == BODY


def fetch_into(queue: multiprocessing.Queue, forked: Barrier, url: str) -> None:
    forked.wait(60)  # a fork while the server's thread works might copy a lock that it holds
    queue.put(download.fetch(url).read_bytes() == BODY)


def test_two_processes_at_once(cache, certificate):
    fork = multiprocessing.get_context('fork')
    queue, forked = fork.Queue(), fork.Barrier(2)
    answer = Answer(BODY, pause=Barrier(2, timeout=60).wait)  # until both have asked
    with serving(answer, certificate) as (address, asked):
        arguments = queue, forked, f'{address}/w.pth'
        both = [fork.Process(target=fetch_into, args=arguments) for _ in 'ab']
        for process in both:
            process.start()
        assert [queue.get(timeout=60) for _ in both] == [True, True]
        for process in both:
            process.join()
    assert len(asked) == 2 and len(files(cache)) == 1


# --- slow peers, and interrupted downloads


def test_what_was_truncated_is_completed(cache, certificate):
    answer = Answer(BODY, etag='"1"', sent=5000)
    with serving(answer, certificate) as (address, asked):
        said = refused(f'{address}/w.pth')
        assert 'expected 12800 bytes, received 5000' in said
        assert sorted(f.name[9:] for f in files(cache)) == ['w.pth.part', 'w.pth.part.json']
        answer.sent = None
        file = download.locate(f'{address}/w.pth')
    assert file.read_bytes() == BODY and files(cache) == [file] and 'bytes=5000-' in asked


OTHERS = {  # what the second answer is, and whether the file is whole in the end
    'another file': (Answer(BODY[::-1], etag='"2"'), BODY[::-1]),
    'a weak mark': (Answer(BODY[::-1], etag='W/"1"'), BODY[::-1]),
    'no mark': (Answer(BODY[::-1]), BODY[::-1]),
    'another part': (
        Answer(BODY, etag='"1"', headers={'Content-Range': 'bytes 9-12799/12800'}), None,
    ),
    'a part of another size': (
        Answer(BODY, etag='"1"', headers={'Content-Range': 'bytes 5000-12799/99999'}), None,
    ),
    'a part of another length': (Answer(BODY, etag='"1"', headers={'Content-Length': '9'}), None),
    'a part without its place': (Answer(BODY, etag='"1"', headers={'Content-Range': None}), None),
    'the whole of the same file': (Answer(BODY, headers={'ETag': '"1"'}), BODY),
    'the whole of a shorter file': (Answer(BODY[:99], headers={'ETag': '"1"'}), BODY[:99]),
    'no such part': (Answer(b'', 416), None),
}  # fmt: skip


@pytest.mark.parametrize('kind', OTHERS)
def test_parts_of_two_files_do_not_mix(kind, cache, certificate):
    second, body = OTHERS[kind]
    answer = Answer(BODY, etag='"1"', sent=5000)
    with serving(answer, certificate) as (address, _):
        refused(f'{address}/w.pth')
        answer.become(second)
        if body is None:
            said = refused(f'{address}/w.pth')
            assert 'expected bytes 5000-12799/12800, found' in said or 'Error 416' in said
            assert not files(cache)  # else each call would ask for this part, in vain
            answer.become(Answer(BODY))
            assert download.locate(f'{address}/w.pth').read_bytes() == BODY
        else:
            assert download.locate(f'{address}/w.pth').read_bytes() == body


def test_what_was_truncated_twice_is_completed(cache, certificate):
    answer = Answer(BODY, etag='"1"', sent=5000)
    with serving(answer, certificate) as (address, asked):
        refused(f'{address}/w.pth')
        refused(f'{address}/w.pth')
        answer.sent = None
        assert download.locate(f'{address}/w.pth').read_bytes() == BODY
    assert asked[2::2] == ['bytes=5000-', 'bytes=10000-']


@pytest.mark.parametrize('note', ['{', '[]', '{"etag": 1, "size": 12800}', '{"etag": "\\"1\\""}'])
def test_a_note_that_is_spoiled_starts_again(note, cache, certificate):
    answer = Answer(BODY, etag='"1"', sent=5000)
    with serving(answer, certificate) as (address, asked):
        refused(f'{address}/w.pth')
        next(cache.glob('*.json')).write_text(note)
        answer.sent = None
        assert download.locate(f'{address}/w.pth').read_bytes() == BODY
    assert asked == ['/w.pth'] * 2  # no part of it


def test_a_server_that_stalls_after_its_head_is_too_slow(cache, certificate, monkeypatch):
    monkeypatch.setattr(transfer, 'MINUTE', 0.2)
    with serving(Answer(BODY, pause=partial(time.sleep, 60)), certificate) as (address, _):
        assert '0 bytes arrived within 0.2 seconds' in refused(f'{address}/w.pth')
    assert not files(cache)


def test_a_byte_at_a_time_is_too_slow(cache, certificate, monkeypatch):
    monkeypatch.setattr(transfer, 'MINUTE', 0.3)
    with serving(Answer(BODY, trickle=0.02), certificate) as (address, _):
        assert re.search(
            r'\d+ bytes arrived within 0.3 seconds, too few', refused(f'{address}/w.pth')
        )
    assert not files(cache)


def test_a_head_that_does_not_end_is_too_slow(cache, monkeypatch):
    """Not even the handshake of TLS: a server that says nothing, a byte at a time."""
    import socket
    import threading

    monkeypatch.setattr(transfer, 'MINUTE', 0.3)
    with socket.create_server(('127.0.0.1', 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                for byte in b'\x16\x03\x03\x40\x00' + bytes(200):
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)

        threading.Thread(target=trickle, daemon=True).start()
        url = f'https://127.0.0.1:{server.getsockname()[1]}/w.pth'
        assert '0 bytes arrived within 0.3 seconds' in refused(url)


def test_a_download_has_an_end(cache, certificate, monkeypatch):
    monkeypatch.setattr(transfer, 'LONGEST', 0.3)
    monkeypatch.setattr(transfer, 'MINUTE', 1.0)
    monkeypatch.setattr(transfer, 'FLOOR', 0)
    with serving(Answer(BODY, trickle=0.02), certificate) as (address, _):
        assert 'the download lasts longer than' in refused(f'{address}/w.pth')


def test_a_partial_file_follows_no_link(cache, certificate, tmp_path):
    (tmp_path / 'own.txt').write_text('of the user')
    with serving(Answer(BODY), certificate) as (address, _):
        part = f'{download._cached_name(f"{address}/w.pth")}.part'
        cache.mkdir(parents=True)
        (cache / part).symlink_to(tmp_path / 'own.txt')
        refused(f'{address}/w.pth')
    assert (tmp_path / 'own.txt').read_text() == 'of the user'


# --- inside the cache

TAILS = {  # the end of a URL, and of the file's name in the cache
    '..': '..',
    '%2e%2e': '..',
    '..%2f..%2fx.pth': 'x.pth',
    '%2fetc%2fx.pth': 'x.pth',
    '..%5c..%5cx.pth': '.._.._x.pth',
    '..\\..\\x.pth': 'x.pth',
    'a%00b.pth': 'a_b.pth',
    'a%0ab.pth': 'a_b.pth',
    'a%20b%c3%a4.pth': 'a_b_.pth',
    'x.pth?name=../../y.pth': 'x.pth',
    'x.pth#/../y.pth': 'x.pth',
    'x' * 300 + '.pth': 'x' * 96 + '.pth',
    '-rf%20~': '-rf__',
}


@pytest.mark.parametrize('tail', TAILS)
def test_a_url_names_nothing_outside_the_cache(tail, cache, certificate, tmp_path):
    headers = {'Content-Disposition': 'attachment; filename="../../../evil.pth"'}
    with serving(Answer(BODY, headers=headers), certificate) as (address, _):
        file = download.locate(f'{address}/a/{tail}')
    assert file.parent == cache and re.fullmatch('[0-9a-f]{8}-', file.name[:9])
    assert file.name[9:] == TAILS[tail]
    assert files(tmp_path) == [file]


@pytest.mark.parametrize(
    'url', ['https://127.0.0.1:9/', 'https://127.0.0.1:9/a/%2f', 'https://[bad']
)
def test_a_url_without_a_file_name_is_one_line(url, cache):
    assert 'is not the URL of a file' in refused(url)


def test_two_files_of_one_name_do_not_mix(cache, certificate):
    for body in (b'first', b'second'):
        with serving(Answer(body), certificate) as (address, _):
            assert download.locate(f'{address}/latest.pth').read_bytes() == body


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'file'))
    assert 'cannot download' in refused('https://127.0.0.1:9/w.pth')


def test_an_unreachable_host_is_one_line_that_helps(cache, monkeypatch):
    known = releases.PublishedWeights(
        'near', 'https://127.0.0.1:9/near.pth', 'official', 'single', None
    )
    monkeypatch.setitem(releases.WEIGHTS, 'near', known)
    said = refused('moganet://near')
    assert 'near.pth' in said and known.url in said and str(cache / 'near.pth') in said
