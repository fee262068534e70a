"""Hooks that prepare a model or its data for a run."""

import weakref
from typing import Any

import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS

from ..data.image_io import load_whole
from ..models.compiling import compile_blocks
from .fsdp import is_sharded
from .resumable import SeededDataset


@HOOKS.register_module()
class StrictLoadingHook(Hook):
    """Raises an error with the file name for truncated images and for label maps or annotations
    that do not match; see :func:`~moganet_dense.data.image_io.load_whole`."""

    priority = 'VERY_HIGH'  # before data is read

    def __init__(self) -> None:
        self.prepared: list[weakref.ref] = []

    def before_train(self, runner) -> None:
        self._prepare(runner.train_loop)

    def before_val_epoch(self, runner) -> None:
        self._prepare(runner.val_loop)

    def before_test_epoch(self, runner) -> None:
        self._prepare(runner.test_loop)

    def _prepare(self, loop: Any) -> None:
        dataset = loop.dataloader.dataset
        while isinstance(dataset, SeededDataset):
            dataset = dataset.dataset
        if all(known() is not dataset for known in self.prepared):
            self.prepared.append(weakref.ref(dataset))
            load_whole(dataset)


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Converts the weights and inputs of the backbone to the channels-last memory format.

    Sharded weights keep PyTorch's default, which FSDP needs; maps are in channels last anyway. Only
    in training: a test has its own :class:`~moganet_dense.toolboxes.model_form.Form`, and a work
    dir's config, with this hook, is tested on other devices, fused, or with a wrapped model.
    """

    priority = 'ABOVE_NORMAL'  # before an average of the weights is built, with their strides

    def before_run(self, runner) -> None:
        from ..toolboxes.model_form import to_channels_last  # which imports mmcv

        if not isinstance(runner.optim_wrapper, (OptimWrapper, OptimWrapperDict)):
            return  # a config still: built in training alone
        model = _model(runner)
        to_channels_last(model, weights=not is_sharded(model))


@HOOKS.register_module()
class CompileBlocksHook(Hook):
    """Compiles the blocks of the backbone when training begins; prints one warning if that is not
    possible, see :func:`~moganet_dense.models.compiling.compile_blocks`."""

    def before_train(self, runner) -> None:
        compile_blocks(_model(runner).backbone)


def _model(runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
