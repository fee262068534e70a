"""Files that would take all memory or time, and things that are no files, to every reader.

They are made in bombs.py, which also measures what each takes: run it for the figures.
"""

import signal
import struct
from pathlib import Path

import pytest
import torch
from bombs import BOMBS, checkpoint, saved

from moganet_dense.data.image_io import LoadWhole, decode
from moganet_dense.data.layouts import require_files
from moganet_dense.data.validation.image_files import ImageSpec, check_image
from moganet_dense.utils import regular_files
from moganet_dense.utils.errors import UserError
from moganet_dense.utils.regular_files import open_regular, read_regular
from moganet_dense.weights.loading import read_checkpoint

SMALL = {'traffic of 8 GB, deflated': 40, 'traffic packed by bzip2': 1,
         'deflated archive': 2, 'deflated archive to resume from': 2,
         'archive of overlapping members': 100,
         'names without end in a log': 20, 'long outline, check': 60,
         'long outline, loading': 60}  # fmt: skip
"""MB of those that have to be written; the others are holes or headers."""

LOUD = ('Error', 'Traceback', 'delete')
"""What no message says: a file that cannot be read may be sound."""


@pytest.fixture(autouse=True)
def no_hang():
    def fail(*_):
        raise TimeoutError('the reader hangs')

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize('name', BOMBS)
def test_it_is_refused_in_one_line(name, tmp_path):
    bomb = BOMBS[name]
    path = bomb.make(tmp_path, SMALL.get(name, bomb.size))
    with pytest.raises(UserError) as raised:
        bomb.read(path)
    said = str(raised.value).replace('Error while deserializing', '')
    assert '\n' not in said and not any(word in said for word in LOUD), said


def test_an_archive_behind_other_bytes_is_refused(tmp_path):
    """Readers disagree on where its members are."""
    (tmp_path / 'a.pth').write_bytes(b'other bytes' + saved(dict(a=torch.ones(1))))
    with pytest.raises(UserError, match='found other bytes before the archive'):
        checkpoint(tmp_path / 'a.pth')


def test_an_archive_that_two_readers_read_otherwise_is_refused(tmp_path, monkeypatch):
    (tmp_path / 'a.pth').write_bytes(saved(dict(a=torch.ones(1))))
    real = torch._C.PyTorchFileReader

    class Other:
        def __init__(self, path: str) -> None:
            self.names = real(path).get_all_records()

        def get_all_records(self) -> list[str]:
            return [*self.names, 'constants.pkl']

    monkeypatch.setattr(torch._C, 'PyTorchFileReader', Other)
    with pytest.raises(UserError, match='two readers find different members'):
        checkpoint(tmp_path / 'a.pth')


KEYS = [
    b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
    b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
    b'{"__metadata__":{"gate":"single","gate":"double"},'
    b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
]


@pytest.mark.parametrize('header', KEYS, ids=['a tensor', 'a text'])
def test_a_key_given_twice_is_refused(header, tmp_path):
    (tmp_path / 'a.safetensors').write_bytes(struct.pack('<Q', len(header)) + header + b'\0')
    with pytest.raises(UserError, match='is given twice'):
        checkpoint(tmp_path / 'a.safetensors')


@pytest.mark.parametrize('body', [bytes(3), bytes(5)], ids=['cut', 'trailing'])
def test_safetensors_cover_the_file(body, tmp_path):
    header = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
    (tmp_path / 'a.safetensors').write_bytes(struct.pack('<Q', len(header)) + header + body)
    with pytest.raises(UserError, match='not a safetensors file'):
        checkpoint(tmp_path / 'a.safetensors')


def test_tensors_of_a_file_do_not_change_with_it(tmp_path):
    """The library maps the file; what is read is a copy."""
    from safetensors.torch import save_file

    save_file(dict(a=torch.ones(4)), file := tmp_path / 'a.safetensors')
    found = read_checkpoint(file)['state_dict']['a']
    with open(file, 'r+b') as stream:
        stream.seek(-16, 2)
        stream.write(bytes(16))
    assert found.tolist() == [1] * 4


# --- what fails for another reason is not called damaged

CAUSES = {
    'permission': (PermissionError(13, 'Permission denied'), 'Permission denied'),
    'a disk that fails': (OSError(5, 'Input/output error'), 'Input/output error'),
    'memory': (MemoryError(), 'not enough memory'),
    'memory, as torch says it': (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        'not enough memory',
    ),
}


@pytest.mark.parametrize('cause', CAUSES)
@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
def test_a_sound_file_is_not_called_damaged(cause, ending, tmp_path, monkeypatch):
    from moganet_dense.weights import safetensors_file

    error, said = CAUSES[cause]

    def fail(*_, **__):
        raise error

    (file := tmp_path / f'a.{ending}').write_bytes(saved(dict(a=torch.ones(1))))
    monkeypatch.setattr(torch, 'load', fail)
    monkeypatch.setattr(safetensors_file, 'safe_open', fail)
    monkeypatch.setattr(safetensors_file, '_require_sane_header', lambda path: None)
    with pytest.raises(UserError, match=f'cannot be read: .*{said}') as raised:
        read_checkpoint(file)
    message = str(raised.value)
    assert not any(word in message for word in ('truncated', 'damaged', 'delete', 'again'))


def test_a_file_larger_than_the_memory_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(regular_files, 'available_memory', lambda: 10 * 2**20)
    (file := tmp_path / 'a.pth').write_bytes(saved(dict(a=torch.ones(3 * 2**20))))
    with pytest.raises(UserError, match='has 13 MB, and 10 MB of memory are available'):
        read_checkpoint(file)


# --- regular files


def test_a_file_that_grows_is_read_as_it_was(tmp_path):
    (file := tmp_path / 'a').write_bytes(b'abc')
    assert read_regular(file) == b'abc' and read_regular(file, 3) == b'abc'
    with pytest.raises(OSError, match='expected at most'):
        read_regular(file, 2)


def test_a_path_that_becomes_a_fifo_after_the_first_look(tmp_path, monkeypatch):
    import os

    (file := tmp_path / 'a').write_bytes(b'abc')
    real = regular_files.require_regular

    def replaced(path):
        found = real(path)
        os.unlink(path)
        os.mkfifo(path)
        return found

    monkeypatch.setattr(regular_files, 'require_regular', replaced)
    with pytest.raises(OSError, match='it is a FIFO'):
        open_regular(file)


def test_a_pseudo_file_without_an_end_is_read_as_long_as_it_says(tmp_path):
    assert read_regular('/proc/self/environ') == b''  # it says 0


# --- in training and in the check


@pytest.mark.parametrize('kind', ['a FIFO', 'a device', 'a link to itself'])
def test_an_image_that_becomes_another_thing_stops_training(kind, tmp_path):
    path = BOMBS[f'{kind} as image'].make(tmp_path, 0)
    load = LoadWhole(lambda results: decode(results['img_path']))
    with pytest.raises(UserError, match='expected an image at') as raised:
        load(dict(img_path=str(path)))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('kind', ['a FIFO', 'a device', 'a link to itself', 'a folder'])
def test_the_check_names_it_and_continues(kind, tmp_path):
    path = BOMBS[f'{kind} as image'].make(tmp_path, 0)
    digest, (finding,) = check_image(ImageSpec(str(path), 'train'))
    assert digest == b'' and 'expected an image at' in finding.found


def test_a_named_path_is_a_file_or_a_folder(tmp_path):
    path = BOMBS['a FIFO as annotations'].make(tmp_path, 0)
    dataset = dict(type='CocoDataset', data_root=str(tmp_path), ann_file=path.name)
    with pytest.raises(UserError, match='expected a file or folder at .*fifo.json'):
        require_files(dataset, 'mmdet')


def test_predict_continues_after_it(tmp_path, capfd):
    from PIL import Image
    from tiny_onnx import tiny_detector

    from moganet_dense.cli import main

    tiny_detector(tmp_path / 'a.onnx')
    Image.new('RGB', (40, 30)).save(tmp_path / 'whole.jpg')
    files = [BOMBS[f'{kind} as {what}'].make(tmp_path, 0) for kind in ('a FIFO', 'a device')
             for what in ('image', 'video')]  # fmt: skip
    arguments = [*map(str, files), str(tmp_path / 'whole.jpg'), '--json']
    assert main(['predict', str(tmp_path / 'a.onnx'), *arguments]) == 3
    printed = capfd.readouterr()
    assert printed.err.count('skipped: ') == 4 and len(printed.out.splitlines()) == 1
    assert Path(files[0]).exists()


@pytest.mark.parametrize('target', ['/dev/zero', 'fifo', 'loop', '/dev/stdin', '.', 'nothing.pth'])
def test_a_pointer_to_another_thing_is_no_checkpoint(target, tmp_path):
    """``last_checkpoint`` is a text; it may name anything."""
    import os

    from moganet_dense.engine.atomic_checkpoint import last_whole

    os.mkfifo(tmp_path / 'fifo')
    (tmp_path / 'loop').symlink_to('loop')
    pointer = target if target.startswith('/') else str(tmp_path / target)
    (tmp_path / 'last_checkpoint').write_text(pointer)
    with pytest.raises(UserError, match=f'no checkpoint in {tmp_path} can be read') as raised:
        last_whole(tmp_path)
    assert '\n' not in str(raised.value)
