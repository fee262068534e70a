"""Text that mmengine or a toolbox would run: in checkpoints, work dirs, annotations, options.

Each text leaves a file behind if it runs. What is plain data for a reader of pickles is still a
program for ``mmengine.Config.fromstring``.
"""

from pathlib import Path

import pytest
import torch
from finished_run import write_work_dir
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.fileio.handlers import file_handlers
from mmengine.runner import CheckpointLoader

from moganet_dense.cli import main
from moganet_dense.config.config_text import parse
from moganet_dense.utils.errors import UserError
from moganet_dense.weights import mmengine_loader
from moganet_dense.weights.loading import trusting


@pytest.fixture
def marker(tmp_path, monkeypatch) -> Path:
    """What a text that runs leaves behind; also the text."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'code-has-run'


def program(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w')\ngpu_ids = [0]\nmodel = dict(type='x')\n"


# --- work dirs


CONFIGS = {
    'a call': "open({m!r}, 'w')\nlr = 0.1\n",
    'a call in a value': "lr = open({m!r}, 'w')\n",
    'a base': "_base_ = ['{d}/other.py']\nlr = 0.1\n",
    'a custom import': "custom_imports = dict(imports=['other'])\nlr = 0.1\n",
    'a lazy import': 'from mmengine.config import read_base\nwith read_base():\n    from .other '
    'import *\n',
    'a class': 'class A:\n    x = open({m!r}, "w")\n',
    'a format string': 'lr = f"{{open({m!r}, \'w\')}}"\n',
    'a comprehension': "lr = [open({m!r}, 'w') for _ in [0]]\n",
    'dict of another': "dict = lambda **k: open({m!r}, 'w')\nlr = dict(a=1)\n",
}


@pytest.mark.parametrize('kind', CONFIGS)
def test_report_compares_configs_without_running_them(kind, marker, tmp_path):
    (tmp_path / 'other.py').write_text(program(marker))
    bad = CONFIGS[kind].format(m=str(marker), d=tmp_path)
    a = write_work_dir(tmp_path / 'a', config=bad)
    b = write_work_dir(tmp_path / 'b', config='lr = 0.25\n')
    assert main(['report', str(a), str(b), '--out', 'page.html']) == 0
    assert not marker.exists()
    assert '0.25' in Path('page.html').read_text()


def test_a_text_of_literals_is_read_as_mmengine_reads_it():
    text = "a = dict(x=1, y=[dict(z=-0.5), ('b', None)])\nc = {'k e': True}\nd = 1e-3\n"
    assert parse(text) == Config.fromstring(text, '.py').to_dict()


@pytest.mark.parametrize(
    'text',
    ['a = ' + '[' * 5000 + ']' * 5000, 'a = ' + '-' * 90_000 + '1', 'a = x' + '.y' * 50_000,
     'a = ' + '+'.join(['1'] * 90_000), 'a = "\ud800"', 'a = (', 'a = 1\0', '1' * 3_000_000],
    ids=['brackets', 'signs', 'attributes', 'sums', 'half a character', 'open', 'NUL', 'long'],
)  # fmt: skip
def test_a_text_that_is_no_config_is_an_error_and_no_crash(text):
    with pytest.raises(ValueError):
        parse(text)


# --- checkpoints

PLACES = {
    'meta.config': lambda text: dict(meta=dict(config=text)),
    'meta.cfg': lambda text: dict(meta=dict(cfg=text)),
    'the message hub': lambda text: dict(message_hub=dict(runtime_info=dict(cfg=text)), meta={}),
}


@pytest.mark.parametrize('place', PLACES)
def test_an_inferencer_does_not_take_its_config_from_a_checkpoint(place, marker):
    from mmdet.apis import DetInferencer

    torch.save(dict(PLACES[place](program(marker)), state_dict={}), 'bad.pth')
    torch.load('bad.pth', weights_only=True)  # plain data for pickle
    with mmengine_loader.reading_without_code():
        with pytest.raises(UserError, match=r'the config inside a checkpoint.*pass model=CONFIG'):
            DetInferencer(weights='bad.pth', device='cpu')
        found = CheckpointLoader.load_checkpoint('bad.pth', 'cpu')
    assert not marker.exists() and 'gpu_ids' not in str(found)


def test_trust_keeps_the_texts(marker):
    torch.save(dict(meta=dict(config='x = 1'), state_dict={}), 'a.pth')
    with trusting(), mmengine_loader.reading_without_code():
        assert CheckpointLoader.load_checkpoint('a.pth', 'cpu')['meta']['config'] == 'x = 1'


@pytest.mark.parametrize(
    'content', [dict(meta='text'), dict(meta=dict(dataset_meta=7)), dict(message_hub=[1])]
)
def test_parts_of_other_types_are_left_to_who_needs_them(content, marker):
    mmengine_loader.without_config_texts(content)


def test_a_metainfo_in_a_checkpoint_names_no_file(marker):
    content = dict(meta=dict(dataset_meta=dict(from_file='other.py', classes=('a',))))
    mmengine_loader.without_config_texts(content)
    assert content == dict(meta=dict(dataset_meta=dict(classes=('a',))))


# --- annotations and proposals in formats that name objects


@pytest.fixture
def plain_formats(monkeypatch) -> None:
    before = dict(file_handlers)
    schemes = dict(CheckpointLoader._schemes)
    mmengine_loader.read_without_code()
    yield
    file_handlers.update(before)
    CheckpointLoader._schemes = schemes


@pytest.mark.parametrize('ending', ['yaml', 'yml', 'pkl', 'pickle'])
def test_annotations_that_name_a_call_are_refused(ending, marker, plain_formats):
    bad = Path(f'ann.{ending}')
    if ending.startswith('y'):
        bad.write_text(f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:"
                       f"pathlib.Path ['{marker}']]\n")  # fmt: skip
    else:
        bad.write_bytes(b'cposix\nsystem\n(S"touch code-has-run"\ntR.')
    with pytest.raises(UserError, match='expected (YAML|a pickle) of') as raised:
        load(str(bad))
    assert not marker.exists() and '\n' not in str(raised.value)


def test_annotations_of_plain_values_are_read(tmp_path, plain_formats):
    import pickle

    import numpy as np

    (tmp_path / 'a.yaml').write_text('a: [1, 2.5, text]\n')
    assert load(str(tmp_path / 'a.yaml')) == dict(a=[1, 2.5, 'text'])
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(dict(a=np.arange(3), b=[None])))
    assert load(str(tmp_path / 'a.pkl'))['a'].tolist() == [0, 1, 2]


# --- options of the command line: part of the config, which is code; their text is not run


def test_an_option_is_a_value_and_not_evaluated(marker):
    from moganet_dense.config.reading import parse_options

    text = f"__import__('pathlib').Path('{marker}').touch()"
    assert parse_options([f'a={text}', f'b=[{text}]'])['a'] == text
    assert not marker.exists()
