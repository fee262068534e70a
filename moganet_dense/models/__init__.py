"""The backbone: torch and mmengine only, no toolbox."""

import mmengine  # noqa: F401  first: registration imports the modules below

from .moganet import ARCHITECTURES, MogaNet

__all__ = ['ARCHITECTURES', 'MogaNet']
