"""Names annotations in a format that the toolboxes cannot read, and the command that can."""

import shlex
from pathlib import Path

from ...utils.errors import UserError
from ..converters import recognize

_PARTS = {
    'annotations', 'labels', 'images', 'imgs', 'train', 'training', 'val', 'valid', 'validation',
    'test',
}  # fmt: skip
"""Folders inside a data set, whose parent is searched too."""


def named(file: str | Path) -> str:
    """'; this is FORMAT: `moganet-dense init FOLDER` creates a config for it', or ''.

    Args:
        file: an annotation file, or a folder that should hold data.
    """
    path = Path(file)
    folder = path if path.is_dir() else path.parent
    whole = [folder.parent] if folder.name.lower() in _PARTS else []
    for root in [folder, *whole]:
        if not root.is_dir() or root.resolve() in (Path.cwd(), Path(root.anchor), Path.home()):
            continue
        if (root / 'mini' / 'VERSION').is_file():  # a folder of data sets, with the sample in it
            continue
        try:
            found = [one.name for one in recognize(root)]
        except (UserError, OSError):
            continue
        if found and found != ['COCO']:
            command = f'moganet-dense init {shlex.quote(str(root))}'
            return f'; {root} contains {found[0]}: `{command}` creates a config for it'
    return ''
