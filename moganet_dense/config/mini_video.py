"""``--mini`` for video prediction: Moving MNIST's configs on scikit-learn's digits."""

from mmengine.config import Config

from ..data.mini import digits
from ..utils.errors import UserError
from .mini_parts import set_one_cycle

MODEL = dict(hid_S=16, hid_T=64, N_S=2, N_T=4, drop_path=0.0)
LENGTH, BATCH, EPOCHS, LR = 1600, 16, 3, 4e-3


def apply_mini_video(cfg: Config) -> None:
    """Converts ``cfg`` to its small form, in place, and draws the data if needed.

    Smaller frames (32 x 32), a smaller model and a short schedule of the same kind.

    Raises:
        UserError: the config reads other data than moving digits.
    """
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg[name]
        if loader.dataset.type != 'MovingDigits':
            raise UserError(
                f'--mini draws moving digits; this config reads {loader.dataset.type}. '
                'Use configs/video/simvp_moganet_mmnist.py --mini'
            )
        loader.num_workers = 1
        loader.dataset.data_root = digits.ROOT
        if 'images' in loader.dataset:
            loader.dataset.update(images=digits.IMAGES, image_size=digits.SIZE, length=LENGTH)
        else:
            loader.dataset.sequences = digits.SEQUENCES
    cfg.train_dataloader.batch_size = BATCH
    cfg.model.update(MODEL)
    set_one_cycle(cfg, EPOCHS, LR)
    digits.make_digits()
