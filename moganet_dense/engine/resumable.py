"""Exact resuming: random numbers depend on the position in the training, not on its history.

The random state of every iteration is derived from the seed and its number, and that of every
sample from the seed and its position in the training. So no generator state has to be saved, a
loader can start anywhere without loading earlier samples, and the number of workers does not
matter. Nor does the number of processes: batches are drawn for all of them together, and each takes
its share.

The loops of mmengine lack a loader that starts in the middle of an epoch (epoch-based loops restart
the epoch) or at the current iteration (iteration-based loops restart the data, or load all earlier
samples).
"""

import logging
import random
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import all_reduce, get_dist_info, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import DATA_SAMPLERS, DATASETS, HOOKS, LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, Dataset

from ..data.layouts import innermost
from ..utils.errors import UserError
from .fsdp import divided_as, whole
from .signals import let_workers_ignore_signals

VALIDATED = 'validated_iter'  # in the message hub: iteration of the last validation


def draw_from(*place: int) -> None:
    """Seeds the generators of Python, NumPy and torch, on all devices, from ``place``."""
    torch.manual_seed(_seed_on_cpu(place))


def draw_sample_from(*place: int) -> None:
    """As :func:`draw_from`, of the CPU alone. ``torch.manual_seed`` takes 0.2 to 1 ms in a process
    that has not used the GPU, as it formats its stack for each kind of device."""
    torch.default_generator.manual_seed(_seed_on_cpu(place))


def _seed_on_cpu(place: tuple[int, ...]) -> int:
    words = np.random.SeedSequence(place).generate_state(4)
    random.seed(words.tobytes())
    np.random.seed(words)
    return int(words[:2].view(np.uint64)[0])


@DATASETS.register_module()
class SeededDataset(Dataset):
    """A data set whose samples are seeded by their position in the training.

    :class:`SeededBatches` index it by (index, place); all attributes are those of the wrapped data
    set.

    Args:
        dataset: the data set, or its config.
    """

    def __init__(self, dataset: Any) -> None:
        built = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.__dict__['dataset'] = built

    def __getitem__(self, key: tuple[int, tuple[int, ...]]) -> Any:
        index, place = key
        draw_sample_from(*place)
        return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.dataset, name, value)  # hooks replace the pipeline

    def __reduce__(self) -> tuple:
        return SeededDataset, (self.dataset,)


class SeededLoader(DataLoader):
    """A loader of :class:`SeededBatches`, which is empty until they have a start.

    mmengine 0.10.7 reads data while a loop is built, which would start the workers.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter(()) if self.batch_sampler.start is None else super().__iter__()


class SeededBatches:
    """Batches of (index, place), starting at any batch of an epoch.

    Args:
        batches: a batch sampler of indices.
        batch_size: samples of a batch of one process.
        shared: batches are drawn for all processes together, and sample k of one is for process k
            modulo their number: W processes of B samples see the data of one process of W B. An
            incomplete batch is filled with its own first samples, so that all shares are equal.
            Else each process draws its own batches.
        seed: of the training.

    Attributes:
        epoch: the current epoch.
        start: batches of the epoch to skip; None until the loop runs.
    """

    def __init__(
        self, batches: Iterable[list[int]], batch_size: int, shared: bool, seed: int
    ) -> None:
        self.batches, self.batch_size, self.shared, self.seed = batches, batch_size, shared, seed
        self.sampler = getattr(batches, 'sampler', None)
        self.rank, self.world = get_dist_info()
        self.epoch, self.start = 0, None

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
        place, start = (self.seed, self.epoch), self.start or 0
        for number, batch in enumerate(self.batches):
            if number >= start:
                slots = range(self.rank, self.world * self.batch_size, self.world)
                yield [
                    (index, (*place, number, slot))
                    for index, slot in zip(self._share(batch), slots, strict=False)
                ]

    def _share(self, batch: list[int]) -> list[int]:
        """The share of this process in a batch."""
        if not self.shared:
            return batch
        lacking = -len(batch) % self.world
        return [*batch, *islice(cycle(batch), lacking)][self.rank :: self.world]

    def set_seed(self, seed: int) -> None:
        """Changes the seed from the next epoch on."""
        if seed != self.seed:
            self.seed = seed
            if hasattr(self.sampler, 'seed'):
                self.sampler.seed = seed


def seeded_loader(config: dict, seed: int, diff_rank_seed: bool = False) -> DataLoader:
    """A loader as mmengine builds it, whose samples are seeded by their position.

    Args:
        config: a loader, as in a config.
        seed: of the training.
        diff_rank_seed: as mmengine's.

    Raises:
        UserError: the data set is empty.
        ValueError: it cannot be built.
    """
    config = dict(config)
    batch_size = config['batch_size']
    shared = DATA_SAMPLERS.get(config['sampler']['type']) in (DefaultSampler, InfiniteSampler)
    if shared:
        config['batch_size'] = batch_size * get_world_size()
    try:
        plain = Runner.build_dataloader(config, seed=seed, diff_rank_seed=diff_rank_seed)
        empty = len(plain.dataset) == 0
    except ValueError as error:
        if 'need at least one array' not in str(error):  # toolboxes, for an empty data set
            raise
        empty = True
    if empty:
        raise UserError(_empty(config['dataset']))
    batches = plain.batch_sampler
    if shared:
        _draw_for_all(batches.sampler)
    return _with_batches(plain, SeededBatches(batches, batch_size, shared, seed))


def _with_batches(plain: DataLoader, batches: SeededBatches) -> DataLoader:
    """A loader with the options of ``plain`` and other batches."""
    loader = SeededLoader(
        SeededDataset(plain.dataset),
        batch_sampler=batches,
        num_workers=plain.num_workers,
        collate_fn=plain.collate_fn,
        pin_memory=plain.pin_memory,
        timeout=plain.timeout,
        multiprocessing_context=plain.multiprocessing_context,
        generator=plain.generator,
        prefetch_factor=plain.prefetch_factor,
        persistent_workers=plain.persistent_workers,
    )
    let_workers_ignore_signals(loader)
    # torch sets no batch size with a batch sampler; hooks read it
    vars(loader)['batch_size'] = batches.batch_size
    return loader


def _draw_for_all(sampler: DefaultSampler | InfiniteSampler) -> None:
    """Makes a sampler draw the indices of all processes."""
    if isinstance(sampler, DefaultSampler):
        sampler.num_samples = sampler.total_size
    sampler.rank, sampler.world_size = 0, 1


def _empty(dataset: dict) -> str:
    part = next(innermost(dataset))
    return (
        f'the training set is empty: expected samples in '
        f'{part.get("ann_file") or part.get("data_prefix")}, found none that passes its filters '
        f'(filter_cfg={part.get("filter_cfg")}, indices={part.get("indices")})'
    )


class _Resumable:
    """Base of the two loops.

    Attributes:
        done: number of finished batches of the current epoch.
    """

    done = 0

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, **options: Any) -> None:
        if isinstance(dataloader, dict):
            by_rank = runner._randomness_cfg.get('diff_rank_seed', False)
            dataloader = seeded_loader(dataloader, runner.seed, by_rank)
        super().__init__(runner, dataloader, **options)

    def run_iter(self, *args: Any) -> None:
        self.done += 1
        draw_from(self.runner.seed, self._iter, get_rank())
        super().run_iter(*args)

    def _rest_of_epoch(self, epoch: int) -> Iterator[tuple[int, Any]]:
        """The remaining batches of an epoch, with their numbers."""
        batches = self.dataloader.batch_sampler
        batches.set_seed(self.runner.seed)  # a resumed training uses that of its checkpoint
        batches.epoch, batches.start = epoch, self.done
        return enumerate(self.dataloader, self.done)

    def _validation_due(self, count: int, length: int) -> bool:
        self._decide_current_val_interval()
        return (
            self.runner.val_loop is not None
            and count >= max(self.val_begin, 1)
            and (count % self.val_interval == 0 or count == length)
        )


@LOOPS.register_module()
class ResumableEpochLoop(_Resumable, EpochBasedTrainLoop):
    """mmengine's EpochBasedTrainLoop, which resumes in the middle of an epoch."""

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for number, batch in self._rest_of_epoch(self._epoch):
            self.run_iter(number, batch)
        self.done = self.dataloader.batch_sampler.start = 0  # for hooks that rebuild the data
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def validation_due(self) -> bool:
        """Whether a validation is due."""
        return self.done == 0 and self._validation_due(self._epoch, self._max_epochs)


@LOOPS.register_module()
class ResumableIterLoop(_Resumable, IterBasedTrainLoop):
    """mmengine's IterBasedTrainLoop, which resumes at the next sample."""

    def run(self) -> torch.nn.Module:
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        data = self._endless()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(data))
            if self.validation_due():
                self.runner.val_loop.run()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _endless(self) -> Iterator[Any]:
        """Batches from the current iteration on; finite samplers restart, shuffled again."""
        epoch, self.done = divmod(self._iter, len(self.dataloader))
        sampler = self.dataloader.batch_sampler.sampler
        if hasattr(sampler, 'indices'):  # InfiniteSampler: one endless epoch
            epoch, self.done = 0, self._iter
        while True:
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
            for _, batch in self._rest_of_epoch(epoch):
                yield batch
            epoch, self.done = epoch + 1, 0

    def validation_due(self) -> bool:
        """Whether a validation is due."""
        return self._validation_due(self._iter, self._max_iters)


@HOOKS.register_module()
class ResumeHook(Hook):
    """Saves and restores the training state that mmengine does not.

    These are the position in the epoch, accumulated gradients, and the iteration of the last
    validation. With a training loop of another package it does nothing.
    """

    priority = 'LOW'  # before the checkpoint is saved

    def __init__(self) -> None:
        self.gradients = {}

    def agree_before_saving(self, runner) -> None:
        """Averages the accumulated gradients over the processes, which has the same effect."""
        self.gradients = {
            name: whole(parameter.grad).clone()
            for name, parameter in _model(runner).named_parameters()
            if parameter.grad is not None
        }
        for gradient in self.gradients.values():
            all_reduce(gradient, 'mean')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        loop = runner.train_loop
        if isinstance(loop, _Resumable):
            checkpoint['meta'].update(batches_done=loop.done, batches=len(loop.dataloader))
        checkpoint['meta']['gradients'] = len(self.gradients)
        checkpoint['gradients'] = {name: value.cpu() for name, value in self.gradients.items()}
        self.gradients = {}

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        loop = runner.train_loop
        if not runner._resume or not isinstance(loop, _Resumable):
            return
        meta = checkpoint['meta']
        loop.done = meta.get('batches_done', 0)
        if loop.done and meta['batches'] != len(loop.dataloader):
            if isinstance(loop, ResumableEpochLoop):
                print_log(
                    f'an epoch had {meta["batches"]} batches when the checkpoint was saved and has '
                    f'{len(loop.dataloader)} now: the epoch is restarted',
                    'current',
                    logging.WARNING,
                )
            loop.done = 0
        gradients = checkpoint.get('gradients', {})
        for name, parameter in _model(runner).named_parameters():
            if name in gradients:
                parameter.grad = divided_as(gradients[name], parameter)

    def before_val_epoch(self, runner) -> None:
        draw_from(runner.seed, runner.iter, get_rank())

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        runner.message_hub.update_info(VALIDATED, runner.iter)


@HOOKS.register_module()
class MissedValidationHook(Hook):
    """Reruns a validation that was interrupted after its checkpoint had been saved."""

    priority = 'LOWEST'  # after the others are ready for training

    def before_train(self, runner) -> None:
        done, loop = runner.message_hub.runtime_info.get(VALIDATED), runner.train_loop
        resumed = isinstance(loop, _Resumable) and runner.iter and done != runner.iter
        if resumed and loop.validation_due():
            runner.val_loop.run()


def _model(runner: Runner) -> torch.nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
