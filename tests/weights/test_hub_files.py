"""Files of the Hugging Face Hub: from a server in its layout into its own cache."""

import hashlib
import os
import re
import shutil
import socket

import pytest
from hub_server import COMMIT, LARGE, LIBRARIES, Hub, git_hash, serving_hub, stand_in

from moganet_dense.utils.errors import UserError
from moganet_dense.weights import hub_files, transfer

SMALL = 'config.json'
LIMITS = {SMALL: 10_000, LARGE: 10**9}
BODY = bytes(range(256)) * 40


@pytest.fixture
def hub():
    with serving_hub(Hub({SMALL: b'{"a": 1}', LARGE: BODY})) as found:
        yield found


@pytest.fixture(params=LIBRARIES)
def library(request, hub, tmp_path):
    return LIBRARIES[request.param](hub.address, str(tmp_path / 'cache'))


def snapshot(library, revision='main', repository='me/boxes'):
    return hub_files.snapshot(library, repository, revision, LIMITS)


def refused(library, revision='main', repository='me/boxes') -> str:
    with pytest.raises(UserError) as raised:
        snapshot(library, revision, repository)
    assert '\n' not in str(raised.value)
    return str(raised.value)


def test_the_files_are_laid_out_as_the_hubs_own_client_has_them(hub, library, tmp_path):
    folder = snapshot(library)
    root = tmp_path / 'cache/models--me--boxes'
    assert folder == root / 'snapshots' / COMMIT
    assert (folder / LARGE).read_bytes() == BODY and (folder / SMALL).read_bytes() == b'{"a": 1}'
    assert (root / 'refs/main').read_text() == COMMIT
    blobs = {hashlib.sha256(BODY).hexdigest(), git_hash(b'{"a": 1}')}
    assert set(os.listdir(root / 'blobs')) == blobs
    assert os.readlink(folder / LARGE) == f'../../blobs/{hashlib.sha256(BODY).hexdigest()}'
    assert library.try_to_load_from_cache('me/boxes', LARGE, revision='main') == str(folder / LARGE)
    assert hub.asked('hub') == [f'HEAD {SMALL}', f'GET {SMALL}', f'HEAD {LARGE}']


def test_what_is_in_the_cache_is_not_downloaded_again(hub, library):
    snapshot(library)
    hub.requests.clear()
    assert snapshot(library).name == COMMIT
    assert hub.asked('hub', 'storage') == [f'HEAD {SMALL}']  # the branch may have moved
    hub.requests.clear()
    assert snapshot(library, COMMIT).name == COMMIT and not hub.requests
    hub.commit = 'b' * 40
    hub.files[SMALL] = b'{"a": 2}'
    folder = snapshot(library)
    assert folder.name == 'b' * 40 and (folder / SMALL).read_bytes() == b'{"a": 2}'
    assert (folder / LARGE).read_bytes() == BODY and not hub.asked('storage')


def test_the_token_goes_to_the_hub_alone(hub, tmp_path):
    hub.token = 'secret'
    with_token = stand_in(hub.address, str(tmp_path / 'a'), 'secret')
    assert snapshot(with_token).name == COMMIT
    assert {r[4] for r in hub.requests if r[1] == 'hub'} == {'Bearer secret'}
    assert {r[4] for r in hub.requests if r[1] == 'storage'} == {''}
    text = refused(stand_in(hub.address, str(tmp_path / 'b')))
    assert text == '404 Repository not found; a private model needs `hf auth login`'


def test_the_token_is_not_sent_along_a_redirect_of_the_content(hub, tmp_path):
    """The head names an address of the hub, which redirects to the storage when it is read."""
    hub.linked = {'Location': f'{hub.address}/me/boxes/resolve/main/{LARGE}'}
    hub.token = 'secret'
    assert snapshot(stand_in(hub.address, str(tmp_path), 'secret')).name == COMMIT
    assert hub.requests[-2][:3] == ('GET', 'hub', f'/me/boxes/resolve/main/{LARGE}')
    assert hub.requests[-2][4] == 'Bearer secret'
    assert hub.requests[-1][:2] == ('GET', 'storage') and hub.requests[-1][4] == ''


def test_a_renamed_repository_is_followed(hub, library):
    folder = snapshot(library, repository='old/boxes')
    assert (folder / LARGE).read_bytes() == BODY and folder.parts[-3] == 'models--old--boxes'


def test_offline_mode_asks_for_nothing(hub, tmp_path):
    cache = str(tmp_path / 'cache')
    offline = stand_in(hub.address, cache, offline=True)
    assert 'HF_HUB_OFFLINE' in refused(offline) and not hub.requests
    snapshot(stand_in(hub.address, cache))
    hub.requests.clear()
    assert snapshot(offline).name == COMMIT and not hub.requests


def test_the_copy_of_the_cache_serves_where_the_hub_does_not_respond(hub, tmp_path):
    cache = str(tmp_path / 'cache')
    with socket.create_server(('127.0.0.1', 0)) as closed:
        address = f'http://127.0.0.1:{closed.getsockname()[1]}'
    gone = stand_in(address, cache)
    assert 'refused' in refused(gone)
    snapshot(stand_in(hub.address, cache))
    with pytest.warns(UserWarning, match=f'does not respond .*refused.* commit {COMMIT}'):
        assert snapshot(gone).name == COMMIT
    hub.token = 'secret'  # a refusal is no silence
    assert refused(stand_in(hub.address, cache)).startswith('404')


def test_a_storage_of_a_byte_at_a_time_is_too_slow(hub, library, monkeypatch):
    monkeypatch.setattr(transfer, 'MINUTE', 0.3)
    hub.trickle = 0.02
    assert re.search(r'^\d+ bytes arrived within 0.3 seconds, too few$', refused(library))


def test_a_head_of_a_byte_at_a_time_is_too_slow(hub, library, monkeypatch):
    monkeypatch.setattr(hub_files, 'LONGEST_HEAD', 0.3)
    hub.head = 0.02
    assert re.search('(arrived within|lasts longer than) 0.3 seconds', refused(library))


def test_a_broken_download_is_completed(hub, library, tmp_path):
    hub.sent = 6000
    assert 'expected 10240 bytes, received 6000' in refused(library)
    hub.sent = None
    hub.requests.clear()
    assert (snapshot(library) / LARGE).read_bytes() == BODY
    assert [r[3] for r in hub.requests if r[1] == 'storage'] == ['bytes=6000-']
    assert not list(tmp_path.rglob('*.part*'))


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (dict(content=BODY[::-1]), 'expected SHA-256 .*, found'),
        (dict(content=BODY + b'x'), 'expected 10240 bytes, the server has 10241'),
        (dict(content=BODY + b'x', length=False), 'expected 10240 bytes, received more'),
        (dict(content=BODY[:-1], length=False), 'expected 10240 bytes, received 10239'),
        (dict(linked={'X-Linked-Size': '9'}), 'expected 9 bytes, the server has 10240'),
        (dict(linked={'X-Linked-Size': '99999999999'}), 'model.safetensors has 100 000 MB'),
        (dict(linked={'X-Linked-Etag': '"../../../../outside"'}), 'expected a commit and a hash'),
        (dict(linked={'X-Repo-Commit': '../outside'}), 'expected a commit and a hash'),
        (dict(linked={'Location': 'file:///etc/passwd'}), 'is refused: expected an https'),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_is_refused(hub, library, tmp_path, change, reason):
    for key, value in change.items():
        setattr(hub, key, value)
    assert re.search(reason, refused(library))
    kept = [path for path in tmp_path.rglob('*') if path.is_file() and '.part' not in path.name]
    assert {path.read_bytes() for path in kept} <= {b'{"a": 1}'}
    assert library.try_to_load_from_cache('me/boxes', LARGE, revision='main') is None


def test_a_file_in_chunks_is_taken_if_its_size_is_known(hub, library):
    hub.length = False
    assert (snapshot(library) / LARGE).read_bytes() == BODY


def test_a_small_file_of_another_hash(hub, library, monkeypatch):
    monkeypatch.setattr('hub_server.git_hash', lambda content: 'd' * 40)
    assert 'expected SHA-1 of git dddddddddddd..., found' in refused(library)


def test_plain_http_is_for_endpoints_that_are_such(tmp_path):
    hub = hub_files._Hub(stand_in('https://hub.example', str(tmp_path)), 'me/boxes')
    hub._allow('https://storage.example/w')
    for url in ('http://hub.example/w', 'http://storage.example/w', 'ftp://a/b', 'https://a/\n'):
        with pytest.raises(OSError, match='is refused: expected an https'):
            hub._allow(url)


@pytest.mark.parametrize('revision', ['..', '../main', '/etc', 'a//b', 'a b', '-x', 'a\n'])
def test_revisions_that_are_none(library, hub, revision):
    assert 'expected the name of a branch' in refused(library, revision) and not hub.requests


def test_where_there_are_no_links_the_file_itself_is_there(hub, library, monkeypatch, tmp_path):
    def symlink(*_: object) -> None:
        raise OSError('a privilege is missing')

    monkeypatch.setattr(os, 'symlink', symlink)
    folder = snapshot(library)
    assert not (folder / LARGE).is_symlink() and (folder / LARGE).read_bytes() == BODY
    shutil.rmtree(tmp_path / 'cache/models--me--boxes/blobs')
    assert (snapshot(library) / LARGE).read_bytes() == BODY
