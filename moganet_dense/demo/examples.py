"""Example images of a model: the first validation images of its config, where they are."""

from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from ..utils.errors import UserError
from ..utils.regular_files import read_regular
from .uploads import FORMATS, MAX_BYTES

COUNT = 3
SUFFIXES = {'.jpg', '.jpeg', '.png', '.webp'}
"""Of images that browsers show."""
LOOKED_AT = 200
"""Files that are looked at, at most."""


def examples_of(cfg: Any) -> tuple[Path, ...]:
    """Up to three images of the data set that a config tests on; none where it is not there.

    Args:
        cfg: the config of a model.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset and 'data_prefix' not in dataset:  # a wrapper around another one
        dataset = dataset['dataset']
    prefix = dataset.get('data_prefix') or ''
    if isinstance(prefix, dict):
        prefix = prefix.get('img') or prefix.get('img_path') or ''
    folder = Path(dataset.get('data_root') or '', prefix)
    if not prefix or not folder.is_dir():
        return ()
    found = []
    for path, _ in zip(sorted(folder.rglob('*')), range(LOOKED_AT), strict=False):
        if path.suffix.lower() in SUFFIXES and path.is_file() and path.stat().st_size <= MAX_BYTES:
            found.append(path.resolve())
        if len(found) == COUNT:
            break
    return tuple(found)


def read_example(path: Path) -> tuple[bytes, str]:
    """The bytes of an example and their media type.

    The folder may have links, and files may have been replaced: what is no image is not sent.

    Raises:
        UserError: it cannot be read, or is no image.
    """
    try:
        content = read_regular(path, MAX_BYTES)
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            kind = 'jpeg' if image.format == 'MPO' else str(image.format).lower()
    except Exception:  # Pillow raises many kinds
        raise UserError(f'{path}: expected an image') from None
    return content, f'image/{kind}'
