"""What cannot be written, or must not be replaced, in place of the files of commands: one line,
nothing half-written, and what was there stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mmdet.datasets  # noqa: F401 prints where it is imported, which a full disk does not take
import pytest
import torch
from conftest import ROOT, WITH_TORCH_EXPORT
from forked import of_bytes, run_command
from handmade import boxes, write_coco
from narrow import NARROW
from PIL import Image
from tiny_onnx import tiny_detector

import moganet_dense.export
from moganet_dense.cli import main
from moganet_dense.config.reading import read_config
from moganet_dense.data.validation.fix import fix
from moganet_dense.toolboxes.build import build
from moganet_dense.utils.atomic import replacing
from moganet_dense.utils.errors import UserError

FOR_NOBODY = '/sys/kernel/of-the-system'  # read-only for root, too


@pytest.fixture(scope='module')
def model(tmp_path_factory) -> list[str]:
    """A config of a classifier of some channels, and a checkpoint."""
    folder = tmp_path_factory.mktemp('model')
    arch = dict(NARROW, embed_dims=(8, 16, 24, 32), _delete_=True)
    part = dict(backbone=dict(arch=arch, init_cfg=None), head=dict(in_channels=32))
    config = folder / 'tiny.py'
    config.write_text(f'_base_ = {str(ROOT / "configs/cls/moganet_xt.py")!r}\nmodel = {part!r}\n')
    content = dict(state_dict=build(read_config(config)).state_dict())
    torch.save(content, folder / 'tiny.pth')
    return [str(config), str(folder / 'tiny.pth')]


def line_of(done) -> str:
    (line,) = done.errors
    assert done.code == 1 and 'Traceback' not in done.err, done
    return line


@pytest.mark.parametrize(
    ('command', 'out'),
    [
        (['deploy'], f'{FOR_NOBODY}.pth'),
        (['deploy'], f'{FOR_NOBODY}/a/b.safetensors'),
        (['export'], f'{FOR_NOBODY}.onnx'),
        pytest.param(
            ['export', '--format', 'torch-export'], f'{FOR_NOBODY}/a.pt2', marks=WITH_TORCH_EXPORT
        ),
    ],
)
def test_a_model_into_a_folder_that_cannot_be_written(command, out, model):
    """Known before the model is traced, which takes a minute."""
    line = line_of(run_command([*command, *model, '--out', out]))
    assert f'{out} cannot be written' in line and 'choose a folder that you may write to' in line


@pytest.mark.parametrize('name', ['out.pth', 'out.safetensors'])
def test_a_fused_model_on_a_full_disk(name, model, tmp_path):
    """Torch's own writers raise no OSError, and end the process."""
    out = tmp_path / name
    line = line_of(run_command(['deploy', *model, '--out', str(out)], before=of_bytes(3000)))
    assert f'{out} cannot be written (File too large); free some space' in line
    assert not list(tmp_path.iterdir())


@WITH_TORCH_EXPORT
@pytest.mark.parametrize(
    'real', [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.long])]
)
def test_an_exported_model_on_a_full_disk(real, model, tmp_path):
    """Torch's writer takes 20 s before it writes; a stand-in writes at once."""

    def before() -> None:
        def write(graph, inputs, fixed, notes, path) -> None:
            Path(path).write_bytes(bytes(9000))

        if not real:
            moganet_dense.export.write_torch_export = write
        of_bytes(3000)()

    arguments = ['export', '--format', 'torch-export', *model, '--out', str(tmp_path / 'out.pt2')]
    assert 'File too large' in line_of(run_command(arguments, before=before))
    assert not list(tmp_path.iterdir())


THINGS = {
    'a FIFO': lambda path: os.mkfifo(path),
    'a device': lambda path: path.symlink_to('/dev/zero'),
    'a socket': lambda path: os.mknod(path, 0o140644),
    'a folder': lambda path: path.mkdir(),
    'a stream': lambda path: path.symlink_to('/proc/self/fd/1'),
}


def identity(path):
    """What replacing or changing the entry changes. Reading a link changes its time of access."""
    found = os.lstat(path)
    return found.st_ino, found.st_mode, found.st_ctime_ns


@pytest.mark.parametrize('thing', THINGS)
def test_what_is_no_file_is_not_replaced(thing, model, tmp_path, capsys):
    """As root one would lose /dev/null, or /dev/stdout."""
    out = tmp_path / 'out'
    THINGS[thing](out)
    before = identity(out)
    with pytest.raises(OSError, match=f'it is {thing}'), replacing(out):
        raise AssertionError
    for command in (['deploy', *model], ['export', *model]):
        assert main([*command, '--out', str(out)]) == 1
        (line,) = [x for x in capsys.readouterr().err.splitlines() if 'error' in x]
        assert f'{out}: expected the name of a file to write, found {thing}' in line
    assert identity(out) == before and [*tmp_path.iterdir()] == [out]


@pytest.mark.parametrize('stdout', ['file', 'pipe'])
def test_standard_output_by_its_name_stays_a_link(stdout, tmp_path):
    code = (
        'import sys; from pathlib import Path; from moganet_dense.utils.atomic import write_text\n'
        'write_text(Path(sys.argv[1]), "text")'
    )
    link = tmp_path / 'stdout'
    link.symlink_to('/proc/self/fd/1')
    with open(tmp_path / 'printed', 'wb') as file:
        done = subprocess.run(
            [sys.executable, '-c', code, link], cwd=ROOT, stderr=subprocess.PIPE, text=True,
            stdout=file if stdout == 'file' else subprocess.PIPE,
        )  # fmt: skip
    assert done.returncode == 1 and 'it is a stream' in done.stderr and link.is_symlink()


def test_predictions_in_place_of_another_thing(tmp_path, capsys):
    tiny_detector(tmp_path / 'tiny.onnx')
    Image.new('RGB', (64, 48)).save(tmp_path / 'image.png')
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'dangling').symlink_to('nowhere/x')
    os.mkfifo(tmp_path / 'fifo')
    before = sorted(path.name for path in tmp_path.iterdir())
    for name in ('file', 'file/a', 'dangling', 'fifo', 'fifo/a'):
        arguments = ['predict', str(tmp_path / 'tiny.onnx'), str(tmp_path / 'image.png')]
        assert main([*arguments, '--out', str(tmp_path / name)]) == 1
        (line,) = [x for x in capsys.readouterr().err.splitlines() if 'error' in x]
        assert '--out: expected a folder to write to, found' in line
    assert sorted(path.name for path in tmp_path.iterdir()) == before


# --- check --fix OUT


@pytest.fixture
def faulty(tmp_path):
    """A config whose annotations have a fault with one right answer."""
    content = write_coco(tmp_path)
    for row in content['annotations']:
        row['area'] = 0
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    return boxes(tmp_path)


OUTS = {
    'a FIFO': lambda path: os.mkfifo(path),
    'a folder': lambda path: path.mkdir(),
    'a file': lambda path: path.write_text('mine'),
    'a link to a folder': lambda path: path.symlink_to('/tmp'),
    'a link to nothing': lambda path: path.symlink_to('nowhere'),
    'a link to itself': lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize('kind', OUTS)
def test_fixed_annotations_go_into_a_new_folder_alone(kind, faulty, tmp_path):
    OUTS[kind](out := tmp_path / 'out')
    with pytest.raises(UserError, match='out exists already and is not overwritten: pass another'):
        list(fix(faulty, out))
    assert os.path.lexists(out) and not (tmp_path / 'nowhere').exists()


def test_fixed_annotations_below_a_file_or_in_a_folder_for_nobody(faulty, tmp_path):
    (tmp_path / 'file').write_text('mine')
    for out, said in [
        (tmp_path / 'file/out', 'file is a file, move it away'),
        (Path(FOR_NOBODY), 'choose a folder that you may write to'),
    ]:
        with pytest.raises(UserError, match=f'{out} cannot be written .*{said}'):
            list(fix(faulty, out))


@pytest.mark.parametrize('how', ['full', 'interrupted', 'left'])
def test_half_of_the_fixed_annotations_do_not_stay(how, faulty, tmp_path, full_disk):
    """The next call would refuse to write into their folder."""
    lines = fix(faulty, out := tmp_path / 'new/out')
    if how == 'full':
        full_disk(10)
        with pytest.raises(UserError, match=r'train.json cannot be written \(File too large\)'):
            list(lines)
        full_disk(None)
    else:
        next(lines)
        assert (out / 'train.json').is_file()
        if how == 'left':
            lines.close()
        else:
            with pytest.raises(KeyboardInterrupt):
                lines.throw(KeyboardInterrupt)
    assert not out.exists()
    assert list(fix(faulty, out))[-1].startswith('use them: --cfg-options')
