"""Reads PTX: functions, their blocks of instructions, and the types of their registers."""

import re
from typing import NamedTuple

JUMPS = ('bra', 'brx', 'ret')

_FUNCTION = re.compile(r'\.(entry|func)\s+([\w$]+)\s*\((.*?)\)\s*(?:\.\w+[^{;]*)?([{;])', re.DOTALL)
_STATEMENT = re.compile(
    r'\s*(?:(?P<label>\$?[\w$]+):(?!:)|(?P<text>[^;{}]*(?:\{[^{};]*\}[^;{}]*)*);|(?P<brace>[{}]))'
)
_INSTRUCTION = re.compile(r'(?:@(!?)(%\w+)\s+)?([a-z][\w.:]*)\s*(.*)$', re.DOTALL)


class Instruction(NamedTuple):
    """``@guard name.suffixes arguments;``: done where the register ``guard`` is true."""

    name: str
    suffixes: tuple[str, ...]
    arguments: tuple[str, ...]
    guard: str | None
    negated: bool
    text: str


class Function:
    """Parameters (type, name), blocks of instructions, and where labels are among them."""

    def __init__(self, name: str, parameters: str, body: str) -> None:
        self.name = name
        self.parameters = [
            (re.search(r'\.([usbf]\d+)', text).group(1), text.split()[-1])
            for text in parameters.split(',')
            if text.strip()
        ]
        self.registers: dict[str, str] = {}
        """Types by the beginning of a register's name."""
        self.blocks: list[list[Instruction]] = [[]]
        self.labels: dict[str, int] = {}
        self.tables: dict[str, list[str]] = {}
        """Labels that an indexed jump selects from."""
        self._read(body)

    def _read(self, body: str) -> None:
        at, label = 0, ''
        while match := _STATEMENT.match(body, at):
            at = match.end()
            if match['label']:
                label = match['label']
                if self.blocks[-1]:
                    self.blocks.append([])
                self.labels[label] = len(self.blocks) - 1
            elif match['text'] and match['text'].strip():
                self._add(match['text'].strip(), label)
        assert not body[at:].strip(), body[at:]

    def _add(self, text: str, label: str) -> None:
        if text.startswith('.branchtargets'):
            self.tables[label] = text.removeprefix('.branchtargets').replace(',', ' ').split()
        elif declared := re.match(r'\.reg\s+\.(\w+)\s+(%\w+)<', text):
            self.registers[declared[2]] = declared[1]
        elif not text.startswith('.'):
            negated, guard, name, rest = _INSTRUCTION.match(text).groups()
            name, *suffixes = name.replace('::', '.').split('.')
            self.blocks[-1].append(
                Instruction(name, tuple(suffixes), parts_of(rest), guard, bool(negated), text)
            )
            if name in JUMPS:
                self.blocks.append([])


class Module:
    """The functions of a file, and the kernel among them."""

    def __init__(self, ptx: str) -> None:
        ptx = re.sub(r'//[^\n]*|^\s*\.loc[^\n]*', '', ptx, flags=re.MULTILINE)
        self.functions: dict[str, Function] = {}
        for match in _FUNCTION.finditer(ptx):
            kind, name, parameters, begin = match.groups()
            if begin == '{':
                body = ptx[match.end() : _end_of(ptx, match.end())]
                self.functions[name] = Function(name, parameters, body)
                if kind == 'entry':
                    self.entry = self.functions[name]


def _end_of(text: str, at: int) -> int:
    """Where the brace that was opened before ``at`` is closed."""
    depth = 1
    for match in re.finditer(r'[{}]', text[at:]):
        depth += 1 if match[0] == '{' else -1
        if depth == 0:
            return at + match.start()
    raise AssertionError('a brace is not closed')


def parts_of(text: str) -> tuple[str, ...]:
    """What commas separate, outside of brackets."""
    return tuple(re.findall(r'\s*((?:\{[^}]*\}|\[[^]]*\]|\([^)]*\)|[^,\s])+)', text))
