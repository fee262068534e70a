"""Experiment trackers for curves and example predictions: mmengine's visualisation backends."""

import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from ..utils.errors import UserError
from .mlflow import MLflowImageBackend

TRACKERS = {'wandb': 'WandbVisBackend', 'mlflow': MLflowImageBackend.__name__}
"""Optional trackers, by the package that each needs."""

_LOCAL = ('tensorboard', 'TensorboardVisBackend')


def track(cfg: Config, trackers: Sequence[str] = ()) -> None:
    """Adds TensorBoard and the requested trackers to the visualizer of a config.

    Without TensorBoard the run continues with a message.

    Args:
        cfg: of a training; changed in place.
        trackers: names of :data:`TRACKERS`.

    Raises:
        UserError: the package of a tracker is not installed.
    """
    for name in trackers:
        if not _installed(name):
            raise UserError(f'--tracker {name}: the package {name} is missing; pip install {name}')
        _add(cfg, TRACKERS[name])
    name, backend = _LOCAL
    if _installed(name):
        _add(cfg, backend)
    else:
        words = 'TensorBoard is not installed: no curves are logged (pip install tensorboard)'
        print_log(words, level=logging.WARNING)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _add(cfg: Config, backend: str) -> None:
    cfg.setdefault('visualizer', dict(type='Visualizer'))
    visualizer = cfg.visualizer
    backends = list(visualizer.get('vis_backends') or [dict(type='LocalVisBackend')])
    if backend not in [found['type'] for found in backends]:
        options = dict(tracking_uri=_mlflow_place(cfg)) if backend == TRACKERS['mlflow'] else {}
        visualizer['vis_backends'] = [*backends, dict(type=backend, **options)]


def _mlflow_place(cfg: Config) -> str:
    """The server of MLflow's environment variable, else a database in the work dir.

    mmengine's default is a folder of files, which MLflow 3 does not support.
    """
    local = Path(cfg.work_dir, 'mlflow.db').absolute()
    return os.environ.get('MLFLOW_TRACKING_URI') or f'sqlite:///{local}'
