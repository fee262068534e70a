"""Feeds the readers odd files: nothing but our own errors may come out, and no code may run.

    python tests/fuzz.py TARGET [--minutes 10] [--seed 0]

TARGET is checkpoint, annotations, boxes, labels, resume or workdir. Files are drawn by hypothesis:
whole ones with odd content, such as pickles that call what they should not, and whole ones with
bytes spoiled. Stops at the first fault, with the smallest file that shows it; else prints how many
files were fed. tests/test_fuzz.py feeds a few of each.
"""

import argparse
import io
import json
import os
import pickle
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import fuzz_runs
import numpy as np
import torch
from handmade import boxes, keypoints, write_coco
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mmengine.logging import HistoryBuffer
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from moganet_dense.data.image_io import LoadWhole
from moganet_dense.data.sources import Frame, Source
from moganet_dense.data.validation import check_all, check_before_training
from moganet_dense.data.validation.image_files import ImageSpec, check_image
from moganet_dense.data.validation.label_maps import Rule
from moganet_dense.inference.person_boxes import WrittenBoxes
from moganet_dense.results import boxes_of
from moganet_dense.utils.errors import UserError
from moganet_dense.weights import safetensors_file, unpickling
from moganet_dense.weights.loading import read_checkpoint

RAN = []  # what hostile() was called with


def hostile(*args: object) -> object:
    """What a file must not be able to call."""
    RAN.append(args)
    return args


def _often(usual: SearchStrategy, times: int, other: SearchStrategy) -> SearchStrategy:
    return st.sampled_from([usual] * times + [other]).flatmap(lambda chosen: chosen)


def spoiled(files: SearchStrategy) -> SearchStrategy:
    """Files as they are, with some bytes changed, cut, or with something behind."""
    change = st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4))

    def spoil(content: bytes, changes: list, end: float, more: bytes) -> bytes:
        content = bytearray(content)
        for where, put in changes:
            at = int(where * len(content))
            content[at : at + len(put)] = put
        return bytes(content[: int(end * len(content))] + more)

    few, end = st.lists(change, max_size=4), _often(st.just(1.0), 4, st.floats(0, 1))
    bad = st.builds(spoil, files, few, end, _often(st.just(b''), 4, st.binary(max_size=8)))
    return _often(files, 2, bad)


# --- checkpoints: pickles in torch's containers, and safetensors

NAMES = [
    *unpickling._BUILDERS, *unpickling._VALUES, 'fuzz.hostile', 'builtins.eval', 'builtins.exec',
    'builtins.getattr', 'builtins.open', 'os.system', 'posix.system', 'torch.load',
    'torch.storage._load_from_bytes', 'torch._utils._rebuild_sparse_tensor', 'torch.device',
    'torch._utils._rebuild_qtensor', 'torch.FloatStorage', 'torch.LongStorage',
    'torch.nn.modules.linear.Linear', 'mmengine.logging.HistoryBuffer.__init__',
    'torch.storage.UntypedStorage', 'torch.serialization._get_layout', 'numpy.load', '.', 'a.b c',
]  # fmt: skip
TEXTS = ['i4', 'f4', 'O', 'V8', 'latin1', 'rb', '<', '|', 'storage', '0', 'cpu', '_metadata',
         '_log_history', '_count_history', '_max_length', '__init__', '1+1']  # fmt: skip


def _text(value: str) -> bytes:
    content = value.encode('utf-8', 'surrogatepass')
    return pickle.BINUNICODE + struct.pack('<I', len(content)) + content


def _bytes(value: bytes) -> bytes:
    return pickle.SHORT_BINBYTES + bytes([len(value)]) + value


def _name(full: str) -> bytes:
    module, _, name = full.rpartition('.')
    return pickle.GLOBAL + f'{module}\n{name}\n'.encode()


def _put_and_get(index: int, value: bytes) -> bytes:
    return value + pickle.BINPUT + bytes([index]) + pickle.BINGET + bytes([index]) + pickle.TUPLE2


def _programs() -> SearchStrategy:
    """Instructions of a pickle that leave one object; see the table in pickletools."""
    leaf = st.one_of(
        st.sampled_from([pickle.NONE, pickle.NEWTRUE, pickle.EMPTY_DICT, pickle.EMPTY_TUPLE]),
        st.sampled_from([b'\x82\x01', b'\x83\x01\x02', b'h\x00', b'.', b'0', b'2', b'\x94']),
        st.integers(-(2**31), 2**31 - 1).map(lambda n: pickle.BININT + struct.pack('<i', n)),
        st.integers(0, 9).map(lambda n: pickle.BININT1 + bytes([n])),
        st.floats().map(lambda x: pickle.BINFLOAT + struct.pack('>d', x)),
        st.sampled_from(TEXTS).map(_text) | st.text(max_size=9).map(_text),
        st.binary(max_size=16).map(_bytes),
        st.sampled_from(NAMES).map(_name),
        st.binary(max_size=5),
    )

    def grown(inner: SearchStrategy) -> SearchStrategy:
        some = st.lists(inner, max_size=5).map(b''.join)
        called = st.sampled_from(NAMES).map(_name) | inner
        call = st.sampled_from([pickle.REDUCE, pickle.NEWOBJ])
        return st.one_of(
            st.builds(lambda x: pickle.MARK + x + pickle.TUPLE, some),
            st.builds(lambda x: pickle.MARK + x + pickle.LIST, some),
            st.builds(lambda x: pickle.MARK + x + pickle.DICT, some),
            st.builds(lambda f, x, c: f + pickle.MARK + x + pickle.TUPLE + c, called, some, call),
            st.builds(lambda f, x: pickle.MARK + f + x + pickle.OBJ, called, some),
            st.builds(lambda x, y: x + y + pickle.BUILD, inner, inner),
            st.builds(lambda x, y, z: x + y + z + pickle.SETITEM, inner, inner, inner),
            st.builds(lambda f, x, y: f + x + y + pickle.NEWOBJ_EX, called, inner, inner),
            st.builds(lambda x, y: x + y + pickle.STACK_GLOBAL, inner, inner),
            st.builds(lambda x: x + pickle.BINPERSID, inner),
            st.builds(_put_and_get, st.integers(0, 3), inner),
        )

    whole = st.recursive(leaf, grown, max_leaves=12)
    return st.builds(lambda p, x: b'\x80' + bytes([p]) + x + b'.', st.integers(0, 6), whole)


def _zipped(program: bytes) -> bytes:
    """As torch.save lays it out since 1.6."""
    with zipfile.ZipFile(buffer := io.BytesIO(), 'w') as archive:
        archive.writestr('archive/data.pkl', program)
        archive.writestr('archive/byteorder', 'little')
        archive.writestr('archive/data/0', bytes(16))
        archive.writestr('archive/version', '3\n')
    return buffer.getvalue()


def _legacy(program: bytes) -> bytes:
    """As torch.save laid it out before."""
    system = dict(protocol_version=1001, little_endian=True, type_sizes={})
    head = (0x1950A86A20F9469CFC6C, 1001, system)
    return b''.join(pickle.dumps(x, 2) for x in head) + program + pickle.dumps(['0'], 2)


def _json() -> SearchStrategy:
    number = st.integers(-3, 20) | st.integers() | st.floats()
    leaf = st.none() | st.booleans() | number | st.text(max_size=5) | st.just('\ud800')
    keys = st.sampled_from(['id', 'bbox', 'counts', 'dtype', '']) | st.text(max_size=5)
    return st.recursive(
        leaf, lambda x: st.lists(x, max_size=6) | st.dictionaries(keys, x, max_size=4), max_leaves=8
    )


def _safetensors() -> SearchStrategy:
    row = st.fixed_dictionaries(
        dict(
            dtype=st.sampled_from(
                ['F64', 'F32', 'F16', 'BF16', 'I64', 'I32', 'U8', 'BOOL', 'F8_E4M3']
            )
            | _json(),
            shape=st.lists(st.integers(-1, 3) | _json(), max_size=3) | _json(),
            data_offsets=st.lists(st.integers(-1, 17) | _json(), max_size=3) | _json(),
        )
    )
    header = st.dictionaries(st.text(max_size=3), row | _json(), max_size=3)
    header = st.builds(lambda x, y: {'__metadata__': x, **y}, _json(), header) | header | _json()

    def packed(content: object, error: int, body: bytes) -> bytes:
        text = json.dumps(content).encode()
        return struct.pack('<Q', max(0, len(text) + error)) + text + body

    return st.builds(packed, header, st.sampled_from([0] * 8 + [-1, 1, 2**62]),
                     st.binary(min_size=16, max_size=16) | st.binary(max_size=20))  # fmt: skip


def _saved(**options) -> bytes:
    content = dict(
        state_dict=dict(a=torch.arange(4.0), b=torch.ones(2, dtype=torch.bfloat16)),
        message_hub=dict(loss=HistoryBuffer([3.0, 1.0], [1, 2]), best=np.float32(0.5)),
        meta=dict(sigmas=np.arange(6.0).reshape(2, 3).T),
    )
    torch.save(content, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


def checkpoints() -> SearchStrategy:
    """Suffix and content of a file."""
    program, whole = _programs(), [_saved(), _saved(_use_new_zipfile_serialization=False)]
    packed = safetensors_file.packed({'a': torch.ones(2)}, {'gate': 'single'})
    pickles = st.one_of(
        program, program.map(_zipped), program.map(_legacy), st.sampled_from(whole), st.binary()
    )
    others = _safetensors() | st.just(packed)
    return st.tuples(st.just('.pth'), spoiled(pickles)) | st.tuples(
        st.just('.safetensors'), spoiled(others)
    )


def read_spoiled_checkpoint(folder: Path, case: tuple[str, bytes]) -> None:
    suffix, content = case
    file = folder / f'file{suffix}'
    file.write_bytes(content)
    _expect_ours(read_checkpoint, file)
    assert not RAN, RAN


# --- annotations: a file in COCO's format with odd values, as boxes, masks and keypoints

ODD = _json()


def _rarely_odd(usual: SearchStrategy) -> SearchStrategy:
    return _often(usual, 40, ODD)  # else no file would get beyond the first look


def _mostly(*values: object) -> SearchStrategy:
    return _rarely_odd(st.sampled_from(values))


def _row(**fields: SearchStrategy) -> SearchStrategy:
    """An object with these fields; now and then one is absent, or it is another object."""
    whole = st.fixed_dictionaries(fields)
    return _rarely_odd(_often(whole, 9, st.fixed_dictionaries({}, optional=fields)))


def annotations() -> SearchStrategy:
    """Bytes of an annotation file."""
    ids, number = _mostly(1, 2, 3), _rarely_odd(st.floats(-2, 10) | st.floats())
    text = st.sampled_from(['`11o', '', '0' * 40, '_' * 9]) | st.text(max_size=9)
    runs = _row(size=_mostly([8, 8], [4, 16]), counts=text | _mostly([60, 4], [64], [-1, 65]))
    image = _row(id=ids, file_name=_mostly('1.jpg', '2.jpg', '../1.jpg', '/', 'a\0', '\ud800.jpg'),
                 width=_mostly(8), height=_mostly(8))  # fmt: skip
    shape = st.lists(_rarely_odd(st.lists(number, max_size=9)), max_size=3)
    row = _row(id=ids, image_id=ids, category_id=ids, area=_mostly(4.0), iscrowd=_mostly(0, 1),
               bbox=_mostly([1, 1, 4, 4]) | st.lists(number, min_size=4, max_size=4),
               segmentation=shape | runs, num_keypoints=_mostly(2, 3),
               keypoints=_mostly([2, 2, 2] * 3) | st.lists(number, max_size=9))  # fmt: skip
    kind = _row(id=ids, name=_mostly('cat', 'dog', 'person'),
                keypoints=_mostly(['a', 'b', 'c'], ['c', 'b', 'a']))  # fmt: skip
    parts = dict(
        images=_rarely_odd(st.lists(image, max_size=3)),
        annotations=_rarely_odd(st.lists(row, max_size=4)),
        categories=_rarely_odd(st.lists(kind, max_size=3)),
    )
    whole = st.fixed_dictionaries(parts)
    content = _rarely_odd(whole).map(lambda x: json.dumps(x).encode())
    return spoiled(content)


def check_spoiled_annotations(folder: Path, case: bytes) -> None:
    configs = [keypoints(folder), boxes(folder)]
    configs[1].train_dataloader.dataset.pipeline = [dict(type='LoadAnnotations', with_mask=True)]
    (folder / 'boxes.json').write_bytes(case)
    for cfg in configs:
        _expect_ours(check_before_training, cfg)
        _expect_ours(lambda: check_all(cfg).words().encode())  # noqa: B023


def read_spoiled_boxes(folder: Path, case: bytes) -> None:
    """As the boxes of people that ``predict --boxes`` reads."""
    file = folder / 'found.json'
    file.write_bytes(case)
    images = [Frame(Source(name, name), None) for name in ('1.jpg', '2.jpg', '../1.jpg')]

    def read() -> None:
        for found in WrittenBoxes(str(file), 0.0)(images):
            assert isinstance(found, str) or len(boxes_of(found, None)[0]) == len(found)

    _expect_ours(read)


# --- label maps


def label_maps() -> SearchStrategy:
    """Bytes of an image of any kind, mostly a label map."""

    def drawn(kind: str, suffix: str, size: tuple, numbers: bytes) -> bytes:
        height, width = size
        values = np.resize(np.frombuffer(numbers, np.uint8), (height, width))
        image = Image.fromarray(values).convert('L')
        image = image.convert(kind) if kind != 'I;16' else Image.fromarray(values.astype('u2'))
        try:
            image.save(buffer := io.BytesIO(), suffix)
        except (OSError, ValueError, KeyError):  # a kind that the format does not have
            image.convert('L').save(buffer := io.BytesIO(), 'png')
        return buffer.getvalue()

    kinds = st.sampled_from(['L', 'L', 'P', '1', 'RGB', 'RGBA', 'LA', 'I', 'F', 'CMYK', 'I;16'])
    formats = st.sampled_from(['png', 'png', 'png', 'bmp', 'gif', 'tiff', 'jpeg', 'webp', 'ppm'])
    size = st.tuples(st.integers(1, 6), st.integers(1, 6)) | st.just((4, 4))
    few = st.lists(st.integers(0, 3) | st.just(255), min_size=1, max_size=36).map(bytes)
    return spoiled(_often(st.builds(drawn, kinds, formats, size, few), 19, st.binary()))


def read_spoiled_label_map(folder: Path, case: bytes) -> None:
    image, labels = folder / 'image.png', folder / 'labels.png'
    if not image.exists():
        Image.new('RGB', (4, 4)).save(image)
    labels.write_bytes(case)
    found = check_image(ImageSpec(str(image), 'train', None, str(labels), Rule(['a', 'b', 'c'])))[1]
    load = LoadWhole(LoadAnnotations(), classes=3)
    row = dict(seg_map_path=str(labels), reduce_zero_label=False, label_map=None, seg_fields=[])
    _expect_ours(load, dict(row, img_shape=(4, 4), ori_shape=(4, 4)))
    assert all('\n' not in finding.place() for finding in found)


def _expect_ours(read: Callable, *args: object) -> None:
    try:
        read(*args)
    except UserError as error:
        assert '\n' not in str(error), error


# --- running

TARGETS = {
    'checkpoint': (checkpoints, read_spoiled_checkpoint),
    'annotations': (annotations, check_spoiled_annotations),
    'boxes': (annotations, read_spoiled_boxes),
    'labels': (label_maps, read_spoiled_label_map),
    'resume': (fuzz_runs.resume_files, fuzz_runs.resume_from),
    'workdir': (fuzz_runs.work_dirs, fuzz_runs.report_on),
}


def feeder(name: str, folder: Path, **options) -> Callable[[], None]:
    """A function that feeds a target ``max_examples`` files; options as hypothesis.settings."""
    strategy, feed = TARGETS[name]
    if name == 'annotations':
        write_coco(folder)

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), **options)
    @given(strategy())
    def once(case) -> None:
        once.fed += 1
        feed(folder, case)

    once.fed = 0
    return once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('target', choices=TARGETS)
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    sys.modules.setdefault('fuzz', sys.modules['__main__'])  # for NAMES
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders complain there of each file
    sys.stderr = sys.stdout
    warnings.simplefilter('ignore')
    cv2.setNumThreads(1)
    start, fed, number = time.monotonic(), 0, args.seed
    with tempfile.TemporaryDirectory() as folder:
        while (seconds := time.monotonic() - start) < 60 * args.minutes:
            phases = (Phase.generate, Phase.shrink)
            once = feeder(args.target, Path(folder), max_examples=100, phases=phases)
            seed(number)(once)()
            fed, number = fed + once.fed, number + 1
    print(f'{args.target}: {fed} files in {seconds:.0f} s, nothing but our own errors')


if __name__ == '__main__':
    main()
