"""Arguments and options that several commands share."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TextIO

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

MANY: dict[str, Callable[[str], bool]] = {
    '--cfg-options': lambda text: '=' in text,
    '--shape': str.isdigit,
    '--imgsz': str.isdigit,
}
"""Options that take several values, and the pattern of a value."""
OPTIONAL: dict[str, tuple[str, ...]] = {'--amp': ('auto', 'bf16', 'fp16')}
"""Options with an optional value: the valid values, the first is the default."""
FREEZES = ('stem', '1', '2', '3', '4', 'backbone')
"""Values of ``--freeze``: the stem, the stem and stages up to a number, the whole backbone."""


def spread(arguments: Sequence[str]) -> list[str]:
    """Repeats the name of each option of :data:`MANY` before every value, as click expects.

    ``--cfg-options a=1 b=2`` becomes ``--cfg-options a=1 --cfg-options b=2``; the values end
    at the next option, or at the first word that is not a value. ``--amp`` alone becomes
    ``--amp auto``, so that the next argument is not taken as its value.
    """
    found, name, values, rest = [], None, 0, list(arguments)
    while rest and rest[0] != '--':  # after it there are no options
        argument = rest.pop(0)
        if argument.startswith('-') or (name and values and not MANY[name](argument)):
            name = argument if argument in MANY else None
            values = 0
        elif name:
            if values:
                found.append(name)
            values += 1
        found.append(argument)
        if argument in OPTIONAL and (not rest or rest[0] not in OPTIONAL[argument]):
            found.append(OPTIONAL[argument][0])
    return found + rest


def given(*names: str) -> list[str]:
    """The options of these parameter names that the running command was given, as written in its
    help."""
    context = click.get_current_context()
    found = {}
    for option in context.command.params:
        is_default = context.get_parameter_source(str(option.name)) in (
            ParameterSource.DEFAULT,
            None,
        )
        if option.name in names and not is_default:
            found[option.name] = option.opts[0]
    return [found[name] for name in names if name in found]


def refuse(reason: str, *names: str) -> None:
    """Rejects options that would have no effect.

    Args:
        reason: why, and what to do.
        names: of their parameters.

    Raises:
        UsageError: one of them was given.
    """
    if found := given(*names):
        raise click.UsageError(f'{", ".join(found)} would have no effect: {reason}')


def quietly(stream: TextIO | None = None) -> AbstractContextManager[None]:
    """Within, messages of libraries are dropped, and ours go to ``stream``; imports mmengine."""
    from ..engine.screen import few_lines

    return few_lines(stream)


def _take_rank(context: click.Context, option: click.Parameter, value: int | None) -> None:
    if value is not None:
        os.environ.setdefault('LOCAL_RANK', str(value))


def _trust(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        from ..weights.loading import trusting

        context.with_resource(trusting())


def _use_device(context: click.Context, option: click.Parameter, value: str | None) -> None:
    """Shows this process one device, before torch and mmengine look for them.

    Raises:
        BadParameter: no name of a device, or there is no such one.
    """
    if value is None:
        return
    kind, _, number = value.partition(':')
    if kind.isdigit() and not number:
        kind, number = 'cuda', kind
    if kind not in ('cpu', 'cuda') or (number and not number.isdigit()):
        raise click.BadParameter(f'expected cpu, cuda, cuda:N or N, found {value}')
    if kind == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
        return
    if number:
        seen = [one for one in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if one]
        os.environ['CUDA_VISIBLE_DEVICES'] = dict(enumerate(seen)).get(int(number), number)
    import torch

    if not torch.cuda.is_available():
        raise click.BadParameter(f'{value}: torch finds no such GPU; --device cpu trains without')


class ModelName(click.ParamType):
    """A model name from the zoo, with shell completion; ``or_file``: or the path of a config."""

    name = 'name'

    def __init__(self, or_file: bool = False) -> None:
        self.or_file = or_file

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names that start with the given text; the shell adds files if there are none."""
        from ..config.metafiles import names

        found = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type='file')] * self.or_file


class Share(click.FloatRange):
    """A number from 0 to 1; click's own range lets NaN pass."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        """The number.

        Raises:
            BadParameter: not a number, or out of range.
        """
        number = super().convert(value, parameter, context)
        if number != number:
            self.fail(f'{value} is not in the range 0 to 1', parameter, context)
        return number


config = click.argument('config', type=ModelName(or_file=True))
zoo_name = click.argument('name', type=ModelName())
json = click.option('--json', is_flag=True, help='Print JSON.')
checkpoint = click.argument('checkpoint', required=False, type=ModelName(or_file=True))
out_file = click.option('--out', metavar='FILE', help='The file to write.')
weights = click.option('--weights', hidden=True, metavar='FILE')  # the earlier spelling


def words(metavar: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Arguments whose meaning depends on their number and kind."""
    kind = ModelName(or_file=True)
    return click.argument('words', nargs=-1, required=True, metavar=metavar, type=kind)


def split_words(words: Sequence[str], weights: str | None) -> tuple[str, str | None, list[str]]:
    """``CONFIG [CHECKPOINT] REST...`` as config, checkpoint and rest.

    Raises:
        UsageError: two checkpoints.
    """
    from ..config.model_files import split_words

    if weights is not None:
        return words[0], weights, list(words[1:])
    return split_words(words)


def split_out(words: Sequence[str], out: str | None, ending: str) -> tuple[str, str, str]:
    """``CONFIG [CHECKPOINT]`` and ``--out`` as config, checkpoint and the file to write.

    The file as third argument is still accepted. The default is named after the config, in the
    work dir if one is given, else in the current folder.

    Raises:
        UsageError: too many arguments, or the file to write in place of a checkpoint.
    """
    from pathlib import Path

    from ..config.model_files import model_files

    if len(words) > 3 or (len(words) == 3 and out):
        raise click.UsageError(f'expected CONFIG [CHECKPOINT], found {" ".join(words)}')
    given, checkpoint, third = (*words, None, None)[:3]
    if checkpoint and checkpoint.lower().endswith(('.onnx', '.pt2')):
        raise click.UsageError(
            f'expected CHECKPOINT, found {checkpoint}; the file to write is --out {checkpoint}'
        )
    files = model_files(given, checkpoint)
    folder = given if Path(given).is_dir() else ''
    return *files, out or third or str(Path(folder, Path(files.config).stem + ending))


mini = click.option('--mini', is_flag=True, help='Use the small bundled sample data set.')
cfg_options = click.option(
    '--cfg-options', multiple=True, metavar='KEY=VALUE ...', help='Override config options.'
)
work_dir = click.option('--work-dir', metavar='DIR', help='Default: work_dirs/NAME.')
launcher = click.option(
    '--launcher', type=click.Choice(['none', 'pytorch', 'slurm', 'mpi']), default='none'
)
local_rank = click.option(  # torch.distributed.launch passes it; the environment is what counts
    '--local_rank', '--local-rank', type=int, hidden=True, expose_value=False, callback=_take_rank
)
channels_last = click.option(
    '--channels-last/--no-channels-last',
    default=None,
    help='Use the channels-last memory format; default: on GPUs where it is faster.',
)
no_cuda_graphs = click.option('--no-cuda-graphs', is_flag=True, help='Do not use CUDA graphs.')
device = click.option(
    '--device',
    metavar='[cpu|cuda|N]',
    expose_value=False,
    is_eager=True,
    callback=_use_device,
    help='Device to compute on; default: the first GPU, if there is one.',
)
no_check = click.option('--no-check', is_flag=True, help='Skip the check of config and data.')
verbose = click.option(
    '--verbose', 'show_all', is_flag=True, help='Show everything that the log file has.'
)
trust = click.option(
    '--trust-checkpoint',
    is_flag=True,
    expose_value=False,
    callback=_trust,
    help='Load the checkpoint with pickle, which can run code.',
)


def job(command: Callable[..., Any]) -> Callable[..., Any]:
    """Argument and options shared by train and test."""
    for option in (local_rank, launcher, cfg_options, mini, work_dir, config):
        command = option(command)
    return command
