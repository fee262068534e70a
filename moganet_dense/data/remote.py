"""Images and videos at URLs: downloads with limits, checked before any connection.

``https://`` is downloaded from public addresses with a verified certificate. A list of URLs may
come from an untrusted source and point to servers in the own network, so the user has to allow
private addresses and plain ``http://``. The connection uses the checked address, also after a
redirect.
"""

import ipaddress
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urljoin, urlsplit

from ..utils.errors import UserError, reason_of
from ..utils.printable import printable
from ..utils.slow_peers import Watch

TIMEOUT = 20.0
"""Seconds for a connection, and for each part of an answer."""
MINUTE, FLOOR = 60.0, 60_000
"""Seconds in which at least so many bytes have to arrive."""
LONGEST = 900.0
"""Seconds for a whole file."""
IMAGE_BYTES, VIDEO_BYTES = 200_000_000, 4_000_000_000
"""Sizes of what is fetched, at most."""
REDIRECTS = 5
STREAMS = ('rtsp', 'rtsps')
FILES = ('https', 'http')
AGENT = {
    'User-Agent': 'moganet-dense',
    'Accept': 'image/*, video/*, */*;q=0.5',
    'Accept-Encoding': 'identity',
}


def is_url(text: str) -> bool:
    """Whether a text is a URL, of any scheme."""
    return '://' in text


def is_stream(text: str) -> bool:
    """Whether a text is the URL of a stream, or the number of a camera."""
    return text.isdecimal() or (text.partition('://')[0].lower() in STREAMS and is_url(text))


def check(url: str, allow_private: bool) -> tuple[SplitResult, str]:
    """The parts of a URL, and the address to connect to.

    Raises:
        UserError: another scheme, no such host, or a private address that was not allowed.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f'{printable(url)} is not a URL ({error})') from None
    scheme = parts.scheme.lower()
    if scheme not in (*FILES, *STREAMS) or not host or not url.isprintable():
        raise UserError(
            f'{printable(url)} is refused: expected https://, rtsp:// or a file; fetch others '
            'yourself'
        )
    if scheme == 'http' and not allow_private:
        raise UserError(
            f'{url} is refused: http can be read and changed in transit; use https, or '
            '--allow-private for servers of your own (in Python fetch it and pass its bytes)'
        )
    if _is_literal(host):
        addresses = [host]
    else:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UserError(f'{url}: no such host {host} ({error.strerror})') from None
        addresses = [row[4][0] for row in found]
    private = [address for address in addresses if not _is_public(address)]
    if private and not allow_private:
        raise UserError(
            f'{url} is refused: {host} is an address of a private network; allow it with '
            '--allow-private (in Python fetch it and pass its bytes)'
        )
    return parts, addresses[0]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition('%')[0])
    except ValueError:
        return False
    return True


def _is_public(address: str) -> bool:
    number = ipaddress.ip_address(address.partition('%')[0])
    inner = getattr(number, 'ipv4_mapped', None) or number
    return inner.is_global and not inner.is_multicast


@contextmanager
def fetched(url: str, allow_private: bool = False, limit: int = VIDEO_BYTES) -> Iterator[Path]:
    """A file behind ``https://``, as a temporary file.

    Args:
        url: of the file.
        allow_private: whether addresses of private networks, and http, are allowed.
        limit: bytes, at most.

    Raises:
        UserError: it is refused, too large or too slow, or not there; one line that names it.
    """
    with tempfile.TemporaryDirectory(prefix='moganet-dense-') as folder:
        target = Path(folder, 'fetched')
        try:
            with (
                Watch(MINUTE, FLOOR, LONGEST) as watch,
                open(target, 'wb') as file,
                watch.explaining(),
            ):
                _fetch(url, allow_private, file, limit, watch)
        except (OSError, HTTPException, ssl.SSLError) as error:
            raise UserError(f'{url} cannot be downloaded: {reason_of(error)}') from None
        yield target


def _fetch(url: str, allow_private: bool, file: IO[bytes], limit: int, watch: Watch) -> None:
    given = url
    for _ in range(REDIRECTS + 1):
        parts, address = check(url, allow_private)
        if parts.scheme.lower() not in FILES:
            raise UserError(f'{given} leads to {url}, which is not a file')
        connection = _connection(parts, address, watch)
        try:
            path = (parts.path or '/') + (f'?{parts.query}' if parts.query else '')
            connection.request('GET', path, headers=AGENT)
            answer = connection.getresponse()
            if answer.status in (301, 302, 303, 307, 308):
                url = urljoin(url, answer.getheader('Location', ''))
                continue
            if answer.status != 200:
                raise UserError(f'{url} cannot be downloaded: {answer.status} {answer.reason}')
            return _receive(answer, given, file, limit, watch)
        finally:
            connection.close()
    raise UserError(f'{given} cannot be downloaded: more than {REDIRECTS} redirects')


def _connection(parts: SplitResult, address: str, watch: Watch) -> HTTPConnection:
    """A connection to the address that was checked, in the name of the host."""
    if parts.scheme.lower() == 'http':
        found = HTTPConnection(address, parts.port, timeout=TIMEOUT)
        # the attribute of http.client for it
        found._create_connection = watch.connect  # type: ignore[attr-defined]
        return found
    return _ToAddress(parts.hostname, parts.port, address, watch)


class _ToAddress(HTTPSConnection):
    """HTTPS to an address, verified against the name of its host."""

    def __init__(self, host: str, port: int | None, address: str, watch: Watch) -> None:
        self._verifying = ssl.create_default_context()
        super().__init__(host, port, timeout=TIMEOUT, context=self._verifying)
        self._address, self._watch = address, watch

    def connect(self) -> None:
        plain = self._watch.connect((self._address, self.port), TIMEOUT)
        self.sock = self._verifying.wrap_socket(plain, server_hostname=self.host)


def _receive(answer: HTTPResponse, url: str, file: IO[bytes], limit: int, watch: Watch) -> None:
    length, count = answer.getheader('Content-Length'), 0
    encoding = answer.getheader('Content-Encoding', 'identity')
    if encoding.lower() != 'identity':
        raise UserError(f'{url} cannot be downloaded: expected it as it is, found it in {encoding}')
    expected = int(length) if length and length.isdecimal() else None
    if expected is not None and expected > limit:
        raise UserError(f'{url} is refused: {expected:,} bytes, expected at most {limit:,}')
    while part := answer.read1(1 << 20):
        count += len(part)
        watch.received = count
        if count > limit:
            raise UserError(f'{url} is refused: more than {limit:,} bytes')
        file.write(part)
    if expected is not None and count < expected:
        raise UserError(f'{url} is truncated after {count:,} of {expected:,} bytes')
