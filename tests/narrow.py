"""Configs with a backbone as wide as arch xt, one block a stage, and narrow heads: they train
within seconds what the real ones train."""

from pathlib import Path

NARROW = dict(embed_dims=(32, 64, 96, 192), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
HEADS = dict(
    retinanet=dict(
        neck=dict(out_channels=32),
        bbox_head=dict(in_channels=32, feat_channels=32, stacked_convs=1),
    ),
    sem_fpn=dict(neck=dict(out_channels=32), decode_head=dict(in_channels=[32] * 4, channels=32)),
    upernet=dict(decode_head=dict(channels=32), auxiliary_head=dict(channels=32)),
    topdown=dict(head=dict(deconv_out_channels=(32, 32, 32))),
)


def narrow_model(config: Path) -> dict:
    """What to merge into the model of a config of arch xt."""
    heads = HEADS[config.stem.partition('_moganet')[0]]
    arch = dict(NARROW, _delete_=True)
    return dict(backbone=dict(arch=arch, init_cfg=None), **heads)


def narrow(config: Path, folder: Path, more: str = '') -> Path:
    """Writes a config of the same name into ``folder``, with ``more`` lines; returns its path."""
    path = folder / config.name
    path.write_text(f'_base_ = {str(config)!r}\nmodel = {narrow_model(config)!r}\n{more}')
    return path
