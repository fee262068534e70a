"""A server in the layout of the Hugging Face Hub, and a stand-in for its package.

Small files are sent by the hub itself; of large ones it tells the SHA-256, and redirects to a
storage on another host (here another port).
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from urllib.parse import quote

LARGE = 'model.safetensors'
COMMIT = 'c0ffee' + '0' * 34


@dataclass
class Hub:
    """What the hub has, how it responds, and what it was asked for.

    Attributes:
        files: of the only repository, me/boxes.
        commit: of its branch main.
        token: that a request needs; '' for a public repository.
        linked: headers of the hub's answers for the large file, instead of the right ones.
        sent: bytes of the large file that the storage sends before it closes the connection.
        head, trickle: seconds between two bytes of the hub's heads, and of the storage's body.
        length: whether the storage sends Content-Length; else it sends in chunks.
        content: what the storage sends for the large file, instead of the right bytes.
        requests: method, 'hub' or 'storage', path, Range and Authorization of each.
    """

    files: dict[str, bytes]
    commit: str = COMMIT
    token: str = ''
    linked: dict[str, str] = field(default_factory=dict)
    sent: int | None = None
    head: float = 0
    trickle: float = 0
    length: bool = True
    content: bytes | None = None
    requests: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    address: str = ''
    storage: str = ''

    def asked(self, *kinds: str) -> list[str]:
        """Method and last part of the path of the requests to the hub, the storage, or both."""
        return [f'{r[0]} {r[2].rpartition("/")[2]}' for r in self.requests if r[1] in kinds]


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b'blob %d\0' % len(content) + content).hexdigest()


def _handler(hub: Hub, place: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(False)

        def do_GET(self) -> None:
            self.answer(True)

        def answer(self, body: bool) -> None:
            asked = self.headers.get('Range', ''), self.headers.get('Authorization', '')
            hub.requests.append((self.command, place, self.path, *asked))
            if place == 'storage':
                self.send_large(*asked)
                return
            if hub.head:
                with contextlib.suppress(OSError):
                    for byte in b'HTTP/1.1 200 OK\r\n' + b'X: y\r\n' * 100:
                        self.wfile.write(bytes([byte]))
                        time.sleep(hub.head)
            parts = self.path.lstrip('/').split('/')
            if parts[0] == 'old':  # a repository that was renamed
                self.reply(307, {'Location': self.path.replace('/old/', '/me/')})
                return
            name = parts[-1]
            known = parts[:3] == ['me', 'boxes', 'resolve'] and name in hub.files
            if hub.token and asked[1] != f'Bearer {hub.token}':
                known = False
            if not known or parts[3] not in ('main', hub.commit):
                self.reply(404, {'X-Error-Message': 'Repository not found', 'Content-Length': '0'})
                return
            content = hub.files[name]
            headers = {'X-Repo-Commit': hub.commit, 'ETag': f'"{git_hash(content)}"'}
            if name == LARGE:
                digest = hashlib.sha256(content).hexdigest()
                headers |= {'X-Linked-Etag': f'"{digest}"', 'X-Linked-Size': str(len(content)),
                            'Location': f'{hub.storage}/{name}?signature=1'}  # fmt: skip
                self.reply(302, headers | ({} if body else hub.linked))
                return
            self.reply(200, headers | {'Content-Length': str(len(content))})
            if body:
                self.wfile.write(content)

        def send_large(self, asked: str, _: str) -> None:
            content = hub.files[LARGE] if hub.content is None else hub.content
            status, headers = 200, {'ETag': '"storage"'}
            if asked:
                start = int(asked.removeprefix('bytes=').removesuffix('-'))
                headers['Content-Range'] = f'bytes {start}-{len(content) - 1}/{len(content)}'
                content, status = content[start:], 206
            if hub.length:
                headers['Content-Length'] = str(len(content))
            else:
                headers['Transfer-Encoding'] = 'chunked'
                content = b'%x\r\n%s\r\n0\r\n\r\n' % (len(content), content)
            self.reply(status, headers)
            with contextlib.suppress(OSError):
                if hub.trickle:
                    for byte in content:
                        self.wfile.write(bytes([byte]))
                        time.sleep(hub.trickle)
                self.wfile.write(content[: hub.sent])

        def reply(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    Handler.protocol_version = 'HTTP/1.1' if place == 'storage' else 'HTTP/1.0'
    return Handler


@contextlib.contextmanager
def serving_hub(hub: Hub) -> Iterator[Hub]:
    """The hub and its storage, with their addresses."""
    servers = [ThreadingHTTPServer(('127.0.0.1', 0), _handler(hub, place))
               for place in ('hub', 'storage')]  # fmt: skip
    for server in servers:
        server.handle_error = lambda *args: None  # clients that hang up
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.address, hub.storage = (f'http://127.0.0.1:{s.server_port}' for s in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def _constants(endpoint: str, cache: str, offline: bool) -> SimpleNamespace:
    return SimpleNamespace(ENDPOINT=endpoint, HF_HUB_CACHE=cache, HF_HUB_OFFLINE=offline,
                           HF_HUB_DISABLE_IMPLICIT_TOKEN=False)  # fmt: skip


def stand_in(endpoint: str, cache: str, token: str = '', offline: bool = False) -> ModuleType:
    """The parts of huggingface_hub that are used, as its documentation has them."""
    module = ModuleType('huggingface_hub')
    module.constants = _constants(endpoint, cache, offline)
    module.get_token = lambda: token or None
    module.hf_hub_url = lambda repository, name, revision: (
        f'{endpoint}/{repository}/resolve/{quote(revision, safe="")}/{name}'
    )

    def try_to_load_from_cache(repository: str, name: str, revision: str) -> str | None:
        from pathlib import Path

        root = Path(cache, f'models--{repository.replace("/", "--")}')
        reference = root / 'refs' / revision
        commit = reference.read_text() if reference.is_file() else revision
        found = root / 'snapshots' / commit / name
        return str(found) if found.is_file() else None

    module.try_to_load_from_cache = try_to_load_from_cache
    return module


def real(endpoint: str, cache: str, token: str = '', offline: bool = False) -> ModuleType:
    """The package itself, with the same settings; skips the test if it is not installed."""
    import pytest

    pytest.importorskip('huggingface_hub')
    from huggingface_hub import hf_hub_url, try_to_load_from_cache

    return SimpleNamespace(
        constants=_constants(endpoint, cache, offline),
        get_token=lambda: token or None,
        hf_hub_url=lambda *a, **o: hf_hub_url(*a, **o, endpoint=endpoint),
        try_to_load_from_cache=lambda *a, **o: try_to_load_from_cache(*a, **o, cache_dir=cache),
    )  # fmt: skip


LIBRARIES = {'stand-in': stand_in, 'huggingface_hub': real}
