"""Common training options as changes of a config."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mmengine.config import Config

from ..utils.errors import UserError
from . import schedules
from .augment import set_augment
from .image_size import set_image_size
from .reading import settle_workers

FROZEN_STAGES = {'stem': 0, '1': 1, '2': 2, '3': 3, '4': 4, 'backbone': 4}
"""What ``--freeze`` takes, as ``frozen_stages``: the stem alone, or with stages up to a number."""

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@dataclass(frozen=True)
class TrainingOptions:
    """What is changed; None: as the config has it.

    Attributes:
        epochs: length.
        batch_size: samples of a batch on each process.
        img_size: longer side of the images in pixels.
        lr: highest learning rate.
        workers: loading processes.
        augment: of a detector: light or strong.
        freeze: a key of :data:`FROZEN_STAGES`.
        seed: of all that is random.
        ema: keep a moving average of the weights, which is validated and saved.
        patience: validations without a better metric after which training ends.
    """

    epochs: int | None = None
    batch_size: int | None = None
    img_size: int | None = None
    lr: float | None = None
    workers: int | None = None
    freeze: str | None = None
    augment: str | None = None
    seed: int | None = None
    ema: bool = False
    patience: int | None = None


def apply_training_options(
    cfg: Config, options: TrainingOptions, samples: Callable[[], int], processes: int = 1
) -> Iterator[str]:
    """Writes options into a config.

    Args:
        cfg: changed in place, while the lines are taken.
        options: what to change.
        samples: counts the samples of the training set; asked for by ``--epochs`` where the loop
            counts iterations.
        processes: of the training.

    Yields:
        a line for each option that changes numbers.

    Raises:
        UserError: an option does not go with the config.
    """
    if options.seed is not None:
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=options.seed)
    if options.workers is not None:
        set_workers(cfg, options.workers)
    if options.freeze is not None:
        yield set_frozen(cfg, options.freeze)
    if options.img_size is not None:
        yield set_image_size(cfg, options.img_size)
    for name in ('batch_size', 'lr', 'epochs'):
        if getattr(options, name) is not None:
            schedules.require_schedule(cfg, f'--{name.replace("_", "-")}')
    if options.batch_size is not None:
        yield schedules.set_batch(cfg, options.batch_size, processes)
    if options.lr is not None:
        yield schedules.set_rate(cfg, options.lr, processes)
    if options.epochs is not None:
        yield schedules.set_epochs(cfg, options.epochs, _steps(cfg, samples, processes))
    if options.augment is not None:
        yield set_augment(cfg, options.augment)
    if options.ema:
        yield set_average(cfg)
    if options.patience is not None:
        yield set_patience(cfg, options.patience)


def _steps(cfg: Config, samples: Callable[[], int], processes: int) -> int | None:
    if schedules.counts_epochs(cfg):
        return None
    batch = cfg.train_dataloader.get('batch_size', 1) * processes
    return max(1, -(-samples() // batch))


def set_workers(cfg: Config, workers: int) -> None:
    """Loading processes of each loader; without any, nothing persists."""
    for name in _LOADERS:
        if cfg.get(name):
            cfg[name].num_workers = workers
            if workers:
                cfg[name].persistent_workers = True
    settle_workers(cfg)


def set_frozen(cfg: Config, what: str) -> str:
    """Freezes the first stages of the backbone.

    Raises:
        UserError: it is another backbone than MogaNet.
    """
    backbone = cfg.model.get('backbone') or {}
    if backbone.get('type') != 'MogaNet':
        raise UserError(f'--freeze needs a MogaNet backbone, found {backbone.get("type")}')
    backbone.frozen_stages = stages = FROZEN_STAGES[what]
    words = {0: 'the stem', 4: 'the whole backbone'}
    return f'--freeze {what}: {words.get(stages, f"the stem and stages 1 to {stages}")}'


def set_average(cfg: Config) -> str:
    """Adds the moving average of weights, which follows them closely at first.

    The share of the new weights is 100 / (100 + steps), at least 2e-4: short trainings have an
    average of their last third or so, and no memory of the start.

    Raises:
        UserError: the weights are sharded.
    """
    if cfg.get('fsdp'):
        raise UserError('--ema and --fsdp cannot be combined: shards are not averaged')
    hooks = cfg.get('custom_hooks') or []
    if any(hook.get('type') == 'EMAHook' for hook in hooks):
        return '--ema: the config has an EMAHook already'
    average = dict(type='EMAHook', ema_type='DeviceMomentumAnnealingEMA', momentum=2e-4,
                   gamma=100, update_buffers=True)  # fmt: skip
    cfg.custom_hooks = [*hooks, average]
    return '--ema: validated and saved is the moving average of the weights'


def set_patience(cfg: Config, validations: int) -> str:
    """Stops a training whose metric no longer improves.

    Raises:
        UserError: there is no validation, or the config does not say by which metric.
    """
    saved = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    metric = saved.get('save_best')
    if not cfg.get('val_dataloader'):
        raise UserError('--patience needs a validation; the config has no val_dataloader')
    if not isinstance(metric, str) or metric == 'auto':
        raise UserError(
            '--patience needs the name of one metric in default_hooks.checkpoint.save_best, found '
            f'{metric!r}'
        )
    rule = dict(rule=saved['rule']) if saved.get('rule') else {}
    hook = dict(type='PatienceHook', monitor=metric, patience=validations, min_delta=0.0, **rule)
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]
    count = 'one validation' if validations == 1 else f'{validations} validations'
    return f'--patience {validations}: ends after {count} without a better {metric}'
