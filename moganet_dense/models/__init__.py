"""The backbone: torch and mmengine only, no toolbox."""

from .moganet import ARCHITECTURES, MogaNet

__all__ = ['ARCHITECTURES', 'MogaNet']
