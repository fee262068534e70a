"""The operators of this repository, although mmcv's compiled ones may be installed beside them."""

import importlib.util
import sys

import pytest
from conftest import ROOT

SOURCE = ROOT / 'packages/mmcv-ops/src/moganet_mmcv_ops'


def load(path=SOURCE):
    """The package from the checkout, whether or not it is installed."""
    if 'moganet_mmcv_ops' not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            'moganet_mmcv_ops', path / '__init__.py', submodule_search_locations=[str(path)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules['moganet_mmcv_ops'] = module
        spec.loader.exec_module(module)
    return sys.modules['moganet_mmcv_ops']


def compiled():
    """mmcv's compiled extension, or the test is skipped."""
    extension = pytest.importorskip('mmcv._ext')
    if extension.__file__.endswith('.py'):
        pytest.skip('mmcv is not compiled')
    return extension
