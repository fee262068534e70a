"""The table of attacks in docs/reliability.md: every row has its test."""

import re

from conftest import ROOT

BOMBS = ('bombs.py', 'data_bombs.py')


def test_every_row_names_a_test_that_is_there():
    text = (ROOT / 'docs/reliability.md').read_text().partition('## Attacks')[2]
    rows = [line for line in text.splitlines() if line.startswith('| ') and '.py` `' in line]
    assert len(rows) >= 100
    missing = []
    for row in rows:
        file, words = re.search(r'\| `(\S+\.py)` `(.+)` \|$', row).groups()
        path = ROOT / 'tests' / file
        content = path.read_text() if path.exists() else ''
        if file.endswith('size_bombs.py'):
            content += ''.join((ROOT / 'tests' / f).read_text() for f in BOMBS)
        if words not in content:
            missing.append((file, words))
    assert missing == []
