"""What the small forms of ``--mini`` for videos and 3D poses have in common."""

from typing import Any

from mmengine.config import Config


def set_one_cycle(cfg: Config, epochs: int, lr: float) -> None:
    """Trains from scratch by one cycle of the learning rate up to ``lr``; validates and saves at
    the end."""
    cfg.load_from = None
    cfg.optim_wrapper.optimizer.lr = lr
    cfg.param_scheduler = [
        dict(type='OneCycleLR', eta_max=lr, total_steps=epochs, convert_to_iter_based=True)
    ]
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.default_hooks.checkpoint.interval = epochs
    cfg.default_hooks.logger.interval = 20


def set_small_backbone(cfg: Config, arch: dict[str, Any], stage: int) -> None:
    """A backbone of ``arch`` that returns the map of one stage, and learns within minutes."""
    cfg.model.backbone.update(
        arch=arch,
        out_indices=(stage,),
        init_cfg=None,
        layer_scale_init_value=0.1,
        drop_path_rate=0.0,
    )
