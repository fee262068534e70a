"""Models in the Hugging Face Hub's layout: written, laid into the hub's own cache, and loaded."""

import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hub_server import LIBRARIES, Hub, serving_hub
from small import small

from moganet_dense import load_model
from moganet_dense.inference.hub import CONFIG, WEIGHTS, _card, from_folder, push, write_folder
from moganet_dense.utils.errors import UserError


@pytest.fixture(scope='module')
def uploaded(tmp_path_factory):
    """A detector, and the folder that is uploaded of it."""
    folder = tmp_path_factory.mktemp('hub') / 'folder'
    torch.manual_seed(0)
    predictor = load_model(small('configs/det/retinanet_moganet_xt.py'), 'random', device='cpu')
    write_folder(predictor, folder, 'me/boxes')
    return predictor, folder


def test_what_is_uploaded_is_the_model_and_no_path_of_a_data_set(uploaded):
    _, folder = uploaded
    assert sorted(path.name for path in folder.iterdir()) == ['README.md', CONFIG, WEIGHTS]
    text = (folder / CONFIG).read_text()
    content = json.loads(text)
    assert sorted(content) == ['default_scope', 'model', 'test_dataloader']
    assert 'data/coco' not in text and 'ann_file' not in text and 'moganet://' not in text
    assert "load_model('hf:me/boxes')" in (folder / 'README.md').read_text()


@pytest.mark.parametrize('kind', LIBRARIES)
def test_a_model_of_the_hub_answers_the_same(uploaded, tmp_path, monkeypatch, kind):
    predictor, folder = uploaded
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with serving_hub(Hub(files)) as hub:
        library = LIBRARIES[kind](hub.address, str(tmp_path))
        monkeypatch.setattr('moganet_dense.inference.hub.hub', lambda: library)
        again = load_model('hf:me/boxes', device='cpu')
        image = np.random.RandomState(0).randint(0, 255, (90, 120, 3)).astype(np.uint8)
        wanted, found = predictor(image, order='rgb'), again(image, order='rgb')
        assert again.classes == predictor.classes and len(found)
        assert (found.boxes == wanted.boxes).all() and (found.scores == wanted.scores).all()
        for name in ('hf:me/other', 'hf:me/boxes@..', 'hf:me/a--b'):
            with pytest.raises(UserError, match=f'^{name} cannot be fetched: [^\n]*$'):
                load_model(name)


def test_code_by_a_config_of_the_hub_is_refused(uploaded, tmp_path):
    _, folder = uploaded
    content = json.loads((folder / CONFIG).read_text())
    for change in (dict(custom_imports=dict(imports=['os'])), dict(model=dict(type='os.system'))):
        (tmp_path / WEIGHTS).touch()
        (tmp_path / CONFIG).write_text(json.dumps(content | change))
        with pytest.raises(UserError):
            from_folder(tmp_path, 'hf:me/boxes')
    (tmp_path / CONFIG).write_text('[]')
    with pytest.raises(UserError, match='expected a config of one of'):
        from_folder(tmp_path, 'hf:me/boxes')
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r'expected model.safetensors'):
        from_folder(tmp_path, 'hf:me/boxes')


@pytest.mark.parametrize(
    ('place', 'value'),
    [
        (['custom_hooks'], []),
        (['load_from'], '/etc/passwd'),
        (['model', 'type'], 'exec(str(bytes([49])))'),
        (['model', 'test_cfg', 'nms', 'type'], 'exec(str(bytes([49])))'),
        (['model', 'backbone'], dict(type='AutoModelForCausalLM', trust_remote_code=True)),
        (['model', 'backbone'], dict(type='AutoModelForCausalLM', name_or_path='me/other')),
        (['model', 'backbone', 'init_cfg'], dict(type='Pretrained', checkpoint='/etc/passwd')),
        (['test_dataloader', 'dataset', 'data_root'], '/etc'),
        (['test_dataloader', 'dataset', 'metainfo', 'from_file'], 'mine.py'),
        (['test_dataloader', 'dataset', 'pipeline'], [dict(type='A', decode_backend='pickle')]),
        (['test_dataloader', 'dataset', 'pipeline'], [dict(type='A', backend_args=dict(a=1))]),
        (['model', 'neck'], json.loads("[" * 90 + "]" * 90)),
    ],
)  # fmt: skip
def test_a_config_of_the_hub_names_no_file_and_no_other_model(place, value, uploaded, tmp_path):
    content = json.loads((uploaded[1] / CONFIG).read_text())
    *way, last = place
    part = content
    for key in way:
        part = part[key]
    part[last] = value
    (tmp_path / WEIGHTS).touch()
    text = json.dumps(content)
    if last == 'neck':
        text = text.replace('[' * 90, '[' * 90_000).replace(']' * 90, ']' * 90_000)
    (tmp_path / CONFIG).write_text(text)
    with pytest.raises(UserError, match=r'^[^\n]*(expected|pickle|belongs|recursion)[^\n]*$'):
        from_folder(tmp_path, 'hf:me/boxes')


def test_a_config_of_the_hub_of_40_gb(uploaded, tmp_path):
    (tmp_path / WEIGHTS).touch()
    (tmp_path / CONFIG).touch()
    os.truncate(tmp_path / CONFIG, 40 << 30)
    with pytest.raises(UserError, match='42 950 MB'):
        from_folder(tmp_path, 'hf:me/boxes')


def test_names_of_classes_are_plain_text_in_the_card(uploaded):
    names = ['# a', '[x](http://y)', 'a\n---\nlicense: mit', '<img src=x>', '`b`', 'tram_2', 'é']
    card = _card(SimpleNamespace(task='detection', classes=names), 'me/boxes')
    line = next(line for line in card.splitlines() if line.startswith('A model of'))
    assert card.count('\n---\n') == 1 and 'é' in line and '\\é' not in line
    assert re.sub(r'\\(.)', r'\1', line).endswith(
        r'# a, [x](http://y), a\n---\nlicense: mit, <img src=x>, `b`, tram_2, é.'
    )
    assert not re.search(r'(?<!\\)[][#<>`()]', line)


CLIENT = """
import json, os, sys, time
from pathlib import Path
from types import SimpleNamespace
print('noise of the client')
class HfApi:
    def create_repo(self, *args, **options):
        note(args, options)
        return 'https://huggingface.co/me/boxes'
    def model_info(self, repo_id):
        return SimpleNamespace(private=repo_id != 'me/public')
    def upload_folder(self, repo_id, folder_path):
        note(repo_id, sorted(path.name for path in Path(folder_path).iterdir()))
        if repo_id == 'me/slow':
            time.sleep(60)
            note('uploaded')
        if repo_id == 'me/forbidden':
            raise RuntimeError('403\\nForbidden')
        if repo_id == 'me/crash':
            os._exit(9)
def note(*call):
    with open(os.environ['CALLS'], 'a') as file:
        print(json.dumps(call), file=file)
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What a client, in place of the hub's, is called with."""
    (tmp_path / 'huggingface_hub.py').write_text(CLIENT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('CALLS', str(tmp_path / 'calls'))
    monkeypatch.setattr('moganet_dense.inference.hub.hub', lambda: None)
    return tmp_path / 'calls'


def test_push_makes_the_repository_and_uploads_the_folder(uploaded, calls):
    assert push(uploaded[0], 'me/boxes', private=True) == 'https://huggingface.co/me/boxes'
    assert [json.loads(line) for line in calls.read_text().splitlines()] == [
        [['me/boxes'], dict(private=True, exist_ok=True)],
        ['me/boxes', ['README.md', CONFIG, WEIGHTS]],
    ]


def test_a_private_model_is_not_uploaded_to_a_public_repository(uploaded, calls):
    with pytest.raises(UserError, match='there already, and public; make it private in its'):
        push(uploaded[0], 'me/public', private=True)
    assert len(calls.read_text().splitlines()) == 1  # nothing was uploaded
    assert push(uploaded[0], 'me/public')


@pytest.mark.slow
def test_an_upload_that_fails_or_does_not_end_is_one_line(uploaded, calls, monkeypatch):
    with pytest.raises(UserError, match='uploaded: 403 Forbidden; `hf auth login` logs in'):
        push(uploaded[0], 'me/forbidden')
    with pytest.raises(UserError, match="the hub's client ended with code 9"):
        push(uploaded[0], 'me/crash')
    monkeypatch.setattr('moganet_dense.inference.hub.LONGEST', 3)
    with pytest.raises(UserError, match='me/slow cannot be uploaded: it takes longer than'):
        push(uploaded[0], 'me/slow')
    assert '"uploaded"' not in calls.read_text()  # it was not waited for


def test_names_of_the_hub(monkeypatch):
    with pytest.raises(UserError, match='expected hf:owner/name'):
        load_model('hf:boxes')
    monkeypatch.setitem(__import__('sys').modules, 'huggingface_hub', None)
    with pytest.raises(UserError, match='python -m pip install huggingface_hub'):
        load_model('hf:me/boxes')
