"""A training of milliseconds with all that can go wrong on resuming: samples drawn at random,
dropout, batch statistics, an average of the weights, schedules by iteration and by epoch."""

import json
import os
import random
import signal
import uuid
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS

BASE = str(Path(__file__).resolve().parents[1] / 'configs' / '_base_' / 'runtime.py')
FAULT = 'MOGANET_TOY_FAULT'  # environment variable: JSON {name: iteration of this process's model}


@DATASETS.register_module()
class ToyData(torch.utils.data.Dataset):
    """Vectors of 8 numbers, a part of them from each of the three generators."""

    def __init__(self, size: int = 22) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        noise = [random.random(), np.random.rand(), float(torch.rand(()))]
        values = torch.tensor([index / self.size, *noise, 1.0, 0.0, *noise[:2]])
        return dict(inputs=values, data_samples=Sample(f'images/{index}.jpg'))


class Sample:
    def __init__(self, img_path: str) -> None:
        self.img_path = img_path


@MODELS.register_module()
class ToyModel(BaseModel):
    """Two layers; ``weight`` more numbers make its checkpoints as large as wished."""

    def __init__(self, weight: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 1)
        )
        self.ballast = nn.Parameter(torch.ones(weight))
        self.count = 0
        self.faults = json.loads(os.environ.get(FAULT, '{}'))

    def forward(self, inputs, data_samples=None, mode: str = 'tensor'):
        found = self.layers(torch.stack(list(inputs))).squeeze(1)
        if mode != 'loss':
            return [float(value) for value in found]
        self.count += 1
        loss = (found - 1).pow(2).mean() + self.ballast.pow(2).mean()
        faults = [name for name, at in self.faults.items() if self.count in _list(at)]
        if 'term' in faults:
            os.kill(os.getpid(), signal.SIGTERM)
        if 'int' in faults:
            os.kill(os.getpid(), signal.SIGINT)
        if 'nan' in faults:  # as from an image that is broken: statistics suffer too
            self.layers[1].running_mean += float('nan')
            loss = loss * float('nan')
        if 'crash' in faults:
            raise RuntimeError('crash')
        return dict(loss_toy=loss)


def _list(value) -> list:
    return value if isinstance(value, list) else [value]


@METRICS.register_module()
class ToyMetric(BaseMetric):
    def process(self, data_batch, data_samples) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results) -> dict:
        return dict(loss=float(np.mean(results)))


def write_config(
    folder: Path, by_epoch: bool = True, workers: int = 0, length: int = 4, **options
) -> Path:
    """A config of ``length`` epochs of 6 batches, or of as many iterations.

    Without ``record=True`` no report is written: that takes longer than the training.
    """
    length = length if by_epoch else 6 * length
    sampler = 'DefaultSampler' if by_epoch else 'InfiniteSampler'
    unit = 'epochs' if by_epoch else 'iters'
    path = folder / 'toy.py'
    path.write_text(
        CONFIG.format(
            base=BASE, name=uuid.uuid4().hex, by_epoch=by_epoch, workers=workers, length=length,
            sampler=sampler, unit=unit, kind='Epoch' if by_epoch else 'Iter',
            interval=options.pop('interval', 1 if by_epoch else 6),
            weight=options.pop('weight', 1), accumulate=options.pop('accumulate', 1),
            val=options.pop('val', 1 if by_epoch else 6), seed=options.pop('seed', 3),
            record='' if options.pop('record', False) else 'record=None,',
        )
    )  # fmt: skip
    assert not options, options
    return path


CONFIG = """
_base_ = {base!r}
default_scope = 'mmpretrain'
custom_imports = dict(imports=['moganet_dense', 'toy'])
experiment_name = {name!r}
model = dict(type='ToyModel', weight={weight})
loader = dict(
    batch_size=4, num_workers={workers}, persistent_workers={workers} > 0,
    dataset=dict(type='ToyData'), collate_fn=dict(type='pseudo_collate'),
)
train_dataloader = dict(sampler=dict(type={sampler!r}, shuffle=True), **loader)
val_dataloader = dict(sampler=dict(type='DefaultSampler', shuffle=False), **loader)
val_evaluator = dict(type='ToyMetric')
val_cfg = dict(type='ValLoop')
train_cfg = dict(type='Resumable{kind}Loop', max_{unit}={length}, val_interval={val})
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01), accumulative_counts={accumulate}
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=9),
    dict(type='MultiStepLR', by_epoch={by_epoch}, milestones=[2, 3], gamma=0.5),
]
default_hooks = dict(
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch={by_epoch}, interval={interval},
                    max_keep_ckpts=2, save_best='loss', rule='less'),
    logger=dict(type='LoggerHook', interval=100),
    {record}
)
custom_hooks = [dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.1)]
log_processor = dict(by_epoch={by_epoch}, window_size=1)
log_level = 'WARNING'
randomness = dict(seed={seed})
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
"""
