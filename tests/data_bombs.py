"""Data sets and images that are small and stand for gigabytes; see bombs.py."""

import base64
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from moganet_dense.utils.errors import UserError

MB = 2**20


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


def unpacked(header: bytes, size: int) -> bytes:
    """A gzip member of ``header`` and so many MB of zeros."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packing.compress(header), *(packing.compress(bytes(MB)) for _ in range(size))]
    return b''.join([*parts, packing.flush()])


def digits_of(size: int, packed: int) -> bytes:
    """MNIST images of ``size`` MB, of which ``packed`` MB are in the file."""
    return unpacked(struct.pack('>4i', 2051, size, 1024, 1024), packed)


def digits_in_little(folder: Path, size: int) -> Path:
    (file := folder / 'digits.gz').write_bytes(digits_of(size, min(size, 20)))
    return file


def digits_in_none(folder: Path, size: int) -> Path:
    (file := folder / 'digits.gz').write_bytes(digits_of(2**31 - 1, 0))
    return file


def digits_with_a_hole(folder: Path, size: int) -> Path:
    """Images, and then zeros that gzip skips one by one."""
    (file := folder / 'digits.gz').write_bytes(digits_of(1, 1))
    os.truncate(file, 20 * MB)
    return file


def array(shape: tuple, descr: object = '<f4', body: bytes = b'') -> bytes:
    np.lib.format.write_array_header_1_0(
        stream := io.BytesIO(), dict(descr=descr, fortran_order=False, shape=shape)
    )
    return stream.getvalue() + body


def clips_in_none(folder: Path, size: int) -> Path:
    (file := folder / 'clips.npy').write_bytes(array((20, 10**9, 64, 64), '|u1'))
    return file


def arrays(packed: bool, kind: int = zipfile.ZIP_DEFLATED) -> Callable[[Path, int], Path]:
    """An archive of arrays of ``size`` MB, whose bytes are there, packed, or are not."""

    def make(folder: Path, size: int) -> Path:
        with zipfile.ZipFile(file := folder / 'dataset.npz', 'w', kind) as archive:
            for name in ('X_train', 'Y_train'):
                with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
                    member.write(array((size * MB // 32768, 4, 2, 32, 32)))
                    for _ in range(size if packed else 0):
                        member.write(bytes(MB))
        return file

    return make


def digits(path: Path) -> object:
    from moganet_dense.video import MovingDigits

    return MovingDigits(str(path.parent), images=path.name)


def clips(path: Path) -> object:
    from moganet_dense.video import MovingDigits

    return MovingDigits(str(path.parent), sequences=path.name)


def traffic(path: Path) -> object:
    from moganet_dense.video.array_files import read_arrays

    return read_arrays(path, 'X_train', 'Y_train')


def pairs(path: Path) -> object:
    """The list of a data set of label maps."""
    from moganet_dense.toolboxes.mmseg import LabelMapDataset

    return LabelMapDataset(ann_file=str(path), metainfo=dict(classes=('a',)))


def toolbox_list(path: Path) -> object:
    """A list that a toolbox reads."""
    from mmengine.fileio import list_from_file

    from moganet_dense.weights.mmengine_loader import read_without_code

    read_without_code()
    try:
        return list_from_file(str(path))
    except FileNotFoundError as error:  # the check before a training names it
        raise UserError(str(error)) from None


def label_map_to_fix(path: Path) -> object:
    from moganet_dense.data.converters.dataset import Tally
    from moganet_dense.data.repair import repaired_label_map

    return repaired_label_map(path, False, Tally())


def header_of_image(path: Path) -> object:
    from moganet_dense.data.converters.files import image_size

    return image_size(path)


def example(path: Path) -> object:
    from moganet_dense.demo.examples import read_example

    return read_example(path)


READERS = {
    'digits': ('.gz', digits),
    'clips': ('.npy', clips),
    'traffic': ('.npz', traffic),
    'list of pairs': ('.txt', pairs),
    'list of a toolbox': ('.txt', toolbox_list),
    'label map to fix': ('.png', label_map_to_fix),
    'header of an image': ('.tiff', header_of_image),
    'example of the demo': ('.jpg', example),
}

KINDS = {
    'digits of 8 GB in 20 MB': (digits_in_little, digits),
    'digits of 2 PB in none': (digits_in_none, digits),
    'digits with a hole behind them': (digits_with_a_hole, digits),
    'clips of 80 TB in none': (clips_in_none, clips),
    'traffic of 8 GB, deflated': (arrays(True), traffic),
    'traffic of 8 GB in none': (arrays(False), traffic),
    'traffic packed by bzip2': (arrays(True, zipfile.ZIP_BZIP2), traffic),
    'billion laughs in data.yaml': (laughs, init),
    'class 1e9 of YOLO': (large_class, init),
    'mask of 100 000 x 100 000 of CVAT': (cvat_mask, init),
    'mask of 13 000 x 13 000 of LabelMe': (labelme_mask, init),
    'image of 30 000 x 1, classifier': (thin, classify),
}
"""What makes each, and what reads it."""
