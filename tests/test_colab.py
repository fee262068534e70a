"""The notebook for Colab, cell by cell: what it hands to the shell, and its Python."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

CELLS = [
    ''.join(cell['source'])
    for cell in json.loads((ROOT / 'docs/colab.ipynb').read_text())['cells']
    if cell['cell_type'] == 'code'
]
SHORT = ' train_dataloader.dataset.indices=8 val_dataloader.dataset.indices=4'


def test_it_installs_as_the_page_of_installing_tells():
    assert CELLS[0].splitlines() == [
        '!pip install -q "$(ls moganet_dense-*.whl)[export]"',
        '!moganet-dense doctor --fix',
    ]
    page = (ROOT / 'docs/install.md').read_text()
    assert 'moganet-dense doctor --fix' in page and 'pip wheel --no-deps .' in page


@pytest.mark.long  # a training, an export
def test_its_cells_run(workspace, monkeypatch):
    monkeypatch.setenv('PATH', f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}')
    names: dict = {}
    for line in '\n'.join(CELLS[1:]).split('\n'):
        if not line.startswith('!'):
            exec(line, names)
            continue
        command = line[1:].format(**names).replace('max_epochs=2', f'max_epochs=1{SHORT}')
        done = subprocess.run(['bash', '-c', command], capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f'{command}\n{done.stderr[-2000:]}'
    assert names['drawn'] and Path('predictions').is_dir()
