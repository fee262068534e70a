"""Draws the real network input: the first batches of a training with their targets.

The batches come from the loader and seed of the training (engine/resumable.py) and pass through the
data preprocessor of the model before they are drawn, so padding and mixing of images (mixup,
cutmix) are visible, too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.utils import import_modules_from_strings

from ..data.image_io import load_whole
from ..data.layouts import innermost, require_files
from ..engine.job import Job
from ..engine.resumable import draw_from, seeded_loader
from ..utils.atomic import require_folder, write_whole
from ..utils.errors import UserError, one_line
from ..visualization.report_drawing import as_jpeg, as_url
from ..visualization.training_samples import draw_target
from .page import environment

PAGE = 'index.html'


def browse(job: Job, number: int = 12, out: str | None = None) -> Path:
    """Draws the first training samples of a job.

    Args:
        job: as for training; without a seed in the config, seed 0.
        number: number of samples.
        out: folder; None: browse, in the work dir.

    Returns:
        a page with all of them, next to the images.

    Raises:
        UserError: the config has nothing to train on, or its data cannot be read.
    """
    cfg = job.read()
    if not cfg.get('train_dataloader'):
        raise UserError(f'{job.config} has no train_dataloader to browse')
    require_files(cfg.train_dataloader.dataset, cfg.default_scope)
    folder = Path(out or Path(cfg.work_dir, 'browse'))
    require_folder('--out', folder)
    shown = []
    with one_line('the training pipeline cannot be run'):
        for image, sample, meta in _fed(cfg, number):
            drawn = draw_target(cfg.default_scope, image, sample, meta)
            name = f'{len(shown):03d}.jpg'
            write_whole(folder / name, as_jpeg(drawn))
            source = Path(str(sample.get('img_path', ''))).name
            size = f'{image.shape[1]} x {image.shape[0]}'
            shown.append(dict(name=name, source=source, size=size, url=as_url(drawn)))
    page = folder / PAGE
    template = environment().get_template('browse.html')
    pipeline = next(innermost(cfg.train_dataloader.dataset)).get('pipeline') or []
    steps = [repr(step) for step in pipeline]
    text = template.render(config=str(job.config), shown=shown, steps=steps)
    write_whole(page, text.encode())
    return page


def _fed(cfg: Config, number: int) -> Iterator[tuple[np.ndarray, Any, dict]]:
    """Image (H, W, 3), data sample and description of the data set, of the first samples."""
    imports = dict(cfg.get('custom_imports') or {}, allow_failed_imports=False)
    import_modules_from_strings(**imports)
    init_default_scope(cfg.default_scope)
    seed = cfg.get('randomness', {}).get('seed') or 0
    with one_line('the training set cannot be built'):
        loader = dict(cfg.train_dataloader, num_workers=0, persistent_workers=False)
        loader = seeded_loader(loader, seed)
    dataset = loader.dataset.dataset
    load_whole(dataset)
    loader.batch_sampler.start = 0
    settings = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    preprocessor = MODELS.build(settings)
    done = 0
    for iteration, batch in enumerate(loader):
        draw_from(seed, iteration)
        fed = preprocessor(batch, training=True)
        images = _visible(fed['inputs'], preprocessor)
        for image, sample in zip(images, fed['data_samples'], strict=True):
            if done == number:
                return
            yield image, sample, dataset.metainfo
            done += 1


def _visible(inputs: torch.Tensor, preprocessor: Any) -> np.ndarray:
    """Undoes the normalisation: (N, H, W, 3), uint8, RGB."""
    if getattr(preprocessor, '_enable_normalize', False):
        inputs = inputs * preprocessor.std + preprocessor.mean
    swaps = ('to_rgb', '_channel_conversion', 'reverses_channels')  # mmpretrain's, mmengine's, ours
    if not any(getattr(preprocessor, name, False) for name in swaps):  # the pipelines load BGR
        inputs = inputs[:, [2, 1, 0]] if inputs.shape[1] >= 3 else inputs
    inputs = inputs[:, :3] if inputs.shape[1] >= 3 else inputs[:, :1].expand(-1, 3, -1, -1)
    return inputs.permute(0, 2, 3, 1).round().clamp(0, 255).byte().cpu().numpy()
