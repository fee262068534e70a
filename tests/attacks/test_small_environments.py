"""Output that is closed or full, few files, threads and bytes, folders that vanish, small shared
memory, a locale of few characters: one line, nothing half-written, and nothing waits for ever."""

import ctypes
import errno
import json
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import mmpretrain.models  # noqa: F401 for the forked processes: imported once
import pytest
from conftest import ROOT
from finished_run import write_work_dir
from forked import no_threads, of_bytes, of_files, run_command
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader, Runner
from PIL import Image
from tiny_onnx import tiny_detector
from toy import write_config

import moganet_dense.engine.train
import moganet_dense.init
import moganet_dense.report.page
from moganet_dense.cli import main
from moganet_dense.engine.signals import _start_worker

pytestmark = pytest.mark.whole_runs

TEST = """
test_dataloader, test_evaluator, test_cfg = val_dataloader, val_evaluator, dict(type='TestLoop')
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """A folder with toy.py and its work dir."""
    folder = tmp_path_factory.mktemp('trained')
    config = write_config(folder, length=1, record=True)
    config.write_text(config.read_text() + TEST)
    done = run_command(['train', str(config), '--work-dir', str(folder / 'work')])
    assert done.code == 0, done
    return folder


# --- standard output


@pytest.mark.parametrize(
    ('stdout', 'code', 'said'),
    [
        ('closed', 0, []),
        ('left', 141, []),
        ('full', 1, ['error: standard output cannot be written: No space left on device']),
    ],
)
def test_output_that_cannot_be_written(stdout, code, said, tmp_path):
    work = write_work_dir(tmp_path / 'work')
    for arguments in (['zoo'], ['--help'], ['report', str(work)]):
        done = run_command(arguments, stdout)
        assert (done.code, done.errors, done.out) == (code, said, ''), arguments
        assert 'Exception ignored' not in done.err and 'Logging error' not in done.err
    assert (work / 'report.html').stat().st_size > 1000  # it was written before it was said


@pytest.mark.parametrize('stdout', ['closed', 'left', 'full'])
def test_training_does_not_need_its_output(stdout, tmp_path):
    config = write_config(tmp_path, length=1, record=True)

    def print_more() -> None:
        module, whole = moganet_dense.engine.train, moganet_dense.engine.train.train
        module.train = lambda *job, **how: (print('begins', flush=True), whole(*job, **how))[1]

    arguments = ['train', str(config), '--work-dir', str(tmp_path / 'work')]
    done = run_command(arguments, stdout, before=print_more)
    assert done.code == 0 and not done.errors
    assert done.err.count('standard output is lost') == (stdout != 'closed')
    assert (tmp_path / 'work/epoch_1.pth').is_file()


def test_a_closed_descriptor_is_given_to_no_file(tmp_path):
    """Else what is printed would end up in the first file that is opened."""
    code = (
        'import os, sys; from moganet_dense.cli import main\n'
        'def run(_):\n'
        '    file = open(sys.argv[1], "wb"); os.write(1, b"printed"); return 0\n'
        'raise SystemExit(main([], run))'
    )
    command = ['bash', '-c', '"$@" >&- 2>&- <&-', 'bash', sys.executable, '-c', code]
    command.append(str(tmp_path / 'file'))
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    assert (tmp_path / 'file').read_bytes() == b''


# --- a locale of few characters


@pytest.mark.slow
def test_names_do_not_depend_on_the_locale(tmp_path):
    work = write_work_dir(tmp_path / 'läufe-日本')
    place = dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0', PYTHONIOENCODING='ascii')
    command = [sys.executable, '-m', 'moganet_dense', 'report', str(work)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, env={**os.environ, **place}, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors='replace')
    assert done.stdout.decode().strip() == str(work / 'report.html')
    assert '日本' in (work / 'report.html').read_text('utf-8')


# --- files, threads


@pytest.mark.slow
@pytest.mark.parametrize('number', [12, 32, 40, 64])
def test_few_file_descriptors(number, trained, tmp_path):
    """Fewer than a training with workers needs: one line with the fix; enough: it trains."""
    config = write_config(tmp_path, length=1, workers=2, record=True)
    arguments = ['train', str(config), '--work-dir', str(tmp_path / 'work')]
    done = run_command(arguments, before=of_files(number))
    if done.code:
        line = [x for x in done.err.splitlines() if x.startswith('error: ')][-1]
        assert done.code == 1 and 'ulimit -n' in line and 'num_workers' in line, done.err
    else:
        assert (tmp_path / 'work/epoch_1.pth').is_file()
    assert done.code == 0 or number < 64
    assert not list(tmp_path.rglob('.*.part*'))


def test_no_threads(tmp_path):
    config = write_config(tmp_path, length=1, workers=1, record=True)
    done = run_command(
        ['train', str(config), '--work-dir', str(tmp_path / 'work')], before=no_threads
    )
    (line,) = done.errors
    assert done.code == 1 and 'ulimit -u' in line


# --- disks


def after_reading(full):
    """Fills the disk where the testing starts: a config is copied when it is read."""

    def before() -> None:
        whole = Runner.test

        def test(self):
            full()
            return whole(self)

        Runner.test = test

    return before


def arguments_of(command: str, folder: Path, out: Path) -> list[str]:
    toy, work = str(folder / 'toy.py'), str(folder / 'work')
    return {
        'train': ['train', toy, '--work-dir', str(out)],
        'test': ['test', toy, f'{work}/epoch_1.pth', '--work-dir', str(out.parent / 'tested')],
        'report': ['report', work, '--out', f'{out}.html'],
        'predict': ['predict', f'{folder}/tiny.onnx', f'{folder}/image.png', '--out', str(out)],
    }[command]


@pytest.mark.parametrize(
    ('command', 'more', 'left'),
    [
        ('report', [], []),
        ('test', ['--out', 'OUT.pkl'], ['tested']),
        ('test', ['--out', 'OUT.json'], ['tested']),
        ('predict', [], ['out']),
        ('train', [], ['out']),
    ],
)
def test_a_full_disk_leaves_nothing_half_written(command, more, left, trained, tmp_path):
    tiny_detector(trained / 'tiny.onnx')
    Image.new('RGB', (640, 480)).save(trained / 'image.png')
    out = tmp_path / 'out'
    more = [word.replace('OUT', str(out)) for word in more]
    arguments = [*arguments_of(command, trained, out), *more]
    full = of_bytes(6000) if command == 'train' else of_bytes(30)
    done = run_command(arguments, before=after_reading(full) if command == 'test' else full)
    (line,) = done.errors
    assert done.code == 1 and ('cannot be written' in line or 'cannot write into' in line), done
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    assert not [*tmp_path.rglob('*.part*'), *tmp_path.rglob('*.pth'), *tmp_path.rglob('*.pkl')]


@pytest.mark.parametrize('command', ['report', 'test', 'predict', 'train'])
def test_a_folder_that_cannot_be_written(command, trained, tmp_path):
    tiny_detector(trained / 'tiny.onnx')
    (trained / 'image.png').write_bytes(b'')
    out = Path('/sys/kernel/of-the-system')  # read-only for root, too
    arguments = arguments_of(command, trained, out)
    if command == 'test':
        arguments += ['--out', f'{out}.json']
    done = run_command(arguments)
    assert len(done.errors) == 1, done
    (line,) = done.errors
    assert done.code == 1 and ('cannot be written' in line or 'expected a folder' in line
                               or 'cannot write into' in line), done  # fmt: skip


def data_set(folder: Path) -> Path:
    """Six images with a box each, in COCO's format."""
    rows, boxes = [], []
    (folder / 'mine').mkdir(parents=True)
    for number in range(6):
        Image.new('RGB', (64, 64), (number * 20, 0, 0)).save(folder / f'mine/{number}.png')
        rows.append(dict(id=number, file_name=f'{number}.png', width=64, height=64))
        box = dict(bbox=[1, 1, 20, 20], area=400, iscrowd=0)
        boxes.append(dict(box, id=number + 1, image_id=number, category_id=1))
    kinds = [dict(id=1, name='cat')]
    content = dict(images=rows, annotations=boxes, categories=kinds)
    (folder / 'mine/_annotations.coco.json').write_text(json.dumps(content))
    return folder / 'mine'


def full_for_the_config() -> None:
    whole = moganet_dense.init.write_whole

    def write(path: Path, content: bytes) -> None:
        if path.name == 'mine.py':
            of_bytes(30)()
        whole(path, content)

    moganet_dense.init.write_whole = write


@pytest.mark.parametrize(
    ('full', 'named'),
    [
        (of_bytes(0), 'that of temporary files, /'),
        (full_for_the_config, 'mine.py cannot be written'),
    ],
)
def test_a_config_on_a_full_disk(full, named, tmp_path, monkeypatch, parsing):
    """The annotation files, which were written before it, do not stay: the next call would refuse
    to write over them."""
    folder = data_set(tmp_path / 'data')
    monkeypatch.chdir(tmp_path)
    done = run_command(['init', str(folder)], before=full)
    (line,) = done.errors
    assert done.code == 1 and named in line and 'File too large' in line and 'free some' in line
    assert [path.name for path in tmp_path.iterdir()] == ['data']
    assert run_command(['init', str(folder)]).code == 0


def test_no_folder_for_temporary_files(parsing):
    """mmengine, which copies a config there, fails once more where it cleans up."""

    def before() -> None:
        def none() -> str:
            raise FileNotFoundError(errno.ENOENT, 'No usable temporary directory found')

        tempfile.gettempdir = none

    config = str(ROOT / 'configs/det/retinanet_moganet_xt.py')
    (line,) = run_command(['check', config], before=before).errors
    assert 'No usable temporary directory found; free some space' in line and 'TMPDIR' in line


@pytest.mark.parametrize(
    ('where', 'said'),
    [
        ('full', 'data/mini cannot be written (File too large); free some space'),
        ('file', '/data is a file, move it away'),
        ('read-only', 'data/mini cannot be written (Read-only file system); choose a folder'),
    ],
)
def test_the_sample_data_set_on_a_bad_disk(where, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if where == 'file':
        (tmp_path / 'data').write_text('mine')

    def before() -> None:
        if where == 'full':
            of_bytes(20_000)()
        elif where == 'read-only':
            make = tempfile.mkdtemp

            def refused(*args, **how):
                if how.get('prefix') == 'mini.':
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
                return make(*args, **how)

            tempfile.mkdtemp = refused

    config = str(ROOT / 'configs/det/retinanet_moganet_xt.py')
    done = run_command(['check', config, '--mini'], before=before)
    (line,) = done.errors
    assert done.code == 1 and said in line
    assert not list(tmp_path.rglob('mini*'))


@pytest.mark.slow
def test_predictions_replace_a_file_at_the_end_alone(trained, tmp_path):
    out = tmp_path / 'found.pkl'
    out.write_text('before')
    arguments = [*arguments_of('test', trained, tmp_path / 'out'), '--out', str(out)]
    assert run_command(arguments, before=after_reading(of_bytes(30))).code == 1
    assert out.read_text() == 'before'
    assert run_command(arguments).code == 0
    assert len(pickle.loads(out.read_bytes())) == 22
    assert os.stat(out).st_mode & 0o077  # as any other file, not private
    metrics = [*arguments[:-1], str(tmp_path / 'found.json')]
    assert run_command(metrics).code == 0
    assert json.loads((tmp_path / 'found.json').read_text())['loss'] < 1


# --- shared memory


def small_shared_memory() -> None:
    """A /dev/shm of 64 KB, as containers have it, in this process and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, private = 0x20000, 0x44000  # CLONE_NEWNS; MS_REC and MS_PRIVATE
    if (
        libc.unshare(new_mounts)
        or libc.mount(b'none', b'/', None, private, None)
        or libc.mount(b'tmpfs', b'/dev/shm', b'tmpfs', 0, b'size=64k')
    ):
        os._exit(77)


@pytest.mark.slow
def test_a_small_shared_memory_is_one_line(tmp_path):
    config = write_config(tmp_path, length=2, workers=2, record=True)
    config.write_text(config.read_text().replace('batch_size=4', 'batch_size=22'))
    done = run_command(
        ['train', str(config), '--work-dir', str(tmp_path / 'work')], before=small_shared_memory
    )
    if done.code == 77:
        pytest.skip('file systems cannot be mounted here')
    (line,) = done.errors
    assert done.code == 1 and 'of 64 KB' in line and 'num_workers=0' in line
    assert not list(tmp_path.rglob('.*.part*'))


# --- folders that vanish


@pytest.mark.parametrize('renamed', [False, True])
def test_a_work_dir_that_vanishes_is_one_line(renamed, tmp_path, capsys):
    config = write_config(tmp_path, length=2, record=True)
    text = config.read_text().replace("'toy']", "'toy', 'stop_at']")
    hook = f"custom_hooks += [dict(type='RemoveWorkDir', iteration=8, renamed={renamed})]"
    config.write_text(f'{text}{hook}\n')
    work = tmp_path / 'work'
    assert main(['train', str(config), '--work-dir', str(work)]) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
    assert f'cannot write into {work}' in line and 'removed or renamed' in line
    if renamed:
        assert (tmp_path / 'work_renamed' / 'epoch_1.pth').is_file()
    logger = MMLogger.get_current_instance()  # tests that follow would log into its folder
    for handler in [each for each in logger.handlers if isinstance(each, logging.FileHandler)]:
        logger.removeHandler(handler)


class Unsendable:
    def __reduce__(self):
        raise OSError(28, 'No space left on device')  # as storing into a full /dev/shm


def test_a_worker_that_cannot_pass_on_a_batch_ends(tmp_path):
    """Python prints such an error and drops the batch; the parent would wait for ever."""
    context = multiprocessing.get_context('fork')
    queue = context.Queue()

    def work() -> None:
        _start_worker(0)
        queue.put(Unsendable())
        queue.close()
        queue.join_thread()
        os._exit(0)

    process = context.Process(target=work)
    process.start()
    process.join(60)
    assert process.exitcode == 1
