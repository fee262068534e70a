"""How a config reads its images."""

from mmengine.config import Config

from ..utils.errors import UserError
from .image_io import COLOR_TYPES
from .layouts import innermost

_LOADERS = ('LoadImageFromFile', 'LoadImage')


def color_type_of(cfg: Config) -> str:
    """``color_type`` of the test pipeline, see :data:`~moganet_dense.data.image_io.COLOR_TYPES`.

    Raises:
        UserError: it is none of them.
    """
    for step in next(innermost(cfg.test_dataloader.dataset)).pipeline:
        kind = step['type'] if isinstance(step['type'], str) else step['type'].__name__
        found = step.get('color_type', 'color')
        if kind.rpartition('.')[2] in _LOADERS:
            if found not in COLOR_TYPES:
                raise UserError(f'color_type: expected one of {list(COLOR_TYPES)}, found {found!r}')
            return found
    return 'color'
