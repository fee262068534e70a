"""What kind of file a checkpoint is, before a reader acts on it.

``torch.save`` writes a zip archive whose members are stored as they are, one after another from
the first byte on. Others are refused: members that are compressed or lie in one another unpack to
more than the file has, and an archive behind other bytes is read otherwise by other readers.
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
"""Members of an archive that are looked at; a checkpoint has one for each tensor."""


def require_plain(path: Path) -> None:
    """Refuses what could run code, or unpack to more than the file's own size.

    Args:
        path: a regular file, a checkpoint in a format of PyTorch.

    Raises:
        WeightsError: it is such a file; names the cause.
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
    """PyTorch lets a pickle call ``bytearray``, which fills as much memory as a number says."""
    if program.find(b'\nbytearray\n') >= 0:
        raise WeightsError(
            f'{path} is refused: it holds builtins.bytearray; save bytes or a tensor instead'
        )


def _require_same_members(path: Path) -> None:
    """Python's reader and torch's must find one list: of two lists, one could hide a program."""
    with zipfile.ZipFile(path) as archive:
        ours = sorted(name.partition('/')[2] for name in archive.namelist())
    try:
        theirs = sorted(torch._C.PyTorchFileReader(str(path)).get_all_records())
    except RuntimeError as error:
        reason = str(error).strip().partition('\n')[0].partition('. ')[0]
        raise WeightsError(
            f'{path} is truncated or no PyTorch checkpoint ({printable(reason, 200)}); copy or '
            'fetch it again'
        ) from None
    if ours != theirs:
        raise WeightsError(
            f'{path} is refused: two readers find different members in it; load it where it was '
            'made and save it again'
        )
