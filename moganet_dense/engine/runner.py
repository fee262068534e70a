"""The Runner of trainings and tests: durable, and in one process or many."""

import os
from typing import Any

import torch.nn as nn
from mmengine.device import get_device
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper

from .durable import DurableRunner
from .processes import speak_into
from .statistics import synchronise_on_cpu


class GroupRunner(DurableRunner):
    """mmengine's Runner for a group of processes, on GPUs or CPUs, or for one alone.

    Rank 0 alone is heard; the log of each is kept. The group itself is formed before, by
    :func:`~moganet_dense.engine.processes.joined`.
    """

    def build_logger(self, log_level: int | str = 'INFO', **options: Any) -> MMLogger:
        if get_rank():
            speak_into(os.path.join(self._log_dir, f'rank{get_rank()}.out'))
        return super().build_logger(log_level, distributed=True, **options)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """DDP on CPUs too, where mmengine's names a GPU, and SyncBN too."""
        if self.distributed and get_device() == 'cpu':
            synchronise_on_cpu(model)
            ddp = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
            model_wrapper_cfg = dict(model_wrapper_cfg or ddp, device_ids=None)
        return super().wrap_model(model_wrapper_cfg, model)

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scales the rate linearly with the batch of a step: of all processes, and of all
        batches that are gathered for it."""
        if not auto_scale_lr or not auto_scale_lr.get('enable'):
            return
        loader = self._train_dataloader
        batch = loader['batch_size'] if isinstance(loader, dict) else loader.batch_size
        gathered = optim_wrapper._accumulative_counts
        real = get_world_size() * batch * gathered
        ratio = real / auto_scale_lr['base_batch_size']
        self.logger.info(
            f'learning rate x {ratio:g}: {get_world_size()} processes x {batch} images x '
            f'{gathered} gathered = {real}, of a rate for {auto_scale_lr["base_batch_size"]}'
        )
        for group in optim_wrapper.optimizer.param_groups:
            group['lr'] *= ratio
