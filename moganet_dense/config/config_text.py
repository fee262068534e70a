"""Parses the text of a config without running it.

A work dir contains the config of its run as Python, and may come from an untrusted source. mmengine
writes assignments of literals, including ``dict(...)``; these are parsed as values. Anything else,
such as a call or an import, stays text and is shown as written.
"""

import ast
import warnings
from typing import Any

MAX_CHARACTERS = 2_000_000
MAX_NODES = 300_000
MAX_DEPTH = 60
"""Maximum depth of brackets and nested expressions; mmengine's configs have about 12."""


class Source(str):
    """The source of an expression that is not a literal; its ``repr`` has no quotes."""

    def __repr__(self) -> str:
        return str(self)


def parse(text: str) -> dict[str, Any]:
    """Names and values assigned in the text of a config.

    Args:
        text: the file, as mmengine's ``Config.dump`` writes it.

    Returns:
        values by name: literals, lists, tuples, dicts, and :class:`Source` for the rest.

    Raises:
        ValueError: it is not Python, or too long or too deeply nested.
    """
    if len(text) > MAX_CHARACTERS or _depth(text) > MAX_DEPTH:
        raise ValueError('it is too long or too deeply nested for a config')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # warnings about the text, such as unknown escapes
            tree = ast.parse(text)
        if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
            raise ValueError('it is too long for a config')
        return dict(pair for statement in tree.body for pair in _assigned(statement))
    except (SyntaxError, RecursionError, MemoryError, SystemError) as error:
        raise ValueError(f'it is no Python of literals ({type(error).__name__})') from None


def without_placeholders(text: str) -> str:
    """The text of a config whose strings have no ``{{``.

    mmengine replaces ``{{ $NAME:default }}``, ``{{ fileDirname }}`` and ``{{ _base_.x }}`` in the
    text of a config before Python reads it, across the quotes of strings, too: a class could have a
    name that is code.
    """
    return text.replace('{{', '{\\x7b')


def _assigned(statement: ast.stmt) -> list[tuple[str, Any]]:
    """(name, value) of a statement; other statements are listed by their line."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name):
            return [(target.id, _value(statement.value))]
    return [(f'(line {statement.lineno})', Source(ast.unparse(statement)))]


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        return {key.value: _value(item) for key, item in zip(node.keys, node.values, strict=True)}
    if _is_dict_call(node):
        return {word.arg: _value(word.value) for word in node.keywords}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        number = _value(node.operand)
        if type(number) in (int, float):
            return -number if isinstance(node.op, ast.USub) else number
    return Source(ast.unparse(node))


def _is_dict_call(node: ast.expr) -> bool:
    """Whether it is ``dict(a=..., b=...)`` without duplicate keys."""
    if not isinstance(node, ast.Call) or node.args:
        return False
    words = [word.arg for word in node.keywords]
    plain = isinstance(node.func, ast.Name) and node.func.id == 'dict'
    return plain and None not in words and len(set(words)) == len(words)


def _depth(text: str) -> int:
    """The maximum number of open brackets, including those in strings: an upper bound of the
    nesting for Python's parser, which can crash on deep nesting."""
    depth = deepest = 0
    for character in text:
        if character in '([{':
            depth += 1
            deepest = max(deepest, depth)
        elif character in ')]}':
            depth -= 1
    return deepest
