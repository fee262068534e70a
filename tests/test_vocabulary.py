"""Documentation and code use the terms of the field; the words listed here are kept out of both.

In code, that is strings, docstrings, comments and identifiers, of the package and of the tests.
"""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = {
    r'mend(?:s|ed|ing)?': 'fix',
    'pictures?': 'image',
    'joints?': 'keypoint',
    'persons': 'people, instances',
    'told': 'reported',
    'at hand': 'available',
    'on offer': 'available',
    'passed over': 'skipped',
    'by heart': 'on the training images',
    'anew': 'again',
    'surest': 'most confident',
    'bit for bit': 'bitwise identical',
    'held (?:to|against)': 'verified against',
    'goes on': 'continues',
    'go on': 'continue',
    'breaks? off': 'is truncated',
    'broke off': 'was truncated',
    'looked at [0-9]+': 'processed',
    'data set that ships': 'bundled sample data set',
    'deploy form': 'fused model',
    'whole or not at all': 'atomically',
    'made good': 'fixed',
    'let(?:s)? through': 'accepts',
    'asks no other host': 'makes no external requests',
    'house': 'architecture',
    'shelf': 'cache',
}
PATTERN = re.compile(
    rf'(?<![A-Za-z])(?:{"|".join(word.replace(" ", "[ _]+") for word in WORDS)})(?![A-Za-z])', re.I
)
PAGES = [
    ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'SECURITY.md',
    ROOT / 'requirements/README.md', *sorted((ROOT / 'docs').glob('*.md')),
]  # fmt: skip
FOLDERS = ('moganet_dense', 'configs', 'tools', 'packages', 'requirements', 'tests', 'docs')
CODE = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob('*.py'))]
WEB = sorted((ROOT / 'moganet_dense/demo/page').glob('*.*s')) + sorted(
    (ROOT / 'moganet_dense').rglob('*.html')
)
OTHERS = re.compile(
    r'joint_weights|joint_name|num_joints|_picture_|joint_file|joint_3d|joint_valid'
    r"|'house'|'shelf'"  # kinds of stuff in COCO
)  # names of other libraries


def found(text: str) -> list[str]:
    """The words in a text."""
    return PATTERN.findall(OTHERS.sub('', ' '.join(text.split())))


def found_in_page(text: str) -> list[str]:
    """The words outside code blocks, inline code and link targets."""
    text = re.sub(r'^ *```.*?^ *```', '', text, flags=re.M | re.S)
    return found(re.sub(r'`[^`]*`|\]\([^)]*\)', '', text))


def found_in_code(text: str) -> list[str]:
    """The words in strings, comments and names; comments of several lines are joined."""
    texts, comment = [], []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comment.append(token.string.lstrip('# '))
        elif token.type != tokenize.NL and token.type != tokenize.INDENT:
            texts += [' '.join(comment)] if comment else []
            comment = []
            if token.type in (tokenize.NAME, tokenize.STRING) or 'FSTRING' in str(token):
                texts.append(token.string)
    return [word for each in [*texts, ' '.join(comment)] for word in found(each)]


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_pages_use_the_terms_of_the_field(page):
    assert found_in_page(page.read_text(encoding='utf-8')) == []


def test_code_uses_the_terms_of_the_field():
    files = [file for file in CODE if file != Path(__file__).resolve()]
    faults = {name(f): words for f in files if (words := found_in_code(f.read_text('utf-8')))}
    faults |= {name(f): words for f in WEB if (words := found(f.read_text('utf-8')))}
    assert faults == {}


def test_names_of_files_use_the_terms_of_the_field():
    files = [*CODE, *WEB, *(ROOT / 'docs').glob('*.*')]
    assert {name(file): found(file.stem) for file in files if found(file.stem)} == {}


def test_prose_is_searched_and_code_blocks_are_not():
    assert found_in_page('Start\nanew.\n```\npictures\n```\n`joints` [a](b#joints)') == ['anew']


def test_strings_comments_and_names_are_searched():
    code = 'def a_picture(x):  # it goes\n    # on\n    """Told."""\n    return f"{x} joints"\n'
    assert found_in_code(code) == ['picture', 'Told', 'joints']
    assert found_in_code('# it goes\n# on\n') == ['goes on']
    assert found_in_code("image, disjoint = 'appointed', 1  # recommended") == []
