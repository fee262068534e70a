"""Checks the archive of a checkpoint before it is read.

``torch.save`` writes a zip archive with uncompressed members, one after another from the first byte
on. Others are refused: compressed or overlapping members expand beyond the size of the file, and an
archive after other bytes is read differently by other readers.
"""

import tarfile
import zipfile
from mmap import ACCESS_READ, mmap
from pathlib import Path

import torch

from ..utils.printable import printable
from ..utils.regular_files import open_regular
from .state_dicts import WeightsError

MEMBERS = 200_000
"""Maximum number of members of an archive; a checkpoint has one per tensor."""


def require_plain(path: Path) -> None:
    """Refuses archives that could run code or expand beyond the size of the file.

    Args:
        path: a regular file, a checkpoint in a format of PyTorch.

    Raises:
        WeightsError: it is refused; names the reason.
    """
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                _require_stored(path, archive)
                for name in archive.namelist():
                    if name.endswith('/data.pkl'):
                        _require_no_allocation(path, archive.read(name))
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise WeightsError(
                f'{path} is truncated or damaged ({printable(error, 200)}); copy it again'
            ) from None
        _require_same_members(path)
        return
    if tarfile.is_tarfile(path):
        raise WeightsError(f'{path} is refused: it is a tar archive, which would run code')
    if path.stat().st_size:
        with open_regular(path) as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            _require_no_allocation(path, content)


def _require_stored(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = {member.filename for member in members}
    if any(name.endswith('/constants.pkl') or '/code/' in name for name in names):
        raise WeightsError(f'{path} is refused: it is a TorchScript program, which would run code')
    size = path.stat().st_size
    packed = sum(member.compress_type != zipfile.ZIP_STORED for member in members)
    unpacked = sum(member.file_size for member in members)
    if packed or any(member.file_size != member.compress_size for member in members):
        found = f'{packed} compressed members, {unpacked / 1e6:.0f} MB in {size / 1e6:.0f} MB'
    elif unpacked > size:
        found = f'members of {unpacked / 1e6:.0f} MB in a file of {size / 1e6:.0f} MB'
    elif len(names) < len(members) or len(members) > MEMBERS:
        found = f'{len(members)} members, {len(names)} of different names'
    elif min((member.header_offset for member in members), default=0):
        found = 'other bytes before the archive'
    else:
        return
    raise WeightsError(
        f'{path} is refused: expected an archive as torch.save writes it, found {found}; load it '
        'where it was made and save it again'
    )


def _require_no_allocation(path: Path, program: bytes | mmap) -> None:
    """Refuses ``bytearray``, which PyTorch allows in a pickle and which can allocate any amount of
    memory."""
    if program.find(b'\nbytearray\n') >= 0:
        raise WeightsError(
            f'{path} is refused: it contains builtins.bytearray; save bytes or a tensor instead'
        )


def _require_same_members(path: Path) -> None:
    """Checks that Python's and torch's readers find the same members: a second list could hide
    code."""
    with zipfile.ZipFile(path) as archive:
        ours = sorted(name.partition('/')[2] for name in archive.namelist())
    try:
        reader = torch._C.PyTorchFileReader(str(path))
        theirs = sorted(reader.get_all_records())  # type: ignore[attr-defined]
    except RuntimeError as error:
        reason = str(error).strip().partition('\n')[0].partition('. ')[0]
        raise WeightsError(
            f'{path} is truncated or not a PyTorch checkpoint ({printable(reason, 200)}); copy or '
            'download it again'
        ) from None
    if ours != theirs:
        raise WeightsError(
            f'{path} is refused: two readers find different members in it; load it where it was '
            'made and save it again'
        )
