"""Imports go one way, and whatever is imported first, everything is registered."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from fresh import Fresh

PACKAGE = ROOT / 'moganet_dense'

LAYERS = [
    ['__main__', 'runtime.__main__'],
    ['cli'],
    ['commands'],
    ['adopt', 'demo', 'doctor', 'engine.train', 'explain', 'export', 'init', 'zoo'],
    ['inference', 'pose3d', 'report', 'video'],
    ['engine'],
    ['evaluation', 'toolboxes', 'runtime'],
    ['config', 'models', 'writer'],
    ['data', 'visualization', 'weights'],
    ['results'],
    ['utils'],
]
"""From top to bottom: modules import those of layers below, and of their own package. The longest
name that fits a module counts: ``engine.train`` is above the rest of ``engine``."""


def layer_of(module: str) -> tuple[int, str]:
    """Number of a module's layer, and the entry that it belongs to."""
    names = module.split('.')
    for length in range(len(names), 0, -1):
        name = '.'.join(names[:length])
        for number, layer in enumerate(LAYERS):
            if name in layer:
                return number, name
    raise AssertionError(f'{module} is in no layer: add its package to LAYERS')


def modules() -> dict[str, Path]:
    """The modules below moganet_dense, by name."""
    found = {}
    for file in PACKAGE.rglob('*.py'):
        name = '.'.join(file.relative_to(PACKAGE).with_suffix('').parts)
        found[name.removesuffix('.__init__')] = file
    return {name: file for name, file in found.items() if name != '__init__'}


def imports_of(name: str, file: Path) -> Iterator[str]:
    """Modules of the package that a module imports, at its top or in a function."""
    package = name.split('.') if file.name == '__init__.py' else name.split('.')[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1]
        if node.module:
            yield '.'.join([*base, node.module])
        else:
            yield from ('.'.join([*base, alias.name]) for alias in node.names)


def test_imports_go_down_only():
    climbing = []
    for name, file in modules().items():
        number, own = layer_of(name)
        for imported in imports_of(name, file):
            if imported in ('__version__', 'register_or_warn'):  # of the package itself
                continue
            other, theirs = layer_of(imported)
            if other < number or (other == number and theirs != own):
                climbing.append(f'{name} imports {imported}')
    assert climbing == []


def test_only_relative_imports_within_the_package():
    for file in PACKAGE.rglob('*.py'):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert not any(name.split('.')[0] == 'moganet_dense' for name in names), file


def test_no_two_modules_share_a_name():
    """But for a command and what it runs, and what is named after the task it is of."""
    places = {}
    for name in modules():
        if not name.startswith(('commands', 'runtime.__main__')):
            places.setdefault(name.rpartition('.')[2], []).append(name)
    assert {leaf: names for leaf, names in places.items() if len(names) > 1} == {}


CODE = """
import warnings
warnings.simplefilter('error', UserWarning)
{}
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import CheckpointLoader
print('MogaNet' in MODELS.module_dict)
print('MogaNetLayerDecay' in OPTIM_WRAPPER_CONSTRUCTORS.module_dict)
print('moganet://' in CheckpointLoader._schemes)
"""


@pytest.fixture(scope='module')
def fresh() -> Iterator[Fresh]:
    """Processes that have imported torch alone."""
    path = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    with Fresh(['torch'], dict(os.environ, PYTHONPATH=os.pathsep.join(path))) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize(
    'first',
    [
        'from moganet_dense import MogaNet',
        'import mmengine, moganet_dense',
        'import moganet_dense; moganet_dense.register()',
        'from moganet_dense.config.reading import read_config; read_config("retinanet_moganet_s")',
    ],
)
def test_registered(first, fresh, tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(CODE.format(first))
    done = fresh.run(script, [], tmp_path / 'output')
    assert done.output.split() == ['True'] * 3, done.output


def test_the_image_of_the_imports_shows_every_package():
    shown = (ROOT / 'docs/imports.svg').read_text()
    missing = {entry for layer in LAYERS for entry in layer if f'>{entry}</text>' not in shown}
    assert not missing, 'run python docs/make_import_graph.py'
