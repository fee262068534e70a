"""Downloads weight files into PyTorch's cache, by name or URL, atomically."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urlsplit

import torch
from mmengine.dist import barrier, get_local_rank

from ..utils.atomic import replacing
from ..utils.errors import first_line
from ..utils.system import IS_WINDOWS, lock_file, open_flags
from . import releases
from .state_dicts import WeightsError
from .transfer import receive


def locate(checkpoint: str) -> Path:
    """Path of a checkpoint given by name, URL or path; downloaded to the cache if needed.

    Raises:
        WeightsError: the download fails.
        UserError: unknown name.
    """
    known = releases.find(checkpoint) if checkpoint.startswith(releases.SCHEME) else None
    url = known.url if known else checkpoint
    if '://' not in url:
        return Path(checkpoint)
    if get_local_rank() == 0:  # one process per machine downloads, the others find it in the cache
        fetch(url)
    barrier()
    return fetch(url)


def cache_folder() -> Path:
    """Folder of downloaded files: PyTorch's cache (TORCH_HOME changes it)."""
    return Path(torch.hub.get_dir()) / 'checkpoints'


def fetch(url: str) -> Path:
    """Path of the file behind ``url`` in the cache; downloaded atomically.

    An interrupted download is completed by the next call if the server sends an ETag; otherwise the
    partial file is removed.

    Raises:
        WeightsError: the host does not respond or sends too slowly, or the file is truncated or
            does not match the hash in its name; names the file, the URL and the path for a manual
            download.
    """
    _require_https(url)
    name = _cached_name(url)
    target = cache_folder() / name
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial_file(target) as part:
            receive(url, part, name, _require_https)
            _check_hash(part, url)
    except (OSError, URLError, HTTPException, ValueError) as error:
        raise WeightsError(
            f'cannot download {name} from {url} ({first_line(error)}); '
            f'download it by hand to {target}'
        ) from None
    return target


@contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """Path of the partial file, which is later renamed to ``target``.

    It is always the same, so that an interrupted download can be completed; another process that
    downloads the same file at the same time gets its own.
    """
    part = target.with_name(f'{target.name}.part')
    flags = os.O_RDWR | os.O_CREAT | open_flags('NOFOLLOW', 'NONBLOCK')
    handle = os.open(part, flags, 0o666)
    try:
        try:
            lock_file(handle)
        except OSError:  # locked by another process, or a file system without locks
            with replacing(target) as draft:
                yield draft
            return
        try:
            yield part
        except BaseException:
            with suppress(OSError):
                if not part.stat().st_size or not part.with_name(f'{part.name}.json').exists():
                    part.unlink()
            raise
        if not IS_WINDOWS:
            os.replace(part, target)
    finally:
        os.close(handle)
    if IS_WINDOWS:  # which renames no open file
        os.replace(part, target)


def _require_https(url: str) -> None:
    """Refuses URLs that are not https, which could be changed in transit.

    Raises:
        WeightsError: another scheme, or not a URL.
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise WeightsError(f'{url!r} is not the URL of a file ({error})') from None
    if scheme != 'https' or not url.isprintable():
        raise WeightsError(f'{url!r} is refused: expected an https:// address of the file')


def _check_hash(file: Path, url: str) -> None:
    """Verifies the hash in a file name: names of OpenMMLab's and torchvision's files end in the
    start of their SHA-256, those of mmpose in that and a date; a date alone is not a hash.

    Raises:
        OSError: the file has another hash.
    """
    noted = re.search(
        r'-(?!(?:19|20)\d{6}\b)([0-9a-f]{8,64})(?:_\d{8})?\.pth$', releases.file_name(url)
    )
    if noted is None:
        return
    digest = hashlib.sha256()
    with open(file, 'rb') as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    if not digest.hexdigest().startswith(noted[1]):
        found = digest.hexdigest()[: len(noted[1])]
        raise OSError(f'expected SHA-256 {noted[1]}..., found {found}...')


def _cached_name(url: str) -> str:
    """File name in the cache. Files outside the zoo get a hash of their URL, since others may have
    the same name. Headers and redirects have no influence.

    Raises:
        WeightsError: no file name in the URL.
    """
    name = Path(unquote(releases.file_name(url))).name
    if not name:
        raise WeightsError(f'{url} is not the URL of a file')
    if (known := releases.find(url)) and known.url == url:
        return name
    plain = re.sub(r'[^\w.+-]', '_', name, flags=re.ASCII)[-100:]
    return f'{hashlib.sha256(url.encode()).hexdigest()[:8]}-{plain}'
