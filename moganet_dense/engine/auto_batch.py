"""``--auto-batch``: the largest batch whose training step fits into the memory of the GPU.

Without a GPU the config's batch stays: a larger one is no faster there.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, FUNCTIONS, MODELS

from ..utils.errors import UserError, one_line

SHARE = 0.8
"""Share of the memory for a step: images differ in size, and allocators need a margin."""

MOST = 512
"""Larger batches train no faster."""


def largest_batch(peak: Callable[[int], float], total: float) -> int:
    """The largest power of two that fits.

    The memory of a step is a constant and a part for each sample: two steps tell both, and a third
    one, of the batch that is returned, confirms it.

    Args:
        peak: memory of a step of that many samples; raises ``torch.OutOfMemoryError``.
        total: memory there is.

    Raises:
        UserError: two samples do not fit.
    """
    try:
        two = peak(2)
    except torch.cuda.OutOfMemoryError:
        raise UserError(
            '--auto-batch: two samples do not fit into the memory of this GPU; take a smaller '
            '--img-size, or --batch-size 1 in its place'
        ) from None
    try:
        four = peak(4)
    except torch.cuda.OutOfMemoryError:
        return 2
    each = max((four - two) / 2, 1.0)
    room = SHARE * total - (two - 2 * each)
    batch = 2
    while batch * 2 <= min(room / each, MOST):
        batch *= 2
    while batch > 2 and not _fits(peak, batch, total):
        batch //= 2
    return batch


def _fits(peak: Callable[[int], float], batch: int, total: float) -> bool:
    try:
        return peak(batch) <= SHARE * total
    except torch.cuda.OutOfMemoryError:
        return False


def find_batch(cfg: Config, processes: int = 1) -> int:
    """The batch for a config on this GPU.

    Raises:
        UserError: there are several processes.
    """
    if processes > 1:
        raise UserError(
            '--auto-batch is for one process; find the batch with one, then pass --batch-size'
        )
    with one_line('--auto-batch cannot try a step'):
        step = training_step(cfg, 'cuda')

    def peak(batch: int) -> float:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        step(batch)
        return torch.cuda.max_memory_allocated()

    return largest_batch(peak, torch.cuda.get_device_properties(0).total_memory)


def training_step(cfg: Config, device: str) -> Callable[[int], float]:
    """A function that computes the loss of that many samples and its gradients, and an optimizer's
    two moments; it returns the loss.

    Args:
        cfg: of the training; not changed.
        device: where.
    """
    cfg = deepcopy(cfg)
    with MODELS.switch_scope_and_registry(cfg.default_scope) as registry:
        model = registry.build(cfg.model).to(device).train()
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        dataset = registry.build(cfg.train_dataloader.dataset)
    collate = FUNCTIONS.get((cfg.train_dataloader.get('collate_fn') or {}).get(
        'type', 'pseudo_collate'))  # fmt: skip
    parameters = [p for p in model.parameters() if p.requires_grad]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]

    def step(batch: int) -> float:
        samples = collate([dataset[i % len(dataset)] for i in range(batch)])
        data = model.data_preprocessor(samples, True)
        loss, _ = model.parse_losses(model(**data, mode='loss'))
        loss.backward()
        for parameter, (first, _) in zip(parameters, moments, strict=True):
            if parameter.grad is not None:
                first.copy_(parameter.grad)
            parameter.grad = None
        return loss.item()

    return step
