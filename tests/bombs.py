"""Files and things that are no files, made to exhaust memory or time, or to hang who reads them.

    python tests/bombs.py [NAME ...]

feeds each to its reader in a process of its own and prints what that took: CPU seconds, memory at
the peak beyond what the process had before, the seconds it waited, and the message. tests/attacks
feeds small forms of them to the readers in a process.
"""

import contextlib
import io
import json
import os
import resource
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import data_bombs
import torch

from moganet_dense.utils.errors import UserError

MB = 2**20


@dataclass(frozen=True)
class Bomb:
    """What is made, for a size in MB of what it would take, and what reads it."""

    make: Callable[[Path, int], Path]
    read: Callable[[Path], object]
    size: int = 8000


def saved(content: object) -> bytes:
    torch.save(content, buffer := io.BytesIO())
    return buffer.getvalue()


# --- checkpoints


def deflated(folder: Path, size: int) -> Path:
    """An archive of torch.save whose members are compressed."""
    file = folder / 'deflated.pth'
    whole = io.BytesIO(saved(dict(a=torch.zeros(size * MB // 4))))
    with (
        zipfile.ZipFile(whole) as source,
        zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as target,
    ):
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    return file


def overlapping(folder: Path, size: int) -> Path:
    """An archive in which 100 members are the same bytes."""
    file = folder / 'overlapping.pth'
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr('archive/data.pkl', b'\x80\x02}.')
        archive.writestr('archive/data/0', bytes(size * MB // 100))
        first = archive.infolist()[-1]
        for number in range(1, 100):
            again = zipfile.ZipInfo(f'archive/data/{number}')
            for key in ('header_offset', 'CRC', 'compress_size', 'file_size'):
                setattr(again, key, getattr(first, key))
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
    return file


def sparse(ending: str, head: bytes = b'') -> Callable[[Path, int], Path]:
    """A file with a hole: it has any size and takes no room."""

    def make(folder: Path, size: int) -> Path:
        file = folder / f'sparse{ending}'
        file.write_bytes(head)
        os.truncate(file, size * MB)
        return file

    return make


def large_storage(folder: Path, size: int) -> Path:
    """A pickle of before 1.6 that announces a large tensor and is truncated."""
    file = folder / 'legacy.pth'
    torch.save(torch.zeros(1), file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    count = b'K\x01Nt'  # the storage's number of elements, in its persistent id
    assert whole.count(count) == 1
    file.write_bytes(
        whole.replace(count, b'\x8a\x05' + struct.pack('<q', size * MB // 4)[:5] + b'Nt')
    )
    return file


def asks_for_bytes(folder: Path, size: int) -> Path:
    """A pickle that calls ``bytearray`` with a number."""
    file = folder / 'bytearray.pth'
    number = b'\x8a\x05' + struct.pack('<q', size * MB)[:5]
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr('archive/data.pkl', b'\x80\x02cbuiltins\nbytearray\n' + number + b'\x85R.')
        archive.writestr('archive/version', '3\n')
    return file


def legacy_bytes(folder: Path, size: int) -> Path:
    """The same in a file of before torch 1.6."""
    file = folder / 'legacy_bytearray.pth'
    number = b'\x8a\x05' + struct.pack('<q', size * MB)[:5]
    torch.save({}, file, _use_new_zipfile_serialization=False)
    call = b'\x80\x02cbuiltins\nbytearray\n' + number + b'\x85R.'
    head, found, end = file.read_bytes().rpartition(b'\x80\x02}q\x00.')
    assert found
    file.write_bytes(head + call + end)
    return file


def tensors(folder: Path, header: dict, body: int) -> Path:
    file, text = folder / 'tensors.safetensors', json.dumps(header).encode()
    with open(file, 'wb') as stream:
        stream.write(struct.pack('<Q', len(text)) + text)
    os.truncate(file, 8 + len(text) + body)
    return file


def same_region(folder: Path, size: int) -> Path:
    """Tensors that are all the same bytes of the file."""
    row = dict(dtype='U8', shape=[10 * MB], data_offsets=[0, 10 * MB])
    return tensors(folder, {str(n): row for n in range(size // 10)}, 10 * MB)


def many_tensors(folder: Path, size: int) -> Path:
    """300 000 tensors of nothing."""
    row = dict(dtype='U8', shape=[0], data_offsets=[0, 0])
    return tensors(folder, {str(n): row for n in range(300_000)}, 0)


def long_header(folder: Path, size: int) -> Path:
    """A header that is said to be longer than the file."""
    file = folder / 'header.safetensors'
    file.write_bytes(struct.pack('<Q', size * MB) + b'{}')
    return file


def checkpoint(path: Path) -> object:
    from moganet_dense.weights.loading import read_checkpoint

    return read_checkpoint(path)


def training(path: Path) -> object:
    from moganet_dense.engine.atomic_checkpoint import read_training

    return read_training(path)


# --- things that are no files


def fifo(ending: str) -> Callable[[Path, int], Path]:
    def make(folder: Path, size: int) -> Path:
        os.mkfifo(file := folder / f'fifo{ending}')
        return file

    return make


def link(ending: str, target: str = '/dev/zero') -> Callable[[Path, int], Path]:
    def make(folder: Path, size: int) -> Path:
        (file := folder / f'link{ending}').symlink_to(target.format(ending=ending))
        return file

    return make


def folder(ending: str) -> Callable[[Path, int], Path]:
    def make(parent: Path, size: int) -> Path:
        (path := parent / f'folder{ending}').mkdir()
        return path

    return make


THINGS = {
    'a FIFO': fifo,
    'a device': link,
    'a link to itself': lambda ending: link(ending, 'link{ending}'),
    'a link to nothing': lambda ending: link(ending, 'nothing'),
    'a folder': folder,
}


def image(path: Path) -> object:
    from moganet_dense.data.image_io import decode

    return decode(path)


def label_map(path: Path) -> object:
    from moganet_dense.data.validation.image_files import read_labels

    return read_labels(str(path))


def annotations(path: Path) -> object:
    from moganet_dense.data.validation.coco_annotations import read_coco

    return read_coco(str(path))


def person_boxes(path: Path) -> object:
    from moganet_dense.inference.person_boxes import WrittenBoxes

    return WrittenBoxes(str(path), 0.0)


def exported(path: Path) -> object:
    from moganet_dense.runtime import load

    return load(path)


def video(path: Path) -> object:
    from moganet_dense.data.sources import Fault, Source, frames

    source = Source(str(path), 'name')
    found = list(frames([source]))
    if len(source) and isinstance(found[0], Fault):
        raise UserError(found[0].reason)
    return found


READERS = {
    'checkpoint': ('.pth', checkpoint),
    'checkpoint to resume from': ('.pth', training),
    'safetensors': ('.safetensors', checkpoint),
    'image': ('.jpg', image),
    'label map': ('.png', label_map),
    'annotations': ('.json', annotations),
    'boxes of people': ('.json', person_boxes),
    'exported model': ('.onnx', exported),
    'video': ('.mp4', video),
}


# --- annotations, in which a finite number is not a sane one


def far_corner(folder: Path, size: int) -> Path:
    return coco(folder, [[1, 1, size * 1e4, 1, 4, 4]])


def long_outline(folder: Path, size: int) -> Path:
    """Corners near the image, from side to side: 1 MB of text."""
    return coco(folder, [[-900.0, 1, 900, 1] * (20 * size)])


def coco(folder: Path, polygon: list) -> Path:
    from handmade import write_coco

    content = write_coco(folder)
    content['annotations'][0]['segmentation'] = polygon
    (folder / 'boxes.json').write_text(json.dumps(content))
    return folder


def before_training(folder: Path) -> object:
    from handmade import boxes

    from moganet_dense.data.validation import check_before_training

    cfg = boxes(folder)
    cfg.train_dataloader.dataset.pipeline = [dict(type='LoadAnnotations', with_mask=True)]
    return check_before_training(cfg)


def while_loading(folder: Path) -> object:
    from moganet_dense.data.image_io import require_sound

    content = json.loads((folder / 'boxes.json').read_text())
    row = dict(bbox=[1, 1, 5, 5], mask=content['annotations'][0]['segmentation'])
    try:
        return require_sound(dict(instances=[row], ori_shape=(8, 8)), masks=True)
    except ValueError as error:
        raise UserError(str(error)) from None


# --- work dirs


def work_dir(name: str, content: Callable[[int], bytes]) -> Callable[[Path, int], Path]:
    """A work dir of which one file is other than it should be."""

    def make(folder: Path, size: int) -> Path:
        from finished_run import write_work_dir

        path = write_work_dir(folder / 'work')
        (path / '20260101_000000' / name).write_bytes(content(size))
        return path

    return make


def sparse_log(folder: Path, size: int) -> Path:
    path = work_dir('vis_data/scalars.json', lambda size: b'')(folder, size)
    os.truncate(path / '20260101_000000/vis_data/scalars.json', size * MB)
    return path


def deep(size: int) -> bytes:
    return b'[' * (size * 1000)


def many_names(size: int) -> bytes:
    rows = (dict(step=n, lr=0.1, **{f'loss_{n}_{k}': 1.0 for k in range(50)}) for n in range(size))
    return '\n'.join(map(json.dumps, rows)).encode()


def many_values(size: int) -> bytes:
    return b'{"mode": "val", "tables": [' + b'[],' * (size * 1000) + b'[]]}'


def wide(size: int) -> bytes:
    row = [0] * 3000
    table = dict(title='a', rows=['a'] * 3000, columns=['a'] * 3000, counts=[row] * (size // 10))
    return json.dumps(dict(mode='val', confusion=table)).encode()


def long_config(size: int) -> bytes:
    return b'a = [' + b'0, ' * (size * 1000) + b']'


def report(path: Path) -> object:
    from moganet_dense.report.page import page
    from moganet_dense.report.runs import read_work_dir

    return page([read_work_dir(path)] * 2)


BOMBS = {
    'deflated archive': Bomb(deflated, checkpoint, 500),
    'deflated archive to resume from': Bomb(deflated, training, 500),
    'archive of overlapping members': Bomb(overlapping, checkpoint),
    'sparse checkpoint of 40 GB': Bomb(sparse('.pth'), checkpoint, 40_000),
    'sparse archive of 40 GB': Bomb(sparse('.pth', b'PK\x03\x04'), checkpoint, 40_000),
    'sparse safetensors of 40 GB': Bomb(sparse('.safetensors', b'\x02' + bytes(7) + b'{}'),
                                        checkpoint, 40_000),
    'storage larger than its file': Bomb(large_storage, checkpoint),
    'bytearray of 8 GB in a pickle': Bomb(asks_for_bytes, checkpoint),
    'the same of before torch 1.6': Bomb(legacy_bytes, checkpoint),
    'safetensors of overlapping tensors': Bomb(same_region, checkpoint),
    'safetensors of 300 000 tensors': Bomb(many_tensors, checkpoint),
    'safetensors with a long header': Bomb(long_header, checkpoint),
    'sparse image of 40 GB': Bomb(sparse('.jpg', b'\xff\xd8'), image, 40_000),
    'sparse annotations of 40 GB': Bomb(sparse('.json'), annotations, 40_000),
    'sparse ONNX file of 40 GB': Bomb(sparse('.onnx'), exported, 40_000),
    'corner at 8e7, check': Bomb(far_corner, before_training),
    'corner at 8e7, loading': Bomb(far_corner, while_loading),
    'long outline, check': Bomb(long_outline, before_training),
    'long outline, loading': Bomb(long_outline, while_loading),
    'sparse scalars.json of 20 GB': Bomb(sparse_log, report, 20_000),
    'names without end in a log': Bomb(work_dir('vis_data/scalars.json', many_names), report),
    'deep run.json': Bomb(work_dir('run.json', deep), report),
    'values without end': Bomb(work_dir('evaluation.json', many_values), report),
    'confusion matrix of 3000 classes': Bomb(work_dir('evaluation.json', wide), report, 2000),
    'long config.py': Bomb(work_dir('vis_data/config.py', long_config), report, 5000),
    'deep config.py': Bomb(work_dir('vis_data/config.py', lambda size: b'a = ' + deep(size)),
                           report),
}  # fmt: skip
"""What would take the gigabytes of its name, or of ``size``."""
BOMBS |= {name: Bomb(*both) for name, both in data_bombs.KINDS.items()}
BOMBS |= {
    'sparse list of pairs of 40 GB': Bomb(sparse('.txt'), data_bombs.pairs, 40_000),
    'sparse list of a toolbox of 40 GB': Bomb(sparse('.txt'), data_bombs.toolbox_list, 40_000),
    'sparse digits of 40 GB': Bomb(sparse('.gz'), data_bombs.digits, 40_000),
    'sparse label map to fix of 40 GB': Bomb(sparse('.png'), data_bombs.label_map_to_fix, 40_000),
}
READERS |= data_bombs.READERS
BOMBS |= {
    f'{thing} as {what}': Bomb(make(ending), read)
    for what, (ending, read) in READERS.items()
    for thing, make in THINGS.items()
}


def explode(name: str) -> None:
    """Prints what one took, as JSON."""
    import tempfile

    bomb = BOMBS[name]
    with tempfile.TemporaryDirectory() as folder:
        small = tempfile.mkdtemp(dir=folder)  # imports and caches are not the bomb's
        with contextlib.suppress(UserError, ValueError):
            bomb.read(bomb.make(Path(small), 0))
        (large := Path(folder, 'large')).mkdir()
        path = bomb.make(large, bomb.size)
        Path('/proc/self/clear_refs').write_text('5')  # the peak so far is not the reader's
        before, start, cpu = _status('VmRSS'), time.monotonic(), time.process_time()
        try:
            bomb.read(path)
            said = 'read'
        except UserError as error:
            said = str(error).replace(folder, '')
        took = dict(cpu=time.process_time() - cpu, waited=time.monotonic() - start)
        print(json.dumps(dict(said=said, memory=_status('VmHWM') - before, **took)))


def _status(key: str) -> float:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def _limited() -> None:
    """So that a bomb that works takes this process and not the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (12 * 1024 * MB,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (180, 180))


def main(names: list[str]) -> None:
    print('| bomb | CPU, s | memory, MB | outcome |\n| --- | --- | --- | --- |')
    for name in names or BOMBS:
        code = f'import bombs; bombs.explode({name!r})'
        command = [sys.executable, '-W', 'ignore', '-c', code]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=1200,
                                  preexec_fn=_limited, cwd=Path(__file__).parent)  # fmt: skip
            row = json.loads(done.stdout.splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
            last = getattr(error, 'stderr', None) or done.stderr
            print(f'| {name} | FAILED: {error!r} {str(last)[-300:]!r} |', flush=True)
            continue
        print(f'| {name} | {row["cpu"]:.2f} | {row["memory"]:.0f} | {row["said"]} |', flush=True)


if __name__ == '__main__':
    main(sys.argv[1:])
