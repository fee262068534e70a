"""Data sets and images that are small and stand for gigabytes; see bombs.py."""

import base64
import io
import json
from pathlib import Path

from PIL import Image

from moganet_dense.utils.errors import UserError


def init(path: Path) -> object:
    """What ``init`` reads of a folder; what it counts, one line each, in one line."""
    from moganet_dense.data.converters import choose, recognize

    try:
        return choose(recognize(path), None)
    except UserError as error:
        raise UserError(' '.join(str(error).split())) from None


def classify(path: Path) -> object:
    """An image in the pipeline of a classifier."""
    from moganet_dense.data.image_io import Prepare, decode
    from moganet_dense.toolboxes.mmpretrain import TRANSFORMS

    resize = TRANSFORMS.build(dict(type='ResizeEdge', scale=256, edge='short'))
    return Prepare(resize)(dict(img=decode(path), img_path=str(path)))


def _folder(folder: Path, name: str, text: str) -> Path:
    Image.new('RGB', (64, 48)).save(folder / 'a.png')
    (folder / name).write_text(text)
    return folder


def laughs(folder: Path, size: int) -> Path:
    """``data.yaml`` of twelve lists of nine times the one before."""
    lines = ['a: &a [x, x, x, x, x, x, x, x, x]']
    for before, name in zip('abcdefghijk', 'bcdefghijkl', strict=True):
        lines.append(f'{name}: &{name} [{", ".join([f"*{before}"] * 9)}]')
    return _folder(folder, 'data.yaml', '\n'.join([*lines, 'names: [*l]', 'train: .\n']))


def large_class(folder: Path, size: int) -> Path:
    """Class number 1e9 where no file has names: each up to it would get one."""
    return _folder(folder, 'a.txt', '1e9 .5 .5 .2 .2\n')


def cvat_mask(folder: Path, size: int) -> Path:
    """A mask of 100 000 x 100 000 in one run."""
    shape = '<mask label="a" left="0" top="0" width="100000" height="100000" rle="10000000000"/>'
    image = f'<image name="a.png">{shape}</image>'
    return _folder(folder, 'a.xml', f'<annotations>{image}</annotations>')


def labelme_mask(folder: Path, size: int) -> Path:
    """A PNG of 13 000 x 13 000 in base64."""
    Image.new('1', (13_000, 13_000)).save(stream := io.BytesIO(), 'PNG')
    mask = base64.b64encode(stream.getvalue()).decode()
    shape = dict(label='a', shape_type='mask', points=[[0, 0], [9, 9]], mask=mask)
    return _folder(folder, 'a.json', json.dumps(dict(imagePath='a.png', shapes=[shape])))


def thin(folder: Path, size: int) -> Path:
    """An image of 30 000 x 1."""
    file = folder / 'thin.png'
    Image.new('RGB', (30_000 if size else 300, 1)).save(file)
    return file


KINDS = {
    'billion laughs in data.yaml': (laughs, init),
    'class 1e9 of YOLO': (large_class, init),
    'mask of 100 000 x 100 000 of CVAT': (cvat_mask, init),
    'mask of 13 000 x 13 000 of LabelMe': (labelme_mask, init),
    'image of 30 000 x 1, classifier': (thin, classify),
}
"""What makes each, and what reads it."""
