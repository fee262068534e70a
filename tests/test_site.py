"""The documentation: built with warnings as errors, the notebook run, commands that exist."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from conftest import ROOT

from moganet_dense.cli import COMMANDS, commands
from moganet_dense.commands.options import spread

NOTEBOOK = ROOT / 'docs/first_training.ipynb'


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip('sphinx', reason='make setup installs what builds the documentation')
    shutil.rmtree(ROOT / 'docs/reference', ignore_errors=True)  # of modules that are gone
    command = [sys.executable, '-m', 'sphinx', '-b', 'html', '-W', '--keep-going', '-q']
    done = subprocess.run(
        [*command, '-d', tmp_path / 'trees', ROOT / 'docs', tmp_path / 'html'],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    page = (tmp_path / 'html/reference/moganet_dense.models.moganet.html').read_text()
    assert 'stochastic depth' in page  # the docstring of MogaNet
    assert '--skip-nonfinite' in (tmp_path / 'html/commands.html').read_text()


@pytest.mark.long
def test_the_notebook_runs(workspace, monkeypatch):
    pytest.importorskip('nbclient', reason='make setup installs what runs the notebook')
    import nbformat
    from nbclient import NotebookClient

    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    monkeypatch.setenv('PATH', path)
    notebook = nbformat.read(NOTEBOOK, 4)
    for cell in notebook.cells:  # four steps of forty
        cell.source = re.sub(r'(max_iters|val_interval)=40', r'\1=4', cell.source)
        cell.source = cell.source.replace('dataset.indices=20', 'dataset.indices=4')
    NotebookClient(notebook, timeout=300, kernel_name='python3').execute()
    assert 'mIoU' in str(notebook.cells[-2].outputs)
    assert any('image/png' in output.get('data', {}) for output in notebook.cells[-2].outputs)


def test_the_notebook_shows_what_it_printed():
    import json

    content = json.loads(NOTEBOOK.read_text())
    for cell in content['cells']:
        if cell['cell_type'] == 'code':
            assert cell['execution_count'], 'run it, and save it with what it printed'
            assert not any(output['output_type'] == 'error' for output in cell['outputs'])


def lines() -> list[str]:
    """Commands of ours in the shell blocks of all pages."""
    found = []
    for page in sorted((ROOT / 'docs').glob('*.md')):
        for block in re.findall(r'^```bash\n(.*?)```', page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace('\\\n', ' ').splitlines():
                if line.startswith(('moganet-dense ', 'python tools/')):
                    found.append(line.partition(' #')[0].partition(' >')[0].strip())
    return found


@pytest.mark.parametrize('line', sorted(set(lines())))
def test_a_command_of_the_pages_exists_with_its_options(line):
    line = re.sub(r'"\$\(.*?\)"', 'CHECKPOINT', line)
    words = line.split()
    if words[0] == 'moganet-dense':
        name, arguments = words[1], words[2:]
    else:
        name, arguments = Path(words[1]).stem.replace('get_', ''), words[2:]
    assert name in COMMANDS
    command = commands.get_command(None, name)
    context = click.Context(command)
    command.make_parser(context).parse_args(list(spread(arguments)))  # UsageError if unknown


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md', 'requirements/README.md'])
def test_links_between_files_lead_somewhere(page):
    """As a repository's page shows them; those of docs/ the build of the site follows."""
    links = re.findall(r'\]\((?!https?:)([^)#]+)', (ROOT / page).read_text())
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
