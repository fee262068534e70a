"""Sphinx: pages in Markdown, the reference from docstrings and from the commands' own help."""

import re
from pathlib import Path

import mmengine  # noqa: F401  before ours, as in any training

import moganet_dense

project = 'moganet_dense'
release = version = moganet_dense.__version__
copyright = 'the authors of moganet_dense, Apache-2.0'

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
    'sphinx_click',
    'sphinx_copybutton',
]
templates_path = ['_templates']
exclude_patterns = ['_build']

html_theme = 'furo'
html_title = 'moganet_dense'
html_show_sphinx = False

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3  # headings that links of the form page.md#heading may name
nb_execution_mode = 'off'  # a test runs the notebook; its outputs are stored in it

autodoc_member_order = 'bysource'
autodoc_typehints_format = 'short'
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Every reference has to lead somewhere, except to other projects: their sites are not read
nitpicky = True
nitpick_ignore_regex = [
    (r'py:.*', r'(?!moganet_dense)\S+\.\S+.*'),  # torch.Tensor
    (r'py:class', r'moganet_dense\..*\._\w+'),  # a private base
    (r'py:(class|obj|data|exc)', r'[A-Za-z_]+'),  # int, Path: of signatures and Raises
]

# Pages that README and index.md name before they are written. To be emptied.
WAITED_FOR = ('ship', 'report', 'use', 'explain', 'demo', 'scale')


def leave_out_absent_pages(app, docname: str, source: list[str]) -> None:
    for name in WAITED_FOR:
        if not Path(app.srcdir, f'{name}.md').exists():
            source[0] = re.sub(rf'^{name}$\n', '', source[0], flags=re.MULTILINE)
            source[0] = re.sub(rf'\[([^\]]*)\]\({name}\.md[^)]*\)', r'\1', source[0])


def setup(app) -> None:
    app.connect('source-read', leave_out_absent_pages)
