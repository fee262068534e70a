"""The pages use the field's words: the worst of the old ones stay out of the prose."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = (
    'mend(?:s|ed)?', 'at hand', 'passed over', 'by heart', 'anew', 'surest', 'bit for bit',
    'held to', 'held against', 'persons', 'joints', 'pictures',
)  # fmt: skip
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').glob('*.md'))]


def found(text: str) -> list[str]:
    """Words of the list outside code blocks, inline code, link targets and headings."""
    text = re.sub(r'^ *```.*?^ *```', '', text, flags=re.M | re.S)
    text = re.sub(r'`[^`]*`|\]\([^)]*\)|^#.*$', '', text, flags=re.M)
    pattern = '|'.join(word.replace(' ', r'\s+') for word in WORDS)
    return re.findall(rf'\b(?:{pattern})\b', text, re.I)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_page_uses_the_words_of_the_field(page):
    assert found(page.read_text(encoding='utf-8')) == []


def test_prose_is_searched_and_code_is_not():
    assert found('Start\nanew.\n```\npictures\n```\n`joints` [a](b#joints)') == ['anew']
