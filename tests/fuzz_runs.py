"""Targets of fuzz.py whose files are of a run: checkpoints to resume from, and work dirs.

They know the structure: a whole file is drawn first, and then values, keys and containers of it are
changed, so that most files are read far beyond the first look.
"""

import copy
import json
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from finished_run import write_work_dir
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from toy import write_config

from moganet_dense.engine.atomic_checkpoint import read_training
from moganet_dense.engine.plain_checkpoint import from_plain, to_plain
from moganet_dense.engine.resume_check import check_resumable, describe
from moganet_dense.report import plots
from moganet_dense.report.page import page
from moganet_dense.report.runs import read_work_dir
from moganet_dense.utils.errors import UserError

TEXTS = ['', 'a', 'lr', 'step', 'train', '../..', '\x1b[2K', '\ud800', '<b>', 'x' * 300, 'nan',
         '__import__("fuzz").hostile()', 'data:image/png;base64,', 'http://other.example/a.png',
         'by_epoch=True']  # fmt: skip
NUMBERS = [0, 1, -1, 2, 2**31, 2**63, 10**400, 0.0, -0.5, 1e-300, 1e300, float('inf'), float('nan')]
ODD = st.sampled_from([None, True, False, [], {}, [[]], *TEXTS, *NUMBERS]) | st.recursive(
    st.integers(-3, 9) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
CHANGE = st.tuples(
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(['replace', 'replace', 'delete', 'add', 'repeat', 'rename', 'move']),
    ODD,
)


def changed(base: Any, changes: list[tuple[float, str, Any]], shares: bool = False) -> Any:
    """A copy of ``base`` with places of it changed.

    Args:
        base: containers of plain data.
        changes: a place, from 0 to 1 along all of them; what happens there; a value.
        shares: containers may be put into themselves, which JSON cannot say.
    """
    whole = [copy.deepcopy(base)]
    for where, act, value in changes:
        places = list(_places(whole))
        holder, key = places[int(where * len(places))]
        if act == 'replace' or (act == 'move' and not shares):
            holder[key] = copy.deepcopy(value)
        elif act == 'move':
            holder[key] = places[len(places) // 2][0]
        elif holder is whole:
            continue
        elif act == 'delete':
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, holder[key] if act == 'repeat' else copy.deepcopy(value))
        elif act == 'rename':
            holder[value if shares and _hashable(value) else str(value)] = holder.pop(key)
        else:
            holder[str(value)] = holder[key]
    return whole[0]


def _hashable(value: Any) -> bool:
    return isinstance(value, (str, int, float, type(None)))


def _places(whole: Any) -> Any:
    """Container and key of every value, each container once."""
    seen, stack = set(), [whole]
    while stack:
        holder = stack.pop()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in list(pairs):
            yield holder, key
            if isinstance(value, (dict, list)):
                stack.append(value)


def _changes(most: int = 4) -> SearchStrategy:
    return st.lists(CHANGE, min_size=1, max_size=most)


# --- checkpoints to resume from


def training_of(folder: Path) -> tuple[dict, Config]:
    """What a training of the toy model saves, by hand, and its config."""
    cfg = Config.fromfile(write_config(folder, record=True))
    state = {'layers.0.weight': torch.ones(2, 2), 'layers.0.bias': torch.zeros(2)}
    groups = [dict(lr=0.01, initial_lr=0.01, weight_decay=0.0, betas=[0.9, 0.999], params=[0, 1])]
    moments = {n: dict(step=torch.tensor(3.0), exp_avg=torch.ones(2)) for n in (0, 1)}
    content = dict(
        state_dict=state,
        ema_state_dict=dict(state, steps=torch.tensor(3)),
        optimizer=dict(state=moments, param_groups=groups),
        param_schedulers=[dict(last_step=3, _global_step=4, base_values=[0.01])],
        message_hub=dict(
            log_scalars={'train/loss': HistoryBuffer([1.0, 0.5], [1, 1])},
            runtime_info=dict(epoch=1, iter=6, max_epochs=4, best_score=0.5, best_ckpt='a.pth'),
            resumed_keys=dict(epoch=True, iter=True),
        ),
        meta=dict(epoch=1, iter=6, seed=3, batches=6, batches_done=2, cfg='lr = 0.1\n',
                  experiment_name='a', dataset_meta=dict(classes=['a']), run=describe(cfg, 1)),
        gradients={'layers.0.weight': torch.ones(2, 2)},
    )  # fmt: skip
    return to_plain(content), cfg


def resume_files() -> SearchStrategy:
    """Changes of a checkpoint."""
    return _changes()


def resume_from(folder: Path, changes: list) -> None:
    if folder not in _TRAININGS:
        _TRAININGS[folder] = training_of(folder)
    content, cfg = _TRAININGS[folder]
    file = folder / 'resume.pth'
    torch.save(changed(content, changes, shares=True), file)

    def read() -> None:
        found = read_training(file)
        check_resumable(found, cfg, accept=False)
        for part in ('message_hub', 'meta', 'param_schedulers'):
            from_plain(found.get(part))

    expect_ours(read)


_TRAININGS: dict[Path, tuple[dict, Config]] = {}


# --- work dirs

CONFIG = [
    'lr = 0.1\n', "a = dict(b=[1, dict(c='x')])\n", "import fuzz\na = fuzz.hostile()\n",
    "_base_ = ['other.py']\n", 'a = ' + '[' * 99, "a = '\\ud800'\n", 'a = 1\x00',
    "custom_imports = dict(imports=['fuzz'])\n", 'dict = 1\na = dict(b=1)\n', 'a = -None\n',
]  # fmt: skip


def work_dirs() -> SearchStrategy:
    """Changes of run.json, of evaluation.json, of rows of the log, the config's text, and whether
    plots are drawn to their end, in one of eight: matplotlib takes nine tenths of the time."""
    row = st.dictionaries(st.sampled_from(TEXTS + ['loss', 'lr', 'time', 'data_time']), ODD)
    rows = st.lists(row | ODD, max_size=4)
    texts = st.sampled_from(CONFIG) | st.text(max_size=30) | st.binary(max_size=30)
    few = st.lists(CHANGE, max_size=2)
    drawn = st.integers(0, 7).map(lambda n: n == 7)
    return st.tuples(few, few, rows, st.lists(texts, max_size=2), st.booleans(), drawn)


def report_on(folder: Path, case: tuple) -> None:
    facts, evaluation, rows, texts, two, drawn = case
    work = folder / 'work'
    if not work.exists():
        write_work_dir(work)
        _RECORDS.update({name: json.loads((work / RUN / name).read_text()) for name in RECORDS})
    for name, changes in zip(RECORDS, (facts, evaluation), strict=True):
        content = changed(_RECORDS[name], changes)
        (work / RUN / name).write_text(json.dumps(content), errors='surrogatepass')
    whole = [dict(step=n, lr=0.1, loss=1.0 / n, time=0.5) for n in range(1, 4)]
    text = '\n'.join(map(json.dumps, [*whole, *rows]))
    (work / RUN / 'vis_data/scalars.json').write_text(text)
    text = texts[0] if texts else 'lr = 0.1\n'
    text = text if isinstance(text, bytes) else text.encode(errors='surrogatepass')
    (work / RUN / 'vis_data/config.py').write_bytes(text)

    def read() -> None:
        with nullcontext() if drawn else patch.object(plots, '_svg', lambda figure: ''):
            found = page([read_work_dir(work)] * (1 + two))
        found.encode('utf-8')
        assert 'src="http' not in found

    expect_ours(read)


RUN, RECORDS = '20260101_000000', ('run.json', 'evaluation.json')
_RECORDS: dict[str, dict] = {}


def expect_ours(read: Callable[[], None]) -> None:
    """Runs it; our own error, of which lines after the first are indented, is no fault."""
    import fuzz

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            read()
    except UserError as error:
        assert all(line.startswith(' ') for line in str(error).splitlines()[1:]), error
    assert not fuzz.RAN, fuzz.RAN
