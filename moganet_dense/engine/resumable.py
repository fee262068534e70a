"""Training that a stop does not change: what is drawn depends on the place, not on the past.

Every iteration starts from random states that follow from the seed and its number, every
sample from ones that follow from the seed and its place in the training. So nothing of the
generators has to be saved, a loader can start anywhere without loading what was seen, and the
number of its workers does not matter. Nor does the number of processes: batches are drawn for
all of them together, and each takes its share.

What the loops of mmengine lack for it: a loader that starts in the middle of an epoch
(epoch-based loops start the epoch again), or where the training stands (iteration-based ones
start the data again, or load all that was seen).
"""

import logging
import random
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import all_reduce, get_dist_info, get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS, LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import BatchSampler

from .fsdp import divided_as, whole

VALIDATED = 'validated_iter'  # in the message hub: iteration after which was validated last


def draw_from(*place: int) -> None:
    """Sets the generators of Python, NumPy and torch to states that follow from ``place``."""
    words = np.random.SeedSequence(place).generate_state(4)
    random.seed(words.tobytes())
    np.random.seed(words)
    torch.manual_seed(int(words[:2].view(np.uint64)[0]))


class PlacedDataset:
    """A data set whose samples are drawn by their place in the training.

    It is asked for (index, place) by :class:`PlacedBatches`; all else is the data set's.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, tuple[int, ...]]) -> Any:
        index, place = key
        draw_from(*place)
        return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__['dataset'], name)

    @property
    def __class__(self) -> type:  # some samplers serve one kind of data set
        return type(self.dataset)

    def __reduce__(self) -> tuple:
        return PlacedDataset, (self.dataset,)


@DATA_SAMPLERS.register_module()
class PlacedBatches:
    """Batches of (index, place), from any batch of an epoch on.

    With mmengine's two samplers a batch is drawn for all processes together, and sample k of it
    is for process k modulo their number: W processes of B samples see the data of one process of
    W B. A batch that falls short is filled up with its own first samples, so that all shares are
    equal. Another sampler gives each process what it holds for that one's.

    Args:
        sampler: of indices.
        batch_size: samples of a batch of one process.
        seed: of the training.
        batches: config of the batch sampler; None: torch's.
        drop_last: of torch's: leave the last batch out if it is short.

    Attributes:
        epoch: what is drawn.
        start: batches of the epoch to pass over; None until the loop runs, since
            iteration-based loops of mmengine 0.10.7 ask for data while they are built.
    """

    def __init__(
        self,
        sampler: Iterable[int],
        batch_size: int,
        seed: int,
        batches: dict | None = None,
        drop_last: bool = False,
    ) -> None:
        self.sampler, self.batch_size, self.seed = sampler, batch_size, seed
        self.drop_last = drop_last
        self.rank, self.world = get_dist_info()
        self.shared = _draws_for_all(sampler)
        batch_size *= self.world if self.shared else 1
        if batches is None:
            self.batches = BatchSampler(sampler, batch_size, drop_last)
        else:
            defaults = dict(sampler=sampler, batch_size=batch_size)
            self.batches = DATA_SAMPLERS.build(batches, default_args=defaults)
        self.epoch, self.start = 0, None

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
        if self.start is None:
            return
        place, start = (self.seed, self.epoch), self.start
        for number, batch in enumerate(self.batches):
            if number >= start:
                slots = range(self.rank, self.world * self.batch_size, self.world)
                yield [
                    (index, (*place, number, slot))
                    for index, slot in zip(self._share(batch), slots, strict=False)
                ]

    def _share(self, batch: list[int]) -> list[int]:
        """What this process takes of a batch."""
        if not self.shared:
            return batch
        lacking = -len(batch) % self.world
        return [*batch, *islice(cycle(batch), lacking)][self.rank :: self.world]


def _draws_for_all(sampler: Iterable[int]) -> bool:
    """Makes a sampler draw the indices of all processes; whether it is of a kind that can."""
    if type(sampler) is DefaultSampler:
        sampler.num_samples = sampler.total_size
    elif type(sampler) is not InfiniteSampler:
        return False
    sampler.rank, sampler.world_size = 0, 1
    return True


class _Exact:
    """What the two loops share.

    Attributes:
        done: batches of the present epoch that have been trained on.
    """

    done = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # torch knows no batch size beside a batch sampler; hooks ask for it
        vars(self.dataloader)['batch_size'] = self.dataloader.batch_sampler.batch_size

    def run_iter(self, *args: Any) -> None:
        self.done += 1
        draw_from(self.runner.seed, self._iter, get_rank())
        super().run_iter(*args)

    def _rest_of_epoch(self, epoch: int) -> Iterator[tuple[int, Any]]:
        """Numbers and batches of an epoch that remain to be trained on."""
        batches = self.dataloader.batch_sampler
        batches.epoch, batches.start = epoch, self.done
        yield from enumerate(self.dataloader, self.done)

    def _validation_due(self, count: int, length: int) -> bool:
        self._decide_current_val_interval()
        return (
            self.runner.val_loop is not None
            and count >= max(self.val_begin, 1)
            and (count % self.val_interval == 0 or count == length)
        )


@LOOPS.register_module()
class ExactEpochLoop(_Exact, EpochBasedTrainLoop):
    """mmengine's EpochBasedTrainLoop, which goes on in the middle of an epoch."""

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for number, batch in self._rest_of_epoch(self._epoch):
            self.run_iter(number, batch)
        self.done = self.dataloader.batch_sampler.start = 0  # for hooks that read the data again
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def validation_due(self) -> bool:
        """Whether training stands where it is to be validated."""
        return self.done == 0 and self._validation_due(self._epoch, self._max_epochs)


@LOOPS.register_module()
class ExactIterLoop(_Exact, IterBasedTrainLoop):
    """mmengine's IterBasedTrainLoop, which goes on with the data that come next."""

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
        """Batches from where training stands; samplers that end start again, shuffled anew."""
        epoch, self.done = divmod(self._iter, len(self.dataloader))
        sampler = self.dataloader.batch_sampler.sampler
        if hasattr(sampler, 'indices'):  # InfiniteSampler: one epoch without end
            epoch, self.done = 0, self._iter
        while True:
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
            for _, batch in self._rest_of_epoch(epoch):
                yield batch
            epoch, self.done = epoch + 1, 0

    def validation_due(self) -> bool:
        """Whether training stands where it is to be validated."""
        return self._validation_due(self._iter, self._max_iters)


class ExactResumeHook(Hook):
    """Keeps in a checkpoint what mmengine does not, and takes it up again.

    That is the place in the epoch, gradients gathered but not yet used, and where training was
    validated last.
    """

    priority = 'LOW'  # before the checkpoint is saved

    def __init__(self) -> None:
        self.gradients = {}

    def agree_before_saving(self, runner) -> None:
        """Gathered gradients are of each process; their mean does in all what they do."""
        self.gradients = {
            name: whole(parameter.grad).clone()
            for name, parameter in _model(runner).named_parameters()
            if parameter.grad is not None
        }
        for gradient in self.gradients.values():
            all_reduce(gradient, 'mean')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        loop = runner.train_loop
        checkpoint['meta'].update(batches_done=loop.done, batches=len(loop.dataloader))
        checkpoint['gradients'] = {name: value.cpu() for name, value in self.gradients.items()}
        self.gradients = {}

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        if not runner._resume:
            return
        meta, loop = checkpoint['meta'], runner.train_loop
        loop.done = meta.get('batches_done', 0)
        if loop.done and meta['batches'] != len(loop.dataloader):
            if isinstance(loop, ExactEpochLoop):
                print_log(
                    f'an epoch had {meta["batches"]} batches when the checkpoint was saved and has '
                    f'{len(loop.dataloader)} now: the epoch is started again',
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


class MissedValidationHook(Hook):
    """Makes up for a validation that the checkpoint was saved before and that was cut."""

    priority = 'LOWEST'  # after the others are ready for training

    def before_train(self, runner) -> None:
        done = runner.message_hub.runtime_info.get(VALIDATED)
        if runner.iter and done != runner.iter and runner.train_loop.validation_due():
            runner.val_loop.run()


def _model(runner: Runner) -> torch.nn.Module:
    return getattr(runner.model, 'module', runner.model)


LOOPS_MADE_EXACT = {
    'EpochBasedTrainLoop': ExactEpochLoop.__name__,
    'IterBasedTrainLoop': ExactIterLoop.__name__,
}


def make_exact(runner: Runner, dataset: Any) -> bool:
    """Replaces, before they are built, the runner's training loop and parts of its loader.

    Args:
        runner: whose loop and loader are still configs.
        dataset: the training set, built.

    Returns:
        whether it could; a loop of another kind is left as it is.
    """
    loop, loader = runner._train_loop, runner._train_dataloader
    kind = loop.get('type') or (
        'EpochBasedTrainLoop' if loop.get('by_epoch', True) else 'IterBasedTrainLoop'
    )
    loader['dataset'] = dataset
    if kind not in LOOPS_MADE_EXACT:
        print_log(f'{kind}: --resume starts the epoch again', 'current', logging.WARNING)
        return False
    loop.pop('by_epoch', None)
    loop['type'] = LOOPS_MADE_EXACT[kind]
    place_loader(loader, dataset, runner.seed)
    runner.register_hook(ExactResumeHook())
    runner.register_hook(MissedValidationHook())
    return True


def place_loader(loader: dict, dataset: Any, seed: int) -> None:
    """Makes a loader's config, in place, one that draws samples by their place.

    Args:
        loader: of mmengine, not yet built.
        dataset: the data set, built.
        seed: of the training.
    """
    loader['dataset'] = PlacedDataset(dataset)
    loader['batch_sampler'] = dict(
        type=PlacedBatches.__name__,
        seed=seed,
        batches=loader.get('batch_sampler'),
        drop_last=loader.pop('drop_last', False),
    )
