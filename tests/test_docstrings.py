"""Docstrings of public functions, as far as tools can tell: ruff's rules D (pyproject.toml) say
that they are there and that Args are whole; here its preview rule says so of Raises."""

import json
import re
import subprocess
import sys

from conftest import ROOT

CAUGHT = {
    ('report/schema.py', 'read_record', 'ValueError'),
    ('config/config_text.py', 'parse', 'ValueError'),
}
"""Raised and caught in the same function, which the rule does not see."""


def ruff(*options: str) -> list[dict]:
    command = [sys.executable, '-m', 'ruff', 'check', '--output-format', 'json', *options]
    done = subprocess.run([*command, 'moganet_dense'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def test_docstrings_are_there_and_their_args_whole():
    assert [row['message'] for row in ruff()] == []


def test_every_error_that_a_public_function_raises_is_in_its_docstring():
    missing = set()
    for row in ruff('--preview', '--select', 'DOC501'):
        file = row['filename'].rpartition('/moganet_dense/')[2]
        before = '\n'.join(
            (ROOT / 'moganet_dense' / file).read_text().splitlines()[: row['location']['row']]
        )
        function = re.findall(r'^\s*def (\w+)', before, re.MULTILINE)[-1]
        if not function.startswith('_') and not file.startswith('commands/'):
            missing.add((file, function, re.search('`(.*?)`', row['message'])[1]))
    assert missing <= CAUGHT
