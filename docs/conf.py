"""Sphinx: pages in Markdown, the reference from docstrings and from the commands' own help."""

import sys
from typing import TypeVar

import mmengine  # noqa: F401  before ours, as in any training
from sphinx.ext.napoleon.docstring import GoogleDocstring

import moganet_dense
from moganet_dense.utils.toolbox_noise import without_toolbox_noise

with without_toolbox_noise():  # before autodoc imports them
    import mmdet.datasets  # noqa: F401
    import mmseg.datasets  # noqa: F401

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
exclude_patterns = ['_build', 'jupyter_execute']  # the second is written by myst_nb

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
    (r'py:(class|obj|data|exc)', r'\w+'),  # int, Path: of signatures and Raises
    (r'py:class', r'.* .*'),  # words before a colon in Returns
]

# The docstring of a constant is text, also before a colon; napoleon takes that for a type
GoogleDocstring._consume_inline_attribute = lambda self: ('', self._dedent(self._consume_to_end()))


def show_stars(app, context, lines: list[str]) -> None:
    """Help texts are no markup: a star in one is a star."""
    lines[:] = [line.replace('*', r'\*') for line in lines]


def leave_type_variables(app, env, node, text):
    """Type variables in signatures have no entry that a reference could lead to."""
    module, _, name = node.get('reftarget', '').rpartition('.')
    return text if isinstance(getattr(sys.modules.get(module), name, None), TypeVar) else None


def setup(app) -> None:
    app.connect('missing-reference', leave_type_variables)
    app.connect('sphinx-click-process-description', show_stars)
