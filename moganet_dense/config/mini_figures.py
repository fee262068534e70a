"""``--mini`` for 3D pose: drawn figures, smaller and fewer."""

from mmengine.config import Config

from .mini_parts import set_small_backbone

SIZE, LENGTH, EPOCHS, LR, BATCH = 64, 10_240, 2, 1e-3, 16
"""Side of the images, figures of an epoch, epochs, rate, figures of a step. Many different figures,
each seen twice: of a thousand, each seen six times, the network learns no depths of new ones."""
VALIDATED = 128
"""Figures of the validation."""


ARCH = dict(embed_dims=(16, 32, 48, 64), depths=(1, 2, 1, 1), ffn_ratios=(2, 2, 2, 2))
"""Of the backbone, of which the first two stages are used."""
STAGE, STRIDE = 1, 8
"""Whose map the head reads. It sees a keypoint's map as a vector: at stride 32 that would have four
numbers."""


def apply_mini_figures(cfg: Config) -> None:
    """Turns a config that reads drawn figures into its small form, in place.

    Crops of 64 pixels, two stages of a small backbone, and a short schedule of the same kind.
    """
    cubic, square = (SIZE,) * 3, (SIZE,) * 2
    for codec in (cfg.codec, cfg.model.head.decoder):
        codec.update(input_size=cubic, sigma=(2.0,) * 3)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].update(num_workers=1, batch_size=BATCH)
        dataset = cfg[name].dataset
        for step in dataset.pipeline:
            if 'input_size' in step:
                step.input_size = square
            if 'encoder' in step:
                step.encoder.update(input_size=cubic, sigma=(2.0,) * 3)
        dataset.length = LENGTH if name == 'train_dataloader' else VALIDATED
    set_small_backbone(cfg, ARCH, STAGE)
    cfg.model.head.update(
        in_channels=ARCH['embed_dims'][STAGE],
        input_size=cubic,
        in_featuremap_size=(SIZE // STRIDE,) * 2,
    )
    cfg.load_from = None
    cfg.optim_wrapper.optimizer.lr = LR
    warm_up, cosine = cfg.param_scheduler
    warm_up.update(end=20)
    cosine.update(T_max=EPOCHS, end=EPOCHS)
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=EPOCHS)
    cfg.default_hooks.checkpoint.interval = EPOCHS
    cfg.default_hooks.logger.interval = 20
