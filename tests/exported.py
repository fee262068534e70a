"""Files as annotation tools export them, and the data sets that are read from them."""

import json
from pathlib import Path

from moganet_dense.data.converters import choose, recognize
from moganet_dense.data.converters.dataset import DataSet


def write(path: Path, content: object) -> None:
    """Writes a text, or other content as JSON; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode())


def read(folder: Path) -> DataSet:
    """What is read from a folder, whose format is recognised."""
    return choose(recognize(folder), None)[0]
