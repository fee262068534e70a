"""A web server on this machine, with a certificate of its own."""

import contextlib
import http.server
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Answer:
    """What is sent for any path.

    Attributes:
        body: the content of the file.
        status: of the answer.
        headers: instead of Content-Length, or beside it; None leaves one out.
        sent: so many bytes of the body are sent, then the connection is closed; None: all.
        pause: is called between the head and the body.
        etag: mark of the file; parts of it are sent to who asks by it.
        trickle: a byte of the body is sent each so many seconds.
    """

    body: bytes = b''
    status: int = 200
    headers: dict[str, str | None] = field(default_factory=dict)
    sent: int | None = None
    pause: Callable[[], object] = bool
    etag: str | None = None
    trickle: float = 0

    def become(self, other: 'Answer') -> None:
        """From now on the server sends another one."""
        vars(self).update(vars(other))


@contextlib.contextmanager
def serving(
    answer: Answer, certificate: Path | None = None, reason: str | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yields the server's address, and the list of the paths that are asked for."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            body, status, own = answer.body, answer.status, {}
            if answer.etag:
                own['ETag'] = answer.etag
                asked = self.headers.get('Range', '')
                if asked and self.headers.get('If-Range') == answer.etag:
                    start = int(asked.removeprefix('bytes=').removesuffix('-'))
                    own['Content-Range'] = f'bytes {start}-{len(body) - 1}/{len(body)}'
                    body, status = body[start:], 206
                    requests.append(asked)
            self.send_response(status, reason)
            headers = {'Content-Length': str(len(body))} | own | answer.headers
            for name, value in headers.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            answer.pause()
            if answer.trickle:
                for byte in body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(answer.trickle)
            self.wfile.write(body[: answer.sent])

        def log_message(self, *args) -> None:
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.handle_error = lambda *args: None  # clients that hang up
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f'http{"s" * bool(certificate)}://127.0.0.1:{server.server_port}', requests
    finally:
        server.shutdown()
        server.server_close()


def make_certificate(folder: Path) -> Path:
    """Key and certificate in one file, for the address 127.0.0.1 alone."""
    file = folder / 'certificate.pem'
    command = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2',
               '-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1',
               '-keyout', str(file), '-out', str(folder / 'public.pem')]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip('no openssl to make a certificate with')
    file.write_text(file.read_text() + (folder / 'public.pem').read_text())
    return file
