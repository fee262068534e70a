"""Work dirs of other content than a run leaves: one line, or a page; nothing is run or fetched."""

import copy
import json
import os
import shutil
from pathlib import Path

import pytest
from finished_run import write_work_dir

from moganet_dense.report import schema
from moganet_dense.report.page import page
from moganet_dense.report.runs import DATA_SUMMARY as SUMMARY
from moganet_dense.report.runs import read_work_dir
from moganet_dense.report.schema import read_record
from moganet_dense.utils.errors import UserError

RUN = '20260101_000000'


@pytest.fixture
def work_dir(tmp_path) -> Path:
    return write_work_dir(tmp_path / 'work')


def set_in(work_dir: Path, name: str, change) -> None:
    file = work_dir / RUN / name
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


MALFORMED = {  # a change of a record, and what is said
    'a list': ('run.json', None, '[1]', 'the file: expected an object, found a list of 1'),
    'no JSON': ('run.json', None, '{', 'Expecting property name'),
    'half a character': ('run.json', None, b'\xff\xfe', "'utf-8' codec can't decode"),
    'deep': ('run.json', None, '[' * 9000, 'recursion'),
    'another mode': ('run.json', dict(mode='evil'), None, 'mode: expected train or test'),
    'no mode': ('run.json', dict(mode=None), None, 'mode: expected train or test'),
    'command of numbers': ('run.json', dict(command=[1]), None, r'command\[0\]: expected a string'),
    'a date without end': ('run.json', dict(began=1e300), None, 'began: expected a finite'),
    'a date before 1970': ('run.json', dict(ended=-5), None, 'ended: expected seconds from 0'),
    'NaN': ('run.json', dict(memory=float('nan')), None, 'memory: expected a finite number'),
    'a number of 400 digits': ('run.json', dict(parameters=10**400), None, 'parameters: expected'),
    'batch of text': ('run.json', dict(batch='4'), None, 'batch: expected a finite number'),
    'True as a number': ('run.json', dict(processes=True), None, 'processes: expected an integer'),
    'changes of two': ('run.json', dict(over_base=[['a', 'b']]), None, r'over_base\[0\]: expected'),
    'environment of lists': ('run.json', dict(environment=[]), None, 'environment: expected an'),
    'metrics of lists': ('evaluation.json', dict(metrics={'a': []}), None, 'metrics.a: expected'),
    'a row too short': (
        'evaluation.json', dict(tables=[dict(title='a', columns=['a', 'b', 'c'], rows=[['a']])]),
        None, r'tables\[0\].rows\[0\]: expected a name and a figure',
    ),
    'a matrix that is none': (
        'evaluation.json',
        dict(confusion=dict(title='', rows=['a'], columns=['a', 'b'], counts=[[1]])),
        None, 'confusion: expected counts of a number for each row and column',
    ),
    'negative counts': (
        'evaluation.json',
        dict(confusion=dict(title='', rows=['a'], columns=['a'], counts=[[-1]])),
        None, r'confusion.counts\[0\]\[0\]: expected an integer',
    ),
    'a line of no point': (
        'evaluation.json', dict(curves=[dict(title='a', lines={'a': []}, dots={})]),
        None, r'curves\[0\].lines.a: expected a list of 1',
    ),
    'a point of three': (
        'evaluation.json', dict(curves=[dict(title='a', lines={'a': [[1, 2, 3]]}, dots={})]),
        None, r'lines.a\[0\]: expected a list of 2',
    ),
    'an image from elsewhere': (
        'evaluation.json',
        dict(best=[dict(name='a', score=1, truth='http://evil.invalid/x', prediction='')]),
        None, r'best\[0\].truth: expected an image as data:image',
    ),
    'seconds of text': ('evaluation.json', dict(seconds='4'), None, 'seconds: expected a finite'),
}  # fmt: skip


@pytest.mark.parametrize('kind', MALFORMED)
def test_a_malformed_record_is_one_line_that_helps(kind, work_dir):
    name, change, text, said = MALFORMED[kind]
    if change:
        set_in(work_dir, name, lambda content: content.update(change))
    else:
        content = text if isinstance(text, bytes) else text.encode()
        (work_dir / RUN / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as raised:
        read_work_dir(work_dir)
    message = str(raised.value)
    assert '\n' not in message and name in message and 'move it out' in message
    (work_dir / RUN / name).unlink()  # the advice leads to a report
    assert read_work_dir(work_dir).runs


ROWS = [
    '{"step": "a"}', '{"step": NaN}', '{"step": 1e999}', '{"step": true}', '[1]', '"text"', 'null',
    '{', '{"step": 1, "loss": []}', '{"step": 1, "loss": "x", "lr": NaN}', '[' * 5000,
    '{"step": 1' + '0' * 500 + '}', '{"step": -1, "time": 0, "lr": 0}', '{"lr": 0.1}', '\x00',
    '{"step": 5, "<i>": 1, "\\ud800": 2}', '{"step": 1, "' + 'x' * 5000 + '": 2}',
]  # fmt: skip


def test_rows_that_are_none_are_skipped(work_dir):
    before = read_work_dir(work_dir).last.rows
    with open(work_dir / RUN / 'vis_data/scalars.json', 'a') as file:
        file.write('\n' + '\n'.join(ROWS))
    found = read_work_dir(work_dir)
    kept = found.last.rows[len(before) :]
    assert [row['step'] for row in kept] == [1, 1, -1, 5, 1]
    assert all(type(value) in (int, float) for row in kept for value in row.values())
    assert '&lt;i&gt;' in page([found])


@pytest.mark.parametrize('name', ['run.json', 'evaluation.json', 'vis_data/scalars.json',
                                  'vis_data/config.py'])  # fmt: skip
@pytest.mark.parametrize('thing', ['fifo', 'device', 'folder'])
def test_things_that_are_no_files(name, thing, work_dir):
    (file := work_dir / RUN / name).unlink()
    if thing == 'fifo':
        os.mkfifo(file)
    elif thing == 'device':
        file.symlink_to('/dev/zero')
    else:
        file.mkdir()
    with pytest.raises(UserError, match='cannot be read: it is a') as raised:
        read_work_dir(work_dir)
    assert '\n' not in str(raised.value) and str(file) in str(raised.value)


BAD = {
    'null': None, 'true': True, 'a fraction below 0': -0.5, '1e300': 1e300, '400 digits': 10**400,
    'NaN': float('nan'), 'infinity': float('inf'), 'a word': 'x', 'no letters': '',
    'control characters': '\x1b[2J\x07\u202e\n</script>', 'half a character': '\ud800',
    'a list': [], 'an object': {}, 'a list in a list': [[]],
    'many letters': 'x' * 20_000, 'deep': json.loads('[' * 300 + ']' * 300), 'no key': None,
}  # fmt: skip
FILES = {'run.json': schema.RUN, 'evaluation.json': schema.EVALUATION, SUMMARY: schema.DATA}
ROW = dict(
    split='train', source='a', images=3, images_used=2, dropped_images={'x': 1}, instances=4,
    instances_used=3, dropped_instances={'y': 1}, unit='instances', per_class={'a': 3},
    typical_size=[3, 4], sampled=None, notes=['n'],
)  # fmt: skip


def places(node, path=()):
    """The paths to all values of a record; of a list, its first two."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node[:2])
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> Path:
    folder = write_work_dir(tmp_path_factory.mktemp('whole') / 'work')
    (folder / SUMMARY).write_text(json.dumps([ROW]))
    return folder


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('kind', BAD)
def test_each_field_is_checked(kind, name, whole, tmp_path):
    """Every value of a record replaced by another: one line that names the field, or a value that
    the page shows."""
    content = json.loads(next(whole.rglob(name)).read_text())
    for path in places(content):
        changed = copy.deepcopy(content)
        node = changed
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = BAD[kind]
        if kind == 'no key':
            del node[path[-1]]
        (tmp_path / name).write_text(json.dumps(changed))
        try:
            found = read_record(tmp_path / name, FILES[name])
        except UserError as error:
            assert str(error).isprintable() and 'was not written by a run' in str(error), path
        else:
            json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
            assert abs(max(_numbers(found), key=abs, default=0)) < 1e18


def _numbers(node):
    if isinstance(node, (dict, list)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _numbers(value)
    elif isinstance(node, (int, float)):
        yield node


LEAST = {
    'run.json': dict(mode='train'),
    'evaluation.json': dict(
        mode='val', tables=[dict(title='a', columns=['a', 'b', 'c'], rows=[])], metrics={'a': None},
        curves=[dict(title='a', lines={}, dots={})], best=[], confusion=None,
    ),
    SUMMARY: [dict(split='val', unit='pixels', images=0, images_used=0, instances=0,
                   instances_used=0)],
}  # fmt: skip


def test_the_page_needs_no_more_than_the_required_keys(whole, tmp_path):
    shutil.copytree(whole, work := tmp_path / 'work')
    for name, content in LEAST.items():
        next(work.rglob(name)).write_text(json.dumps(content))
    assert 'a' in page([read_work_dir(whole), read_work_dir(work)])
    for name, content in LEAST.items():
        rows = content if isinstance(content, list) else [content]
        (file := next(work.rglob(name))).write_text(json.dumps([{}] if name == SUMMARY else {}))
        with pytest.raises(UserError, match='expected the key'):
            read_work_dir(work)
        file.write_text(json.dumps(rows if name == SUMMARY else rows[0]))


@pytest.mark.parametrize('name', ['run.json', 'evaluation.json', 'vis_data/scalars.json',
                                  'vis_data/config.py', SUMMARY, 'vis_data', '.'])  # fmt: skip
def test_links_out_of_the_work_dir_are_not_read(name, work_dir, tmp_path):
    """The page would show a file of the user's, in the place of a config."""
    place = work_dir / SUMMARY if name == SUMMARY else work_dir / RUN / name
    (work_dir / SUMMARY).write_text('[]')
    place.rename(tmp_path / 'secret')
    Path(os.path.normpath(place)).symlink_to(tmp_path / 'secret')
    with pytest.raises(UserError, match='link out of the work dir; put a copy') as raised:
        read_work_dir(work_dir)
    assert '\n' not in str(raised.value)


def test_links_within_the_work_dir_and_in_circles(work_dir, tmp_path):
    (work_dir / 'last').symlink_to(RUN)
    (work_dir / 'round').symlink_to('.')
    (work_dir / 'a').symlink_to('b')
    (work_dir / 'b').symlink_to('a')
    (work_dir / RUN / 'vis_data/round').symlink_to('..')
    (work_dir / SUMMARY).symlink_to(SUMMARY)
    (tmp_path / 'link').symlink_to(work_dir)
    assert len(read_work_dir(tmp_path / 'link').runs) == 2  # the run, and its other name


def test_links_to_nothing_and_to_themselves_are_no_runs(tmp_path):
    (tmp_path / 'a').symlink_to('a')
    (tmp_path / 'b').symlink_to('nothing')
    with pytest.raises(UserError, match='expected a work dir of train or test'):
        read_work_dir(tmp_path)
    with pytest.raises(UserError, match='expected a work dir of train or test'):
        read_work_dir(tmp_path / 'a')


def test_folders_without_end_are_not_looked_through(tmp_path, monkeypatch):
    from moganet_dense.report import runs

    monkeypatch.setattr(runs, 'MAX_RUNS', 3)
    for number in range(4):
        (tmp_path / str(number)).mkdir()
    with pytest.raises(UserError, match='at most 3 runs, found 4 folders'):
        read_work_dir(tmp_path)


def test_half_a_character_in_a_record_does_not_stop_the_page(work_dir):
    set_in(work_dir, 'run.json', lambda content: content.update(weights='\ud800', commit='\x00'))
    page([read_work_dir(work_dir)]).encode('utf-8')


def test_a_config_that_cannot_be_compared_is_said_to_be_so(tmp_path):
    a = write_work_dir(tmp_path / 'a', config='lr = (')
    b = write_work_dir(tmp_path / 'b')
    assert '(not compared)' in page([read_work_dir(a), read_work_dir(b)])
