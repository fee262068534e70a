"""Files of the Hugging Face Hub: downloaded into its own cache, with the limits of our downloads.

The package huggingface_hub knows the addresses, the token of the user and the cache. Its client has
no lower bound on speed, so that a server that sends one byte per second would hold it for ever;
requests are sent from here instead. Layout of the cache:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache
"""

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import Request

from ..utils.atomic import write_text
from ..utils.errors import UserError, first_line, reason_of
from ..utils.regular_files import megabytes
from ..utils.slow_peers import Watch
from . import transfer
from .download import partial_file

LONGEST_HEAD = 60.0
"""Seconds until the head of a file has arrived."""
REDIRECTS = 5
_COMMIT = re.compile('[0-9a-f]{40}')
_REVISION = re.compile(r'(?!.*(\.\.|//))\w[\w./-]{0,200}', re.ASCII)
_HASH = re.compile('[0-9a-f]{40}|[0-9a-f]{64}')


@dataclass(frozen=True)
class _Remote:
    """A file of the hub.

    Attributes:
        commit: of the repository, 40 hexadecimal digits.
        digest: SHA-256 of a large file; of others the SHA-1 that git computes.
        size: bytes; None if the server does not tell.
        url: address of the content.
    """

    commit: str
    digest: str
    size: int | None
    url: str


def snapshot(library: Any, repository: str, revision: str, limits: Mapping[str, int]) -> Path:
    """Folder of the cache that holds the files of a repository, downloaded if needed.

    A commit that is in the cache is not asked for. Of a branch, the hub is asked for the current
    commit; if it cannot be reached, the one of the cache is used, with a warning. In offline mode
    (HF_HUB_OFFLINE) nothing is asked for.

    Args:
        library: the package huggingface_hub.
        repository: 'owner/name'.
        revision: branch, tag or commit.
        limits: maximum bytes of each file, by name.

    Raises:
        UserError: a file is not there, too large, or the hub does not respond or too slowly.
    """
    if not _REVISION.fullmatch(revision):
        raise UserError(f'expected the name of a branch, a tag or a commit, found {revision!r}')
    names = list(limits)
    cached = _cached(library, repository, revision, names)
    if cached and (_COMMIT.fullmatch(revision) or library.constants.HF_HUB_OFFLINE):
        return cached
    if library.constants.HF_HUB_OFFLINE:
        raise UserError('it is not in the cache, and HF_HUB_OFFLINE allows no download')
    hub = _Hub(library, repository)
    try:
        first = hub.ask(names[0], revision)
    except HTTPError as error:
        if not cached or error.code < 500:
            _refuse(error)
        reason = first_line(error)
    except (OSError, HTTPException, ValueError) as error:
        if not cached:
            raise UserError(reason_of(error)) from None
        reason = reason_of(error)
    else:
        return _fetched(hub, first, revision, limits)
    warnings.warn(
        f'{repository}: the hub does not respond ({reason}); the copy of the cache is used, commit '
        f'{cached.name}',
        stacklevel=2,
    )
    return cached


def _fetched(hub: '_Hub', first: _Remote, revision: str, limits: Mapping[str, int]) -> Path:
    folder = hub.cache / 'snapshots' / first.commit
    try:
        for number, (name, limit) in enumerate(limits.items()):
            if not (folder / name).is_file():
                remote = first if number == 0 else hub.ask(name, first.commit)
                if remote.size is not None and remote.size > limit:
                    raise UserError(
                        f'{name} has {megabytes(remote.size)}, expected at most {megabytes(limit)}'
                    )
                hub.fetch(remote, folder / name)
        if revision != first.commit:
            reference = hub.cache / 'refs' / revision
            reference.parent.mkdir(parents=True, exist_ok=True)
            write_text(reference, first.commit)
    except HTTPError as error:
        _refuse(error)
    except (OSError, HTTPException, ValueError) as error:
        raise UserError(reason_of(error)) from None
    return folder


def _cached(library: Any, repository: str, revision: str, names: list[str]) -> Path | None:
    found = [library.try_to_load_from_cache(repository, name, revision=revision) for name in names]
    return Path(found[0]).parent if all(isinstance(path, str) for path in found) else None


def _refuse(error: HTTPError) -> NoReturn:
    """Raises what the hub says about a request that it refuses."""
    said = error.headers.get('X-Error-Message') or error.reason
    advice = '; a private model needs `hf auth login`' if error.code in (401, 403, 404) else ''
    raise UserError(f'{error.code} {said}{advice}') from None


class _Hub:
    """One repository.

    Args:
        library: the package huggingface_hub.
        repository: 'owner/name'.
    """

    def __init__(self, library: Any, repository: str) -> None:
        self.library, self.repository = library, repository
        self.endpoint = urlsplit(library.constants.ENDPOINT)
        self.headers = {'User-Agent': 'moganet_dense'}
        token = None if library.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else library.get_token()
        if token:  # build_hf_headers does it, too, but sends a request of its own
            self.headers['Authorization'] = f'Bearer {token}'
        folder = f'models--{repository.replace("/", "--")}'
        self.cache = Path(library.constants.HF_HUB_CACHE) / folder

    def ask(self, name: str, revision: str) -> _Remote:
        """Where a file is, and its hash.

        Redirects within the host are followed; one to another host is where the content is.

        Raises:
            OSError: the hub does not respond in time, or without a hash; HTTPError: it refuses.
            HTTPException, ValueError: it does not speak HTTP, or redirects to no URL.
        """
        url = self.library.hf_hub_url(self.repository, name, revision=revision)
        with Watch(LONGEST_HEAD, 1, LONGEST_HEAD) as watch, watch.explaining():
            for _ in range(REDIRECTS):
                self._allow(url)
                status, headers = self._head(url, watch)
                location = headers.get('Location') if 300 <= status < 400 else None
                url = urljoin(url, location or '')
                if not location or not self._is_own(url) or headers.get('X-Linked-Etag'):
                    break
            else:
                raise OSError(f'more than {REDIRECTS} redirects')
        digest = (headers.get('X-Linked-Etag') or headers.get('ETag', '')).removeprefix('W/')
        commit = headers.get('X-Repo-Commit', '')
        size = headers.get('X-Linked-Size') or (not location and headers.get('Content-Length'))
        if not _HASH.fullmatch(digest.strip('"')) or not _COMMIT.fullmatch(commit):
            raise OSError(
                f'expected a commit and a hash of {name}, found {commit!r} and {digest!r}'
            )
        known = int(size) if size and re.fullmatch('[0-9]{1,15}', size) else None
        return _Remote(commit, digest.strip('"'), known, url)

    def fetch(self, remote: _Remote, target: Path) -> None:
        """Downloads a file to ``target``, or links it to its copy in another commit.

        Raises:
            OSError: too slow, truncated, or of another size or hash.
            HTTPException: the server does not speak HTTP.
        """
        blob = self.cache / 'blobs' / remote.digest
        blob.parent.mkdir(parents=True, exist_ok=True)
        if not blob.is_file() or remote.size not in (None, blob.stat().st_size):
            self._allow(remote.url)
            headers = self.headers if self._is_own(remote.url) else {}
            with partial_file(blob) as part:
                transfer.receive(remote.url, part, target.name, self._allow, headers, remote.size)
                _require_hash(part, remote.digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(blob, target)

    def _head(self, url: str, watch: Watch) -> tuple[int, Any]:
        request = Request(url, headers={'Accept-Encoding': 'identity'}, method='HEAD')
        for key, value in (self.headers if self._is_own(url) else {}).items():
            request.add_unredirected_header(key, value)
        opener = transfer.opener(watch, None)
        try:
            with opener.open(request, timeout=transfer.TIMEOUT) as answer:
                return answer.status, answer.headers
        except HTTPError as error:
            if not 300 <= error.code < 400:
                raise
            return error.code, error.headers

    def _is_own(self, url: str) -> bool:
        """Whether a URL is one of the hub's host, which gets the token."""
        parts = urlsplit(url)
        return (parts.scheme, parts.netloc) == (self.endpoint.scheme, self.endpoint.netloc)

    def _allow(self, url: str) -> None:
        """Refuses plain http, unless the endpoint that the user has set (HF_ENDPOINT) is such.

        Raises:
            OSError: another scheme, or not a URL.
        """
        schemes = {'https', self.endpoint.scheme} & {'https', 'http'}
        if not url.isprintable() or urlsplit(url).scheme not in schemes:
            raise OSError(f'{url!r} is refused: expected an https:// address of the file')


def _require_hash(file: Path, digest: str) -> None:
    """Verifies a file by its SHA-256, or by the SHA-1 of git (its type and size come first).

    Raises:
        OSError: the file has another hash.
    """
    known: Callable[..., Any] = hashlib.sha256 if len(digest) == 64 else hashlib.sha1
    found = known() if len(digest) == 64 else known(b'blob %d\0' % file.stat().st_size)
    with open(file, 'rb') as stream:
        while chunk := stream.read(1 << 20):
            found.update(chunk)
    if found.hexdigest() != digest:
        kind = 'SHA-256' if len(digest) == 64 else 'SHA-1 of git'
        raise OSError(f'expected {kind} {digest[:12]}..., found {found.hexdigest()[:12]}...')


def _link(blob: Path, target: Path) -> None:
    """Puts a relative link at ``target``; where there are no links, the file itself."""
    temporary = target.with_name(f'.{target.name}.{os.getpid()}.link')
    with suppress(FileNotFoundError):
        temporary.unlink()
    try:
        os.symlink(os.path.relpath(blob, target.parent), temporary)
    except (OSError, NotImplementedError):
        os.replace(blob, target)
    else:
        os.replace(temporary, target)
