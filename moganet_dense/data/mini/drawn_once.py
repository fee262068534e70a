"""A folder of drawn data: drawn when it is needed, the same every time, all or nothing."""

import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from ...utils.atomic import as_line
from ...utils.errors import UserError
from ...utils.regular_files import read_regular
from ...utils.system import locked_folder


@dataclass(frozen=True)
class DrawnFolder:
    """What is drawn into a folder.

    Attributes:
        marker: begins the file VERSION, by which the folder is known as drawn.
        version: increased with every change of the drawings; another version on disk is drawn
            again.
        parts: names of files and folders in it, besides VERSION.
        draw: writes the parts into an empty folder.
    """

    marker: str
    version: str
    parts: Collection[str]
    draw: Callable[[Path], None]

    def make(self, root: str | os.PathLike) -> Path:
        """Draws into ``root`` unless it is drawn; all or nothing.

        Returns:
            ``root``.

        Raises:
            UserError: ``root`` contains other files, or cannot be written.
        """
        root = Path(root)
        with as_line(root):
            self._make(root)
        return root

    def _make(self, root: Path) -> None:
        if self._is_current(root):
            return
        root.parent.mkdir(parents=True, exist_ok=True)
        with locked_folder(root.parent):  # two that draw would remove each other's files
            if not self._is_current(root):  # another process may have drawn it meanwhile
                self._replace(root)

    def _replace(self, root: Path) -> None:
        if root.exists() and not self._is_ours(root):
            raise UserError(
                f'{root}: expected no other files in the folder of the sample data set; move them '
                'away'
            )
        draft = Path(tempfile.mkdtemp(dir=root.parent, prefix=root.name + '.'))
        try:
            draft.chmod(0o755)
            self.draw(draft)
            (draft / 'VERSION').write_text(self.marker + self.version)
            if not self._is_current(root):
                shutil.rmtree(root, ignore_errors=True)
                draft.rename(root)
        except OSError:
            if not self._is_current(root):  # else another process was faster, without locks
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _is_current(self, root: Path) -> bool:
        return _stamp(root) == self.marker + self.version

    def _is_ours(self, root: Path) -> bool:
        """Whether a folder is empty, or was drawn by another version."""
        found = {path.name for path in root.iterdir()} if root.is_dir() else {'a file'}
        stamp = _stamp(root)
        drawn = stamp.startswith(self.marker) or stamp == '1'  # of the first version
        return not found or (drawn and found <= {*self.parts, 'VERSION'})


def _stamp(root: Path) -> str:
    try:
        return read_regular(root / 'VERSION', 1000).decode()
    except (OSError, UnicodeDecodeError):
        return ''
