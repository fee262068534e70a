"""Checkpoints of wrong or hostile content: refused in one line before anything is built."""

import copy
import json
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import RUNNERS
from mmengine.runner import CheckpointLoader, Runner
from toy import write_config

from moganet_dense.cli import main
from moganet_dense.config.reading import read_config
from moganet_dense.engine.atomic_checkpoint import read_training
from moganet_dense.engine.job import Job
from moganet_dense.engine.resume_check import check_resumable, describe, differences
from moganet_dense.engine.resume_schema import check_schema
from moganet_dense.engine.train import train
from moganet_dense.utils.errors import UserError


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """Work dir of a toy training of two epochs, whose gradients are accumulated over four
    iterations: twelve, so that some wait where the first epoch ends."""
    folder = tmp_path_factory.mktemp('trained')
    schemes = dict(CheckpointLoader._schemes)
    train(
        Job(
            write_config(folder, length=2, accumulate=4, record=True), work_dir=str(folder / 'work')
        )
    )
    CheckpointLoader._schemes = schemes
    return folder / 'work'


@pytest.fixture(scope='module')
def content(trained) -> dict:
    return read_training(trained / 'epoch_1.pth')


@pytest.fixture
def config(tmp_path):
    """The same training, to be resumed."""
    return write_config(tmp_path, length=2, accumulate=4, record=True)


def put(value):
    def change(parent, key):
        parent[key] = value

    return change


def drop(parent, key) -> None:
    del parent[key]


INFINITE = float('inf')
CIRCLE: list = []
CIRCLE.append(CIRCLE)
LAUGHS: list = ['ha']
for _ in range(40):
    LAUGHS = [LAUGHS] * 10

MALFORMED = {
    'meta: a list': ('meta', put([1])),
    'meta: names of numbers': ('meta', put({1: 2})),
    'meta.epoch: none': ('meta.epoch', drop),
    'meta.epoch: negative': ('meta.epoch', put(-1)),
    'meta.epoch: a text': ('meta.epoch', put('1')),
    'meta.epoch: a tensor': ('meta.epoch', put(torch.ones(1))),
    'meta.iter: none': ('meta.iter', drop),
    'meta.iter: a fraction': ('meta.iter', put(6.5)),
    'meta.iter: NaN': ('meta.iter', put(float('nan'))),
    'meta.iter: truth': ('meta.iter', put(True)),
    'meta.iter: too large': ('meta.iter', put(1 << 60)),
    'meta.seed: a text': ('meta.seed', put('3')),
    'meta.seed: negative': ('meta.seed', put(-3)),
    'meta.seed: too large': ('meta.seed', put(1 << 40)),
    'meta.batches: alone': ('meta.batches_done', drop),
    'meta.batches_done: negative': ('meta.batches_done', put(-2)),
    'meta.batches_done: beyond the epoch': ('meta.batches_done', put(99)),
    'state_dict: a list': ('state_dict', put([])),
    'state_dict: empty': ('state_dict', put({})),
    'state_dict: a text': ('state_dict.ballast', put('weight')),
    'message_hub: none': ('message_hub', put(None)),
    'message_hub: no scalars': ('message_hub.log_scalars', drop),
    'message_hub: scalars in a list': ('message_hub.log_scalars', put([1])),
    'message_hub: no history': ('message_hub.log_scalars.train/loss', put(dict(history=1))),
    'message_hub: half a history': (
        'message_hub.log_scalars.train/loss',
        put(dict(history=dict(log=torch.ones(2), count=torch.ones(3), max_length=9))),
    ),
    'message_hub: a history of tables': (
        'message_hub.log_scalars.train/loss',
        put(dict(history=dict(log=torch.ones(2, 2), count=torch.ones(2, 2), max_length=9))),
    ),
    'message_hub: a history of texts': (
        'message_hub.log_scalars.train/loss.history.max_length', put('many')),
    'message_hub: no information': ('message_hub.runtime_info', put(3)),
    'message_hub: odd keys': ('message_hub.resumed_keys', put({'loss': 'yes'})),
    'optimizer: none': ('optimizer', put(None)),
    'optimizer: no groups': ('optimizer.param_groups', put([])),
    'optimizer: groups of texts': ('optimizer.param_groups.0', put('group')),
    'optimizer: no parameters': ('optimizer.param_groups.0.params', put(None)),
    'optimizer: a parameter twice': ('optimizer.param_groups.0.params', put([0, 0, 1, 2])),
    'optimizer: parameters by name': ('optimizer.param_groups.0.params', put(['a', 'b'])),
    'optimizer: infinite rate': ('optimizer.param_groups.0.lr', put(INFINITE)),
    'optimizer: a rate in words': ('optimizer.param_groups.0.lr', put('fast')),
    'optimizer: state of others': ('optimizer.state', put({77: {}})),
    'optimizer: state in a list': ('optimizer.state', put([])),
    'optimizer: state of a text': ('optimizer.state.0', put('step')),
    'schedules: a text': ('param_schedulers', put('cosine')),
    'schedules: of texts': ('param_schedulers.0', put('cosine')),
    'schedules: step in words': ('param_schedulers.0.last_step', put('two')),
    'ema: a list': ('ema_state_dict', put([1])),
    'ema: of texts': ('ema_state_dict', put({'module.ballast': 'one'})),
    'gradients: a list': ('gradients', put([1])),
    'gradients: of numbers': ('gradients', put({'ballast': 1.0})),
    'itself': ('meta.circle', put(CIRCLE)),
    'billion laughs': ('meta.laughs', put(LAUGHS)),
    'many characters': ('meta.text', put('x' * (1 << 27))),
    'an object': ('meta.thing', put(object())),
}  # fmt: skip


@pytest.mark.parametrize('name', MALFORMED)
def test_malformed_content_is_one_line(name, content, config):
    path, change = MALFORMED[name]
    bad = copy.deepcopy(content)
    *parents, key = path.split('.')
    parent = bad
    for step in parents:
        parent = parent[int(step) if step.isdigit() else step]
    change(parent, int(key) if key.isdigit() else key)
    start = time.process_time()
    with pytest.raises(UserError, match='cannot resume') as error:
        check_resumable(bad, read_config(config), accept=False)
    assert '\n' not in str(error.value) and len(str(error.value)) < 400
    assert time.process_time() - start < 10  # of bombs; a second is usual


def test_what_was_saved_passes(content, config):
    check_resumable(content, read_config(config), accept=False)
    check_schema(copy.deepcopy(content))


def test_histories_of_mmengine_pass(content):
    """As they are in a checkpoint that mmengine itself has saved."""
    theirs = copy.deepcopy(content)
    theirs['message_hub']['log_scalars'] = {'train/loss': HistoryBuffer([1.0, 2.0], [1, 1])}
    check_schema(theirs)


def resumed(config: Path, file: Path, *options: str) -> int:
    work = config.parent / 'resumed'
    return main(['train', str(config), '--resume', str(file), '--work-dir', str(work), *options])


def saved(content: dict, folder: Path, **changes) -> Path:
    torch.save({**content, **changes}, folder / 'changed.pth')
    return folder / 'changed.pth'


INCOMPLETE = {
    'a schedule less': lambda c: dict(param_schedulers=c['param_schedulers'][:1]),
    'no schedules': lambda c: dict(param_schedulers=None),
    'schedules in another order': lambda c: dict(param_schedulers=c['param_schedulers'][::-1]),
    'no average': lambda c: dict(ema_state_dict=None),
    'fewer gradients': lambda c: dict(gradients={}),
    'a gradient of another shape': lambda c: dict(
        gradients={**c['gradients'], 'ballast': torch.ones(7)}
    ),
    'another optimizer': lambda c: dict(
        optimizer=dict(state={}, param_groups=[
            dict(lr=0.01, momentum=0.9, params=c['optimizer']['param_groups'][0]['params'])
        ])
    ),
    'two groups': lambda c: dict(
        optimizer=dict(state=c['optimizer']['state'], param_groups=[
            dict(c['optimizer']['param_groups'][0], params=[0, 1]),
            dict(c['optimizer']['param_groups'][0], params=[2, 3, 4, 5, 6]),
        ])
    ),
    'moments of another shape': lambda c: dict(
        optimizer=dict(c['optimizer'], state={
            n: dict(s, exp_avg=torch.ones(3)) for n, s in c['optimizer']['state'].items()
        })
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', INCOMPLETE)
def test_incomplete_content_is_refused(name, content, config, tmp_path, capsys):
    changes = INCOMPLETE[name](content)
    rest = {k: v for k, v in content.items() if not (k in changes and changes[k] is None)}
    file = saved(rest, tmp_path, **{k: v for k, v in changes.items() if v is not None})
    assert resumed(config, file) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
    assert 'cannot resume' in line
    assert not list((tmp_path / 'resumed').glob('*.pth'))


CHANGED = {
    'longer': (dict(length=5), 'schedule.max_epochs was 2, is 5'),
    'batch': (dict(accumulate=2), 'batch.accumulated was 4, is 2'),
    'model': (dict(weight=2), 'model.weight was 1, is 2'),
}


@pytest.mark.parametrize('name', CHANGED)
def test_a_training_that_differs_is_refused_with_what_does(name, trained, tmp_path, capsys):
    options, said = CHANGED[name]
    config = write_config(tmp_path, **dict(dict(length=2, accumulate=4), **options))
    assert resumed(config, trained / 'epoch_1.pth') == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
    assert said in line and '--accept-changes' in line
    assert not (tmp_path / 'resumed' / 'last_checkpoint').exists()


def rates(work_dir: Path) -> dict[int, float]:
    """Learning rate by iteration, of all runs in a folder."""
    rows = []
    for file in sorted(work_dir.rglob('scalars.json')):
        rows += map(json.loads, file.read_text().splitlines())
    return {row['step']: row['lr'] for row in rows if 'lr' in row}


@pytest.mark.slow
def test_accepted_changes_follow_the_config(tmp_path, monkeypatch):
    """A rate five times as high from the second epoch on: its schedule is that of a training that
    had it from the beginning, the moments are those of the first epoch."""

    def run(work: str, lr: float, length: int, **how) -> dict:
        config = write_config(tmp_path, length=length)
        text = config.read_text().replace('lr=0.01', f'lr={lr}')
        config.write_text(text.replace('interval=100', 'interval=1'))
        train(Job(config, work_dir=str(tmp_path / work)), **how)
        return read_training((tmp_path / work / 'last_checkpoint').read_text())

    whole = run('whole', 0.05, 3)
    first = run('parts', 0.01, 1)
    found = run('parts', 0.05, 3, resume='auto', accept_changes=True)
    expected, got = rates(tmp_path / 'whole'), rates(tmp_path / 'parts')
    assert sorted(expected) == sorted(got) == list(range(1, 19))
    assert all(got[i] == pytest.approx(expected[i] / 5) for i in range(1, 7))
    assert [got[i] for i in range(7, 19)] == [expected[i] for i in range(7, 19)]
    assert found['param_schedulers'] == whole['param_schedulers']
    assert float(first['optimizer']['state'][0]['step']) == 6
    assert float(found['optimizer']['state'][0]['step']) == 18  # they went on


def test_differences_leave_out_what_does_not_train(config):
    cfg = read_config(config)
    before = describe(cfg, 2)
    other = read_config(config)
    other.train_dataloader.dataset.data_root = '/elsewhere/'
    other.train_dataloader.num_workers = 7
    other.model.init_cfg = dict(type='Pretrained', checkpoint='x.pth')
    assert differences(before, describe(other, 2)) == []
    assert differences(before, describe(other, 3)) == ['batch.images was 8, is 12']


def test_a_training_with_the_toolboxs_own_parts_can_be_resumed(config):
    """Those of before this package had parts that compute the same."""
    cfg = read_config(config)
    now, text = describe(cfg, 2), cfg.pretty_text
    assert "type='Device" in text and 'Device' not in str(now['model'])
    before = describe(Config.fromstring(text.replace("type='Device", "type='"), '.py'), 2)
    assert differences(before, now) == []


@pytest.mark.parametrize('plain', [False, True], ids=['DenseRunner', 'Runner'])
def test_a_text_in_the_meta_is_not_run(plain, content, config, tmp_path, monkeypatch):
    """mmengine's own Runner, with our config, too: its resume() runs meta['config']."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    mark = tmp_path / 'mark'
    text = f"import pathlib\npathlib.Path({str(mark)!r}).write_text('run')\ngpu_ids = [0]\n"
    bad = copy.deepcopy(content)
    bad['meta'].update(config=text, cfg=text)
    cfg = read_config(config)
    cfg.work_dir, cfg.resume = str(tmp_path / 'work'), True
    cfg.load_from = str(saved(bad, tmp_path))
    if plain:
        cfg.pop('runner_type')
        # mmengine's own takes None for its own hooks alone
        cfg.default_hooks = {name: hook for name, hook in cfg.default_hooks.items() if hook}
    runner = Runner.from_cfg(cfg) if plain else RUNNERS.build(cfg)
    runner.train()
    assert runner.iter == 12 and not mark.exists()
