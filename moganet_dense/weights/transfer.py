"""Downloads one file over https, completes interrupted downloads, and aborts slow ones.

A connection that gets less than FLOOR in a minute or lasts longer than LONGEST is closed.
"""

import json
import os
import re
import shutil
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

from ..utils.atomic import write_text
from ..utils.regular_files import megabytes, read_regular
from ..utils.slow_peers import Watch

TIMEOUT = 30  # seconds without a response
MINUTE = 60.0  # seconds in which at least FLOOR bytes have to arrive
FLOOR = 300_000
LONGEST = 6 * 3600.0  # maximum seconds of a download
BLOCK = 1 << 18
BAR = 1_000_000  # bytes of a file that gets a progress bar, at least
NO_SUCH_PART = 416  # status: the file has become shorter than the part that is there


def receive(
    url: str,
    path: Path,
    name: str,
    allow: Callable[[str], None],
    headers: Mapping[str, str] | None = None,
    size: int | None = None,
) -> None:
    """Downloads a URL to ``path``.

    A partial file is completed if the ETag of the server is unchanged, and kept after an
    interruption if it can be completed.

    Args:
        url: https URL.
        path: of the partial file; a file next to it stores its origin.
        name: for the progress bar.
        allow: raises an error for forbidden redirects.
        headers: of the request, for example a token; not sent to redirected addresses.
        size: of the file in bytes, if known; then a response in chunks, without a size, is
            accepted.

    Raises:
        OSError: the server does not respond, sends no file or too slowly, or sends no size or
            another one; or the file cannot be written.
        URLError: the server cannot be reached, or responds with an error.
    """
    note = _Note.of(path)
    note.expected = size
    request = _request(url, note)
    for key, value in (headers or {}).items():
        request.add_unredirected_header(key, value)
    with Watch(MINUTE, FLOOR, LONGEST) as watch, _kept_if_resumable(path, note):
        with (
            watch.explaining(),
            opener(watch, allow).open(request, timeout=TIMEOUT) as answer,
        ):
            start, size = note.agree(answer)
            _require_room(path.parent, size - start)
            with open(path, 'r+b' if start else 'wb') as file:
                file.seek(start)
                file.truncate()
                _copy(answer, file, start, size, name, watch)
                file.flush()
                os.fsync(file.fileno())
        if (found := path.stat().st_size) != size:
            raise OSError(f'expected {size} bytes, received {found}')
    note.remove()


def _copy(answer: HTTPResponse, file: Any, start: int, size: int, name: str, watch: Watch) -> None:
    columns = '{task.description}', BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, disable=size < BAR) as progress:
        task = progress.add_task(name, total=size, completed=start)
        while block := answer.read1(BLOCK):  # the received bytes, without filling the block
            start += len(block)
            if start > size:  # in chunks
                raise OSError(f'expected {size} bytes, received more')
            file.write(block)
            watch.received += len(block)
            progress.advance(task, len(block))


class _Note:
    """Origin of a partial file: the ETag of the server, and the full size.

    Attributes:
        expected: the full size, if it is known before the response.
    """

    expected: int | None = None

    def __init__(self, path: Path, have: int = 0, etag: str = '', size: int = 0) -> None:
        self.file = path.with_name(f'{path.name}.json')
        self.have, self.etag, self.size = have, etag, size

    @classmethod
    def of(cls, path: Path) -> '_Note':
        """The origin stored with a partial file; empty if there is no valid one."""
        note = cls(path)
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads(read_regular(note.file, 10_000))
            etag, size, have = found['etag'], found['size'], path.stat().st_size
            if type(size) is int and _is_strong(etag) and 0 < have < size:
                note.have, note.etag, note.size = have, etag, size
        return note

    def agree(self, answer: HTTPResponse) -> tuple[int, int]:
        """The offset of the response in the file, and the size of the file.

        Raises:
            OSError: the size is unknown, or another range than requested.
        """
        for header in ('Content-Encoding', 'Transfer-Encoding'):
            found = answer.headers.get(header, 'identity').lower()
            if found != 'identity' and not (self.expected and found == 'chunked'):
                raise OSError(f'expected the unencoded file and its size, found {header}: {found}')
        lengths = set(answer.headers.get_all('Content-Length') or [])
        length = ', '.join(sorted(lengths))
        if not lengths and self.expected and answer.status == 200:
            length = str(self.expected)
        whole = re.fullmatch('[0-9]{1,15}', length)
        if answer.status == 206 and self.have and whole:
            expected = f'bytes {self.have}-{self.size - 1}/{self.size}'
            part = answer.headers.get('Content-Range')
            if part != expected or int(length) != self.size - self.have:
                self.etag = ''  # else each call would ask for this part, in vain
                raise OSError(f'expected {expected}, found {part} of {length} bytes')
            return self.have, self.size
        if answer.status != 200 or not whole:
            raise OSError(
                f'expected a file and its size, found status {answer.status}, size {length or None}'
            )
        if self.expected is not None and int(length) != self.expected:
            raise OSError(f'expected {self.expected} bytes, the server has {length}')
        self.have, self.etag, self.size = 0, answer.headers.get('ETag', ''), int(length)
        if _is_strong(self.etag):
            write_text(self.file, json.dumps(dict(etag=self.etag, size=self.size)))
        return 0, self.size

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)


def _is_strong(etag: Any) -> bool:
    """Whether an ETag is strong, for identical bytes (RFC 9110, section 8.8.3)."""
    return isinstance(etag, str) and bool(re.fullmatch(r'"[\x21\x23-\x7e]{1,500}"', etag))


def _request(url: str, note: _Note) -> Request:
    headers = {'Accept-Encoding': 'identity'}
    if note.have:
        headers |= {'Range': f'bytes={note.have}-', 'If-Range': note.etag}
    return Request(url, headers=headers)


@contextmanager
def _kept_if_resumable(path: Path, note: _Note) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if isinstance(error, HTTPError) and error.code == NO_SUCH_PART:
            note.etag = ''
        size = path.stat().st_size if path.is_file() else 0
        if not (_is_strong(note.etag) and 0 < size < note.size):
            path.unlink(missing_ok=True)
            note.remove()
        raise


def _require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(f'the file needs {megabytes(size)}, {folder} has {megabytes(free)} free')


class _Handler(HTTPSHandler):
    def __init__(self, watch: Watch) -> None:
        self.secure = ssl.create_default_context()
        super().__init__(context=self.secure)
        self.watch = watch

    def https_open(self, req: Request) -> Any:
        return self.do_open(self._connection, req)  # type: ignore[arg-type]

    def _connection(self, host: str, timeout: float) -> HTTPConnection:
        return _watched(HTTPSConnection(host, timeout=timeout, context=self.secure), self.watch)


class _PlainHandler(HTTPHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def http_open(self, req: Request) -> Any:
        return self.do_open(self._connection, req)  # type: ignore[arg-type]

    def _connection(self, host: str, timeout: float) -> HTTPConnection:
        return _watched(HTTPConnection(host, timeout=timeout), self.watch)


def _watched(found: HTTPConnection, watch: Watch) -> HTTPConnection:
    # the attribute of http.client for it
    found._create_connection = watch.connect  # type: ignore[attr-defined]
    return found


def opener(watch: Watch, allow: Callable[[str], None] | None) -> Any:
    """An opener of ``urllib`` whose connections are watched.

    Args:
        watch: closes slow connections.
        allow: raises an error for forbidden redirects; None: redirects are errors.

    Returns:
        an object with ``open(request, timeout)``.
    """

    class Redirects(HTTPRedirectHandler):
        def redirect_request(
            self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
        ) -> Request | None:
            if allow is None:
                return None
            allow(newurl)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return build_opener(Redirects, _Handler(watch), _PlainHandler(watch))
