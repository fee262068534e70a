"""Serves as ``mmcv._ext`` where mmcv was installed without its compiled operators.

A compiled ``_ext`` in the same folder is found before this file: Python looks for extension
modules first.
"""

from moganet_mmcv_ops import *  # noqa: F403
from moganet_mmcv_ops import __getattr__  # noqa: F401
