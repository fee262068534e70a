"""The Runner of trainings and tests: atomic, and in one process or many."""

import os
from typing import Any

import torch.nn as nn
from mmengine.device import get_device
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MMLogger
from mmengine.model import convert_sync_batchnorm
from mmengine.optim import OptimWrapper

from .atomic_checkpoint import DurableRunner
from .avg_factor import share_normalisers
from .distributed import speak_into
from .fsdp import WholeCheckpointHook, check_sharding, shard
from .sync_bn import synchronise_on_cpu


class GroupRunner(DurableRunner):
    """mmengine's Runner for a group of processes, on GPUs or CPUs, or for one alone.

    Rank 0 alone is heard; the log of each is kept. The group itself is formed before, by
    :func:`~moganet_dense.engine.distributed.joined`.
    """

    def build_logger(self, log_level: int | str = 'INFO', **options: Any) -> MMLogger:
        if get_rank():
            speak_into(os.path.join(self._log_dir, f'rank{get_rank()}.out'))
        return super().build_logger(log_level, distributed=True, **options)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """DDP, on CPUs too, where mmengine's names a GPU, or nothing yet if ``cfg.fsdp``."""
        share_normalisers(model)
        if not self.distributed:
            return super().wrap_model(model_wrapper_cfg, model)
        on_cpu, sync_bn = get_device() == 'cpu', self.cfg.get('sync_bn')
        if on_cpu:
            synchronise_on_cpu(model, all_norms=bool(sync_bn))
            self.cfg.sync_bn = None  # done
            ddp = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
            model_wrapper_cfg = dict(model_wrapper_cfg or ddp, device_ids=None)
        if not self.cfg.get('fsdp'):
            return super().wrap_model(model_wrapper_cfg, model)
        if sync_bn and not on_cpu:
            model = convert_sync_batchnorm(model, sync_bn)
        return model.to(get_device())

    def shard(self) -> None:
        """Initialises the weights and divides them among the processes; before the optimizer is
        built."""
        check_sharding(self._launcher, self.hooks)
        super()._init_model_weights()
        shard(self.model)
        self.register_hook(WholeCheckpointHook())

    def _init_model_weights(self) -> None:
        if not self.cfg.get('fsdp'):
            super()._init_model_weights()

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
