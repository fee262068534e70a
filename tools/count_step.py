"""Counts what a GPU would have to launch and wait for in one step of training, on a CPU.

    python tools/count_step.py configs/det/retinanet_moganet_s.py ...

Trains on the bundled sample data (``--mini``) and looks at the second iteration as the runner
runs it, hooks included: operators of each part of the model, and every place at which the CPU
would wait for a GPU (a value, a number of rows, a copy to the CPU), with the line that asks.
"""

import argparse
import contextlib
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from moganet_dense.engine import logged_scalars, nonfinite_loss
from moganet_dense.engine.job import Job
from moganet_dense.engine.train import _build_runner as build_runner

ATEN = torch.ops.aten
SIZES = {  # the CPU has to know how many there are
    ATEN.nonzero.default, ATEN.masked_select.default, ATEN._unique2.default,
    ATEN.unique_dim.default, ATEN.unique_consecutive.default, ATEN.repeat_interleave.Tensor,
    ATEN.bincount.default,
}  # fmt: skip
MASKED = {ATEN.index.Tensor, ATEN.index_put_.default, ATEN._index_put_impl_.default}
COPIES = {torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__}
PARTS = ('backbone', 'neck', 'rpn_head', 'roi_head', 'bbox_head', 'decode_head',
         'auxiliary_head', 'head', 'data_preprocessor')  # fmt: skip
OURS = ('moganet_dense', 'mmdet', 'mmseg', 'mmpose', 'mmpretrain', 'mmcv', 'mmengine')


class Step:
    """What one step does.

    Attributes:
        operators: by part.
        waits: by part, what is asked, and the line that asks.
        part: that computes now.
    """

    def __init__(self) -> None:
        self.operators: Counter[str] = Counter()
        self.waits: Counter[tuple[str, str, str]] = Counter()
        self.part = 'loss, hooks'

    def wait(self, what: str) -> None:
        self.waits[self.part, what, asking_line()] += 1

    @contextlib.contextmanager
    def within(self, part: str) -> Iterator[None]:
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before


class Operators(TorchDispatchMode):
    """Counts operators, and those whose result tells the CPU something."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if not operator.is_view:
            self.step.operators[self.step.part] += 1
        if operator is ATEN._local_scalar_dense.default:
            self.step.wait('value')
        elif operator in SIZES or 'nms' in str(operator) or _counts_a_mask(operator, args):
            self.step.wait('number of rows')
        return operator(*args, **(kwargs or {}))


def _counts_a_mask(operator, args: tuple) -> bool:
    """Whether rows are chosen by a mask; one number that is written under a mask needs no count."""
    if operator not in MASKED or (len(args) > 2 and args[2].numel() == 1):
        return False
    return any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1])


class Copies(TorchFunctionMode):
    """Counts copies of tensors to the CPU, which are none where the tensor is there."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in COPIES:
            self.step.wait('copy to the CPU')
        return function(*args, **(kwargs or {}))


def asking_line() -> str:
    """The innermost line of a toolbox, of mmengine or of ours."""
    for frame in reversed(traceback.extract_stack()):
        for package in OURS:
            _, found, rest = frame.filename.rpartition(f'/{package}/')
            if found:
                return f'{package}/{rest}:{frame.lineno} {frame.name}'
    return 'elsewhere'


def counted(config: str, folder: str) -> Step:
    """The second iteration of a training on the sample data."""
    step = Step()
    job = Job(config, folder, ['train_cfg.val_interval=9999', 'default_hooks.logger.interval=50'],
              mini=True)  # fmt: skip
    cfg = job.read()
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.optim_wrapper.constructor = 'GroupedOptimWrapperConstructor'
    cfg.optim_wrapper.optimizer.fused = True  # as on a GPU
    cfg.optim_wrapper.pop('clip_grad', None)  # of --mini alone
    runner = build_runner(cfg)
    loop, model = runner.train_loop, runner.model
    _watch_parts(model, step)
    run_iter, iterations = loop.run_iter, []

    def watched(*args) -> None:
        iterations.append(args)
        if len(iterations) < 2:
            return run_iter(*args)
        with contextlib.ExitStack() as stack:
            for module in (logged_scalars, nonfinite_loss):
                stack.enter_context(mock.patch.object(module, 'must_wait', lambda value: True))
            wrapper = runner.optim_wrapper
            for name, part in (('backward', 'backward'), ('step', 'optimizer')):
                called = _within(step, part, getattr(wrapper, name))
                stack.enter_context(mock.patch.object(wrapper, name, called))
            stack.enter_context(Copies(step))
            stack.enter_context(Operators(step))
            run_iter(*args)
        raise StopIteration

    with mock.patch.object(loop, 'run_iter', watched), contextlib.suppress(StopIteration):
        runner.train()
    return step


def _watch_parts(model: torch.nn.Module, step: Step) -> None:
    """Has the methods of the model's parts that are called from outside say whose they are."""
    for name in PARTS:
        part = getattr(model, name, None)
        if isinstance(part, torch.nn.Module):
            for method in ('forward', 'loss', 'loss_and_predict', 'loss_by_feat'):
                if callable(getattr(part, method, None)):
                    label = name if method == 'forward' else f'{name}, loss'
                    setattr(part, method, _within(step, label, getattr(part, method)))


def _within(step: Step, part: str, function):
    def called(*args, **options):
        with step.within(part):
            return function(*args, **options)

    return called


def table(config: str, step: Step) -> str:
    """Markdown: operators by part, and the lines at which the CPU would wait."""
    text = f'\n`{config}`: {sum(step.operators.values())} operators\n\n'
    text += '| part | operators | waits |\n| --- | --- | --- |\n'
    waits: Counter[str] = Counter()
    for (part, _, _), count in step.waits.items():
        waits[part] += count
    for part, count in step.operators.most_common():
        text += f'| {part} | {count} | {waits[part] or ""} |\n'
    text += '\n| the CPU waits for | times | asked by |\n| --- | --- | --- |\n'
    lines: Counter[tuple[str, str]] = Counter()
    for (_, what, line), count in step.waits.items():
        lines[what, line] += count
    for (what, line), count in lines.most_common():
        text += f'| {what} | {count} | `{line}` |\n'
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('configs', nargs='+')
    for config in parser.parse_args().configs:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            step = counted(config, str(Path(folder, 'work')))
        print(table(config, step), flush=True)


if __name__ == '__main__':
    main()
