"""Changes that ``--mini`` makes for both videos and 3D poses."""

from typing import Any

from mmengine.config import Config


def set_one_cycle(cfg: Config, epochs: int, lr: float) -> None:
    """Sets a training from scratch with the one-cycle schedule; it validates and saves at the end.

    Args:
        cfg: the config, changed in place.
        epochs: length of the training.
        lr: maximum learning rate.
    """
    cfg.load_from = None
    cfg.optim_wrapper.optimizer.lr = lr
    cfg.param_scheduler = [
        dict(type='OneCycleLR', eta_max=lr, total_steps=epochs, convert_to_iter_based=True)
    ]
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.default_hooks.checkpoint.interval = epochs
    cfg.default_hooks.logger.interval = 20


def set_small_backbone(cfg: Config, arch: dict[str, Any], stage: int) -> None:
    """Sets a backbone that learns within minutes.

    Args:
        cfg: the config, changed in place.
        arch: the architecture, see :class:`~moganet_dense.models.moganet.MogaNet`.
        stage: index of the only stage whose map is returned, from 0.
    """
    cfg.model.backbone.update(
        arch=arch,
        out_indices=(stage,),
        init_cfg=None,
        layer_scale_init_value=0.1,
        drop_path_rate=0.0,
    )
