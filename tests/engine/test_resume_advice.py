"""Advice on resuming is followed word for word: what a message says to add to the command leads to
a training that ends, with the length and rate of the config."""

import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from toy import write_config

from moganet_dense.cli import main

ROUNDS = 3
"""Pieces of advice, one after the other."""
PATIENT = "dict(type='MultiStepLR', by_epoch=True, milestones=[2, 3], gamma=0.5)"
EMA = "custom_hooks = [dict(type='EMAHook'"


def replaced(*pairs: tuple[str, str]) -> Callable[[str], str]:
    def change(text: str) -> str:
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        return text

    return change


def as_it_is(text: str) -> str:
    return text


SGD = replaced(("type='AdamW', lr=0.01", "type='SGD', lr=0.01, momentum=0.9"))
NO_AVERAGE = replaced((EMA, "unused = [dict(type='EMAHook'"))
ON_PLATEAU = replaced((PATIENT, "dict(type='ReduceOnPlateauLR', monitor='loss', rule='less')"))
LARGER_DATA = replaced(("dataset=dict(type='ToyData')", "dataset=dict(type='ToyData', size=30)"))
OTHER_BATCH = replaced(('batch_size=4', 'batch_size=8'))
OTHER_RATE = replaced(('lr=0.01', 'lr=0.05'))
ONE_SCHEDULE = replaced((f'{PATIENT},', ''))
OTHER_SCHEDULE = replaced((PATIENT, "dict(type='CosineAnnealingLR', T_max=5, by_epoch=True)"))

CASES: dict[str, tuple[dict, Callable, dict, Callable]] = {
    'longer': ({}, as_it_is, dict(length=4), as_it_is),
    'as long as what was saved': ({}, as_it_is, dict(length=2), as_it_is),
    'shorter than what was saved': (dict(length=3), as_it_is, dict(length=1), as_it_is),
    'another rate': ({}, as_it_is, dict(length=3), OTHER_RATE),
    'another batch': ({}, as_it_is, dict(length=3), OTHER_BATCH),
    'other accumulation': ({}, as_it_is, dict(length=3, accumulate=2), as_it_is),
    'more data': ({}, as_it_is, dict(length=3), LARGER_DATA),
    'another optimizer': ({}, as_it_is, dict(length=3), SGD),
    'a schedule less': ({}, as_it_is, dict(length=3), ONE_SCHEDULE),
    'another schedule': ({}, as_it_is, dict(length=3), OTHER_SCHEDULE),
    'a schedule by validation': ({}, as_it_is, dict(length=3), ON_PLATEAU),
    'no average any more': ({}, as_it_is, dict(length=3), NO_AVERAGE),
    'an average from now on': ({}, NO_AVERAGE, dict(length=3), as_it_is),
    'another model': ({}, as_it_is, dict(length=3, weight=2), as_it_is),
    'iterations in place of epochs': ({}, as_it_is, dict(length=3, by_epoch=False), as_it_is),
}  # fmt: skip
"""What trained first, and what resumes: options of the toy, and a change of its text."""


def write(folder: Path, options: dict, change: Callable[[str], str]) -> str:
    path = write_config(folder, **dict(length=2) | options)
    path.write_text(change(path.read_text()))
    return str(path)


def obeyed(words: list[str], line: str, checkpoint: str) -> list[str]:
    """The command with what an error line says to add, leave out or set."""
    line = line.replace('PATH', checkpoint)
    for option in re.findall(r'--accept-changes|without --resume|--cfg-options \S+=\S+', line):
        if option == 'without --resume':
            at = words.index('--resume')
            words = words[:at] + words[at + 2 :]
        elif option not in ' '.join(words):
            words = [*words, *option.split()]
    return words


def follow(words: list[str], checkpoint: str, capsys) -> list[str]:
    """Runs a command, obeying what it says, until it succeeds; returns the messages."""
    said = []
    for _ in range(ROUNDS):
        capsys.readouterr()
        if main(words) == 0:
            return said
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
        said.append(line)
        changed = obeyed(list(words), line, checkpoint)
        assert changed != words, f'no advice: {line}'
        words = changed
    raise AssertionError(f'after {ROUNDS} pieces of advice: {said}')


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Callable[..., str]:
    """The last checkpoint of a toy; each is trained once."""

    @functools.cache
    def train(length: int = 2, change: Callable[[str], str] = as_it_is) -> str:
        folder = tmp_path_factory.mktemp('trained')
        config = write(folder, dict(length=length), change)
        assert main(['train', config, '--work-dir', str(folder / 'work')]) == 0
        return (folder / 'work/last_checkpoint').read_text()

    return train


@pytest.mark.parametrize('case', CASES)
def test_advice_on_resuming_leads_to_a_training(case, trained, tmp_path, capsys):
    before, change, now, other = CASES[case]
    checkpoint = trained(**before, change=change)
    config = write(tmp_path, now, other)
    work = tmp_path / 'work'
    words = ['train', config, '--resume', checkpoint, '--work-dir', str(work)]
    said = follow(words, checkpoint, capsys)
    assert len(said) == PIECES.get(case, 1)
    assert FIRST_WORDS.get(case, 'the training differs') in said[-1] if said else True
    if case in NOTHING_LEFT:
        assert not list(work.glob('*.pth'))
        return
    found = torch.load((work / 'last_checkpoint').read_text(), weights_only=True)
    rates = {group['initial_lr'] for group in found['optimizer']['param_groups']}
    assert rates == {0.05 if other is OTHER_RATE else 0.01}
    by_epoch = now.get('by_epoch', True)
    assert found['meta']['epoch' if by_epoch else 'iter'] == now['length'] * (1 if by_epoch else 6)


PIECES = {'as long as what was saved': 0, 'a schedule by validation': 2, 'another model': 2}
"""Messages until it trains, where there are none or two."""
FIRST_WORDS = {
    'a schedule by validation': 'a schedule follows the validation results',
    'another model': 'cannot resume: the checkpoint does not fit ToyModel: 1 of wrong shape',
}  # fmt: skip
"""Of the last message, where it is another one."""
NOTHING_LEFT = ('as long as what was saved', 'shorter than what was saved')


def test_a_training_that_has_ended_says_how_to_continue(tmp_path, capsys):
    """The line is followed: five epochs in place of two."""
    config = write(tmp_path, {}, replaced(("log_level = 'WARNING'", '')))
    work = str(tmp_path / 'work')
    assert main(['train', config, '--work-dir', work]) == 0
    capsys.readouterr()
    assert main(['train', config, '--work-dir', work, '--resume']) == 0
    said = ''.join(capsys.readouterr())
    (line,) = [x for x in said.splitlines() if 'nothing is left to train' in x]
    assert line.endswith('add --accept-changes and a larger --epochs')
    more = ['--resume', '--accept-changes', '--epochs', '5']
    assert main(['train', config, '--work-dir', work, *more]) == 0
    assert (tmp_path / 'work/last_checkpoint').read_text().endswith('epoch_5.pth')


def test_a_folder_to_resume_from_is_named_with_what_resumes(tmp_path, capsys):
    config = write_config(tmp_path, length=1)
    work_dir = tmp_path / 'work'
    command = ['train', str(config), '--no-check']
    assert main([*command, '--work-dir', str(work_dir)]) == 0
    assert main([*command, '--resume', str(work_dir)]) == 1
    said = capsys.readouterr().err
    advice = said.strip().rpartition(': ')[2]
    assert 'found a folder' in said and advice == f'--resume --work-dir {work_dir}'
    assert main([*command, *advice.split()]) == 0
    assert main(['train', str(tmp_path)]) == 1
    assert f'expected a config, found a folder: {tmp_path}; in it: {config}' in (
        capsys.readouterr().err
    )


def test_weights_alone_are_no_training(trained, tmp_path, capsys):
    config = write(tmp_path, {}, as_it_is)
    content = torch.load(trained(), weights_only=True)
    file = str(tmp_path / 'weights.pth')
    torch.save(dict(state_dict=content['state_dict']), file)
    words = ['train', config, '--work-dir', str(tmp_path / 'second'), '--resume', file]
    (line,) = follow(words, file, capsys)
    assert 'only weights' in line


def test_the_average_of_another_model_does_not_end_a_fine_tuning(trained, tmp_path):
    """Weights with an average, of a model with another head: what fits is taken."""
    config = write(tmp_path, dict(weight=2), as_it_is)
    words = ['--work-dir', str(tmp_path / 'work'), '--cfg-options', f'load_from={trained()}']
    assert main(['train', config, *words]) == 0
