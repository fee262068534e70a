"""Pages that are written by a command are what the command writes."""

import re
import shlex
from pathlib import Path

import click
import make_benchmarks
import make_photographs
import make_scale
import pytest
from conftest import ROOT
from PIL import Image
from small import small

import moganet_dense
from moganet_dense import load_model
from moganet_dense.cli import commands
from moganet_dense.config import metafiles
from moganet_dense.config.reading import read_config
from moganet_dense.toolboxes.build import build


def test_the_page_of_benchmarks_is_up_to_date():
    assert (ROOT / 'docs/benchmarks.md').read_text() == make_benchmarks.page()


def test_the_tables_of_scale_are_those_of_the_figures():
    assert (ROOT / 'docs/scale.md').read_text() == make_scale.page()


@pytest.mark.parametrize('name', make_photographs.MODELS)
def test_the_models_of_the_photographs_can_be_built(name, tmp_path):
    """Their changes fit the published configs: known options, and what predict needs."""
    file = tmp_path / f'{name}.py'
    file.write_text(make_photographs.config(name, tmp_path))
    cfg = read_config(file)
    assert cfg.model.backbone.arch == 'xt' and cfg.model.backbone.layer_scale_init_value == 0.1
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root.startswith(str(tmp_path))
    assert build(cfg) is not None


def test_the_photographs_are_small_and_credited():
    file, page = ROOT / 'docs/photographs.jpg', (ROOT / 'docs/use.md').read_text()
    assert Image.open(file).width == make_photographs.WIDTH and file.stat().st_size < 120_000
    assert f'{make_photographs.SHOWN}.jpg' in page and 'licenses/by/2.0' in page


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(rf'^```{language}\n(.*?)^```', text, re.MULTILINE | re.DOTALL)


TASK_PAGES = [f'docs/{path.name}' for path in sorted((ROOT / 'docs').glob('task_*.md'))]
FORMATS = [f'docs/{path.name}' for path in sorted((ROOT / 'docs').glob('format_*.md'))]


@pytest.mark.parametrize(
    'page, least',
    [
        ('docs/use.md', 8),
        ('docs/finetune.md', 8),
        ('docs/train.md', 2),
        ('docs/pose.md', 10),
        ('docs/newcomers.md', 0),
        *((page, 5) for page in TASK_PAGES),
        *((page, 1) for page in FORMATS),
    ],
)
def test_commands_of_a_page_are_commands(page, least, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = '\n'.join(blocks(page, 'bash')).splitlines()
    lines = [line for line in lines if '_COMPLETE' not in line]
    calls = [line.partition('moganet-dense ')[2] for line in lines if 'moganet-dense ' in line]
    assert len(calls) >= least
    for call in calls:
        if call.startswith('init '):  # which wants the folder to be there
            Path(call.split()[1]).mkdir(parents=True, exist_ok=True)
        words = shlex.split(call.partition('>')[0], comments=True)
        context = click.Context(commands)
        name, command, rest = commands.resolve_command(context, words)
        if isinstance(command, click.Group) and rest:
            name, command, rest = command.resolve_command(click.Context(command), rest)
        command.make_context(name, rest)  # fails on what it does not know


@pytest.mark.slow
def test_the_python_of_the_page_on_use_runs(tmp_path, monkeypatch, capsys):
    """With small models in place of those that are to be fetched."""
    Image.new('RGB', (90, 60), 'red').save(tmp_path / 'photo.jpg')
    monkeypatch.chdir(tmp_path)

    def load_small(name, **options):
        entry = metafiles.find(name.replace('_s', '_xt'))
        cfg = small(Path(entry['Config']).relative_to(ROOT))
        return load_model(cfg, 'random', **options | dict(device='cpu'))

    monkeypatch.setattr(moganet_dense, 'load_model', load_small, raising=False)
    tiles, use, _, backbone, _ = blocks('docs/use.md', 'python')
    names: dict = {}
    exec(use, names)
    exec(tiles, names)
    assert names['found'].names == names['detector'].names.classes
    exec(backbone, {})
    said = capsys.readouterr().out
    assert '(4, 8, 16, 32)' in said and 'nose' in said and '[128, 320, 512] [8, 16, 32]' in said
