"""``mmpretrain/utils/dependency.py``, run here, and then transformers 5 taken into account.

mmpretrain's multi-modal models inherit from names that transformers 5 no longer has. A package is
found before the module of the same name beside it, so nothing has to be imported first.
"""

from importlib import metadata
from pathlib import Path

_MODULE = Path(__file__).parents[1] / 'dependency.py'

exec(compile(_MODULE.read_text(encoding='utf-8'), str(_MODULE), 'exec'))


def _placeholder(name: str):
    def cannot_be_built(*args, **kwargs):
        raise ImportError(
            f'{name} of mmpretrain needs transformers 4, found {metadata.version("transformers")}; '
            'pip install "transformers<5"'
        )

    return cannot_be_built


def _register_placeholders(names, registry):
    for name in names:
        registry.register_module(name=name, module=_placeholder(name))


if WITH_MULTIMODAL and satisfy_requirement('transformers>=5'):  # noqa: F821  (of the file)
    WITH_MULTIMODAL = False
    register_multimodal_placeholder = _register_placeholders
