"""Counts what a GPU would have to launch and wait for in one step of training, on a CPU.

    python tools/count_step.py configs/det/retinanet_moganet_s.py ...

Trains on the bundled sample data (``--mini``; classifiers: on noise) and looks at the second
iteration as the runner runs it, hooks included: operators of each part of the model, and every
place at which the CPU would wait for a GPU (a value, a number of rows, a copy in either
direction), with the line that asks. All tensors are on the CPU here. Those that would be there
beside a GPU, too, are followed: made without a device, read from NumPy or copied to the CPU, and
whatever is computed from these alone. Their values are known, and a copy of them to the GPU waits
(``cudaMemcpyAsync`` from pageable memory, then a synchronisation of the stream) unless it is
``non_blocking``. A list of indices is such a copy.
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

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakIdKeyDictionary

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
MADE = {torch.tensor, torch.as_tensor, torch.from_numpy, torch.zeros, torch.ones, torch.full,
        torch.empty, torch.arange, torch.linspace, torch.randperm, torch.rand, torch.randn,
        torch.randint, torch.Tensor.cpu}  # fmt: skip
"""Functions whose result is on the CPU unless a device is given."""
WRITTEN = {torch.Tensor.__getitem__, torch.Tensor.__setitem__, torch.Tensor.copy_}
PARTS = ('backbone', 'neck', 'rpn_head', 'roi_head', 'bbox_head', 'decode_head',
         'auxiliary_head', 'head', 'data_preprocessor')  # fmt: skip
IMAGES = 16  # of a batch of a classifier
OURS = ('moganet_dense', 'mmdet', 'mmseg', 'mmpose', 'mmpretrain', 'mmcv', 'mmengine')


class Step:
    """What one step does.

    Attributes:
        operators: by part.
        waits: by part, what is asked, and the line that asks.
        part: that computes now.
        on_cpu: tensors that would be on the CPU beside a GPU.
    """

    def __init__(self) -> None:
        self.operators: Counter[str] = Counter()
        self.waits: Counter[tuple[str, str, str]] = Counter()
        self.part = 'loss, hooks'
        self.on_cpu = WeakIdKeyDictionary()

    def wait(self, what: str) -> None:
        self.waits[self.part, what, asking_line()] += 1

    def all_on_cpu(self, values) -> bool:
        """Whether there are tensors among values, all of them on the CPU."""
        tensors = [value for value in tree_flatten(values)[0] if isinstance(value, torch.Tensor)]
        return bool(tensors) and all(tensor in self.on_cpu for tensor in tensors)

    def keep_on_cpu(self, values) -> None:
        for value in tree_flatten(values)[0]:
            if isinstance(value, torch.Tensor):
                self.on_cpu[value] = True

    @contextlib.contextmanager
    def within(self, part: str) -> Iterator[None]:
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before


class Operators(TorchDispatchMode):
    """Counts operators of a GPU, and those whose result tells the CPU something."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if operator is ATEN.lift_fresh.default or self.step.all_on_cpu((args, kwargs)):
            result = operator(*args, **kwargs)
            self.step.keep_on_cpu(result)
            return result
        if not operator.is_view:
            self.step.operators[self.step.part] += 1
        if operator is ATEN._local_scalar_dense.default:
            self.step.wait('value')
        elif operator in SIZES or 'nms' in str(operator) or _counts_a_mask(operator, args):
            self.step.wait('number of rows')
        return operator(*args, **kwargs)


def _counts_a_mask(operator, args: tuple) -> bool:
    """Whether rows are chosen by a mask; one number that is written under a mask needs no count."""
    if operator not in MASKED or (len(args) > 2 and args[2].numel() == 1):
        return False
    return any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1])


class Copies(TorchFunctionMode):
    """Counts copies between CPU and GPU, which are none where all is on the CPU."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, step = kwargs or {}, self.step
        first_on_cpu = step.all_on_cpu(args[:1])
        if function in COPIES and not first_on_cpu:
            step.wait('copy to the CPU')
        result = function(*args, **kwargs)
        at_once = function in (torch.tensor, torch.as_tensor) and kwargs.get('device') is not None
        if at_once or (function is torch.Tensor.new_tensor and not first_on_cpu):
            step.wait('copy to the GPU')
            step.on_cpu.pop(result, None)
        elif function in WRITTEN and not first_on_cpu and not kwargs.get('non_blocking'):
            if function is not torch.Tensor.copy_ and self._has_cpu_indices(args[1]):
                step.wait('copy to the GPU')
            if function is not torch.Tensor.__getitem__ and step.all_on_cpu(args[-1]):
                step.wait('copy to the GPU')
        elif function is torch.Tensor.copy_ and not step.all_on_cpu(args[1]):
            step.wait('copy to the CPU')
        elif function in MADE and kwargs.get('device') is None:
            step.keep_on_cpu(result)
        elif function is torch.Tensor.to and first_on_cpu and _names_a_device(args, kwargs):
            if not kwargs.get('non_blocking'):
                step.wait('copy to the GPU')
            result = result.detach()  # another tensor, which is on the GPU
            step.on_cpu.pop(result, None)
        return result

    def _has_cpu_indices(self, index) -> bool:
        """Whether rows are chosen by a list, or by a tensor of the CPU; a number of it is read."""
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, (list, np.ndarray)) for part in parts):
            return True
        return any(isinstance(p, torch.Tensor) and p.ndim and p in self.step.on_cpu for p in parts)


def _names_a_device(args: tuple, kwargs: dict) -> bool:
    """Whether ``Tensor.to`` gets a device, or a tensor that is on it."""
    values = [*args[1:], kwargs.get('device')]
    return any(isinstance(value, (torch.device, str, torch.Tensor)) for value in values)


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
    options = ['train_cfg.val_interval=9999', 'default_hooks.logger.interval=50']
    classifies = Config.fromfile(config).default_scope == 'mmpretrain'
    cfg = Job(config, folder, options, mini=not classifies).read()
    if classifies:
        _read_noise(cfg, folder)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.optim_wrapper.constructor = 'GroupedOptimWrapperConstructor'
    if hasattr(torch.optim, cfg.optim_wrapper.optimizer.type):
        cfg.optim_wrapper.optimizer.fused = True  # as on a GPU
    if not classifies:
        cfg.optim_wrapper.pop('clip_grad', None)  # of --mini alone
    if cfg.optim_wrapper.type == 'AmpOptimWrapper':  # needs a GPU
        cfg.optim_wrapper.update(type='OptimWrapper')
        cfg.optim_wrapper.pop('loss_scale', None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(Copies(step))  # while it is built, too: what stays on the CPU
        stack.enter_context(Operators(step))
        runner = build_runner(cfg)
        for tensor in [*runner.model.parameters(), *runner.model.buffers()]:
            step.on_cpu.pop(tensor, None)
        for module in (logged_scalars, nonfinite_loss):
            stack.enter_context(mock.patch.object(module, 'must_wait', lambda value: True))
        _train_two_iterations(runner, step)
    return step


def _read_noise(cfg: Config, folder: str) -> None:
    """Lets a classifier train on images of noise, in ImageNet's second layout."""
    for split in ('train', 'val'):
        Path(folder, split).mkdir(parents=True)
        Path(folder, 'meta').mkdir(exist_ok=True)
        names = [f'{i}.png' for i in range(3 * IMAGES)]
        for name in names:
            pixels = np.random.randint(0, 256, (240, 240, 3), np.uint8)
            Image.fromarray(pixels).save(Path(folder, split, name))
        Path(folder, 'meta', f'{split}.txt').write_text(''.join(f'{name} 7\n' for name in names))
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=IMAGES, num_workers=0, persistent_workers=False)
        loader.dataset.data_root = folder


def _train_two_iterations(runner, step: Step) -> None:
    """Counts the second."""
    loop = runner.train_loop
    run_iter, iterations = loop.run_iter, []
    _watch_parts(runner.model, step)

    def watched(*args) -> None:
        iterations.append(args)
        wrapper = runner.optim_wrapper
        for name, part in (('backward', 'backward'), ('step', 'optimizer')):
            setattr(wrapper, name, _within(step, part, getattr(wrapper, name)))
        step.operators.clear()
        step.waits.clear()
        run_iter(*args)
        if len(iterations) == 2:
            raise StopIteration

    with mock.patch.object(loop, 'run_iter', watched), contextlib.suppress(StopIteration):
        runner.train()


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
