"""mmpretrain beside transformers 5: a tree of links to the real one, with our file in it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

mmpretrain = pytest.importorskip('mmpretrain')
registry = pytest.importorskip('mmengine.registry')
PACKAGE = ROOT / 'packages/mmpretrain-transformers5/src/mmpretrain/utils/dependency'


@pytest.fixture
def tree(tmp_path):
    """A folder with mmpretrain, as it is with our file, to which transformers can be added."""
    real = Path(mmpretrain.__file__).parent
    utils = tmp_path / 'mmpretrain/utils'
    utils.mkdir(parents=True)
    for folder, copy in ((real, utils.parent), (real / 'utils', utils)):
        for file in folder.iterdir():
            if file.name not in ('utils', 'dependency', '__pycache__'):
                (copy / file.name).symlink_to(file)
    (utils / 'dependency').symlink_to(PACKAGE)
    return tmp_path


def add_transformers(tree, version):
    info = tree / f'transformers-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n'
    )
    (tree / 'transformers').mkdir()
    (tree / 'transformers/__init__.py').touch()  # it has no name that mmpretrain asks for


@pytest.mark.parametrize(
    'version, multimodal', [('4.27.0', False), ('4.57.1', True), ('5.0.0', False), ('5.24', False)]
)
def test_multi_modal_models_are_there_with_transformers_4_alone(
    tree, monkeypatch, version, multimodal
):
    pytest.importorskip('pycocotools')  # the other thing that they need
    add_transformers(tree, version)
    monkeypatch.syspath_prepend(str(tree))
    file = tree / 'mmpretrain/utils/dependency/__init__.py'
    spec = importlib.util.spec_from_file_location('dependency_of_a_test', file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.WITH_MULTIMODAL is multimodal
    assert callable(module.require)  # the rest of mmpretrain's file is there
    models = registry.Registry('models of a test')
    module.register_multimodal_placeholder(['Blip', 'Ofa'], models)
    with pytest.raises(ImportError) as raised:
        models.build(dict(type='Blip'))
    if version.startswith('5'):
        expected = f'Blip of mmpretrain needs transformers 4, found {version}'
        assert expected in str(raised.value) and 'pip install "transformers<5"' in str(raised.value)


@pytest.mark.slow  # imports mmpretrain in a process of its own
def test_everything_else_can_be_imported_and_built(tree):
    add_transformers(tree, '5.1.0')
    code = (
        'import mmpretrain.models, mmpretrain.utils.dependency as ours\n'
        'from mmpretrain.registry import MODELS\n'
        'print(ours.__file__, MODELS.build(dict(type="ResNet", depth=18)).depth)'
    )
    env = {**os.environ, 'PYTHONPATH': f'{tree}{os.pathsep}{ROOT}', 'OMP_NUM_THREADS': '1'}
    command = [sys.executable, '-W', 'ignore', '-c', code]
    done = subprocess.run(command, env=env, cwd=tree, capture_output=True, text=True)
    file = tree / 'mmpretrain/utils/dependency/__init__.py'
    assert done.stdout.endswith(f'{file} 18\n'), done.stderr
