"""No run removes or mixes what is not its own: only files that it wrote, in its own folder."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmengine.runner import CheckpointLoader
from toy import write_config

from moganet_dense.cli import main
from moganet_dense.data.mini import make_mini
from moganet_dense.engine.atomic_checkpoint import POINTER, WRITTEN, last_saved, last_whole
from moganet_dense.engine.job import Job
from moganet_dense.engine.train import train
from moganet_dense.engine.work_dir_lock import LOCK, lock, unlock
from moganet_dense.utils.atomic import remove_temporary_files, replacing, write_text
from moganet_dense.utils.errors import UserError

pytestmark = pytest.mark.whole_runs


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))


def run(folder: Path, work: str, length: int, **how) -> Path:
    train(Job(write_config(folder, length=length, record=True), work_dir=str(folder / work)), **how)
    return folder / work


def names(work_dir: Path) -> set[str]:
    return {path.name for path in work_dir.glob('*.pth')}


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['file', 'folder', 'link', 'inside'])
def test_a_checkpoint_does_not_choose_what_is_removed(kind, tmp_path):
    """Its message hub names a best checkpoint so far, with a score that any other beats, and
    steps of old ones that climb out of the folder."""
    work = run(tmp_path, 'work', 1)
    victim = tmp_path / 'victim'
    if kind == 'folder':
        victim.mkdir()
        (victim / 'kept.txt').write_text('mine')
    elif kind == 'inside':
        victim = work / 'epoch_9.pth'
        victim.write_text('mine')
    else:
        victim.write_text('mine')
    named = victim
    if kind == 'link':
        named = work / 'best_loss_epoch_1.pth'
        named.unlink()
        named.symlink_to(victim)
    bad = torch.load(work / 'epoch_1.pth', weights_only=True)
    hub = bad['message_hub']
    steps = [f'/../../{victim.name}', '9', 9, 1]
    hub['runtime_info'].update(best_ckpt=str(named), best_score=1e9, keep_ckpt_ids=steps)
    hub['resumed_keys'].update(best_ckpt=True, best_score=True, keep_ckpt_ids=True)
    torch.save(bad, tmp_path / 'bad.pth')
    run(tmp_path, 'work', 4, resume=str(tmp_path / 'bad.pth'), accept_changes=True)
    assert victim.exists()
    assert (victim / 'kept.txt' if kind == 'folder' else victim).read_text() == 'mine'


@pytest.mark.slow
def test_resuming_elsewhere_leaves_the_first_folder_as_it_is(tmp_path):
    first = run(tmp_path, 'first', 2)
    before = names(first)
    assert len(before) == 3  # the last two and the best
    other = run(tmp_path, 'other', 6, resume=str(first / 'epoch_2.pth'), accept_changes=True)
    assert names(first) == before
    assert {'epoch_5.pth', 'epoch_6.pth'} <= names(other) and len(names(other)) <= 3


@pytest.mark.slow
def test_another_runs_checkpoints_in_the_folder_stay(tmp_path):
    work = run(tmp_path, 'work', 2)
    others = names(work)
    run(tmp_path, 'work', 5)  # not resumed: another run, which writes over some names
    assert others <= names(work) | {'epoch_1.pth', 'epoch_2.pth'}
    owners = json.loads((work / WRITTEN).read_text())
    assert set(owners) == names(work) and len(set(owners.values())) <= 2


def test_a_copied_folder_resumes_from_its_own_checkpoint(tmp_path):
    work = run(tmp_path, 'work', 1)
    copy = tmp_path / 'copy'
    subprocess.run(['cp', '-r', work, copy], check=True)
    assert (copy / POINTER).read_text() == str(work / 'epoch_1.pth')
    assert last_whole(copy) == str(copy / 'epoch_1.pth')


@pytest.mark.parametrize('kind', ['folder', 'fifo', 'device', 'loop', 'long', 'binary', 'NUL'])
def test_a_pointer_that_is_none_is_skipped(kind, tmp_path):
    pointer = tmp_path / POINTER
    makers = dict(
        folder=pointer.mkdir, fifo=lambda: os.mkfifo(pointer),
        device=lambda: pointer.symlink_to('/dev/zero'), loop=lambda: pointer.symlink_to(pointer),
        long=lambda: pointer.write_text('x' * 10_000), binary=lambda: pointer.write_bytes(b'\xff'),
        NUL=lambda: pointer.write_text('a\0b'),
    )  # fmt: skip
    makers[kind]()
    assert last_saved(tmp_path) is None and last_whole(tmp_path) is None


@pytest.mark.slow
def test_a_second_training_in_the_folder_is_refused(tmp_path, capsys):
    work = tmp_path / 'work'
    holder = subprocess.Popen(
        [sys.executable, '-c', 'import sys; from moganet_dense.engine.work_dir_lock import lock; '
         f'lock({str(work)!r}); print("locked", flush=True); sys.stdin.read()'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == 'locked\n'
        config = str(write_config(tmp_path, record=True))
        assert main(['train', config, '--work-dir', str(work)]) == 1
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
        assert f'another training (process {holder.pid} on ' in line and '--work-dir' in line
        assert not names(work) and not list(work.glob('2*'))
        holder.kill()
        holder.wait()
        lock(work)  # it ended with its process
        unlock(work)
    finally:
        holder.kill()
        holder.communicate()


def test_a_lock_is_not_inherited_and_needs_no_locks(tmp_path, monkeypatch):
    lock(tmp_path)
    child = os.fork()
    if not child:  # as a loader worker, which may outlive its parent
        code = 1
        try:
            from moganet_dense.engine import work_dir_lock

            work_dir_lock._held.clear()
            lock(tmp_path)
        except UserError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    unlock(tmp_path)

    def unsupported(*_):
        raise OSError(errno.ENOLCK, 'no locks')

    monkeypatch.setattr('fcntl.lockf', unsupported)
    lock(tmp_path)  # said, and not refused
    unlock(tmp_path)


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / 'target').write_text('mine')
    (tmp_path / LOCK).symlink_to(tmp_path / 'target')
    with pytest.raises(UserError, match='expected the lock file of a training'):
        lock(tmp_path)
    assert (tmp_path / 'target').read_text() == 'mine'


OTHER_LOCKS = {
    'folder': lambda lock, mine: lock.mkdir(),
    'fifo': lambda lock, mine: os.mkfifo(lock),
    'socket': lambda lock, mine: os.mknod(lock, 0o140644),
    'hard link': lambda lock, mine: os.link(mine, lock),
    'loop': lambda lock, mine: lock.symlink_to(lock),
    'dangling link': lambda lock, mine: lock.symlink_to('nowhere'),
    'file': lambda lock, mine: lock.write_text('mine'),
}


@pytest.mark.parametrize('kind', OTHER_LOCKS)
def test_something_else_in_place_of_the_lock_file_stays(kind, tmp_path):
    """A hard link to a file elsewhere, or a file of that name, would be overwritten."""
    mine, place = tmp_path / 'mine', tmp_path / 'work' / LOCK
    mine.write_text('mine')
    place.parent.mkdir()
    OTHER_LOCKS[kind](place, mine)
    with pytest.raises(UserError, match='expected the lock file of a training, found something'):
        lock(place.parent)
    assert mine.read_text() == 'mine' and os.path.lexists(place)
    assert kind != 'file' or place.read_text() == 'mine'
    assert not (tmp_path / 'work/nowhere').exists()


@pytest.mark.parametrize('content', ['', 'process 999999 on another-machine\n'])
def test_the_lock_file_of_a_dead_process_is_taken_over(content, tmp_path):
    (tmp_path / LOCK).write_text(content)
    (tmp_path / LOCK).chmod(0o444)  # no obstacle for root; one line for others
    try:
        lock(tmp_path)
    except UserError as error:
        assert os.geteuid() and 'choose a folder that you may write to' in str(error)
    else:
        assert (tmp_path / LOCK).read_text().startswith(f'process {os.getpid()} on ')
        unlock(tmp_path)


def test_a_work_dir_that_is_a_file_is_one_line(tmp_path, capsys):
    (tmp_path / 'work').write_text('mine')
    with pytest.raises(UserError, match=r'work cannot be written \(File exists'):
        lock(tmp_path / 'work')
    assert (tmp_path / 'work').read_text() == 'mine'


def test_writing_follows_no_link_and_shares_no_name(tmp_path):
    mine, target = tmp_path / 'mine', tmp_path / 'report.html'
    mine.write_text('mine')
    (tmp_path / '.report.html.part').symlink_to(mine)  # a name that could be guessed
    target.symlink_to(mine)
    with replacing(target) as one, replacing(target) as two:
        assert one != two and one.is_file() and not one.is_symlink()
        one.write_text('one')
        two.write_text('two')
    assert mine.read_text() == 'mine'
    assert target.read_text() == 'one' and not target.is_symlink()
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert target.read_text() == 'one'
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        '.report.html.part', 'mine', 'report.html'
    ]  # fmt: skip


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    kept = ['.mine.part', 'epoch_1.pth.abcdefgh.part', '.x.ABCDEFGH.part']
    for name in [*kept, '.epoch_1.pth.ab12_x9z.part']:
        (tmp_path / name).write_text('x')
    (tmp_path / '.folder.abcdefgh.part').mkdir()
    (tmp_path / '.link.abcdefgh.part').symlink_to(tmp_path / '.mine.part')
    remove_temporary_files(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        *kept, '.folder.abcdefgh.part', '.link.abcdefgh.part'
    }  # fmt: skip


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / 'a', 'ä')
    finally:
        os.umask(before)
    assert (tmp_path / 'a').stat().st_mode & 0o777 == 0o640
    assert (tmp_path / 'a').read_bytes() == 'ä'.encode()


def test_a_folder_of_ones_own_with_a_version_is_not_the_mini_data_set(tmp_path):
    mine = tmp_path / 'data' / 'mini'
    mine.mkdir(parents=True)
    (mine / 'VERSION').write_text('0')
    (mine / 'photograph.jpg').write_bytes(b'mine')
    with pytest.raises(UserError, match='expected no other files'):
        make_mini(mine)
    assert (mine / 'photograph.jpg').read_bytes() == b'mine'
