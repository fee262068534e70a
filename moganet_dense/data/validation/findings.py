"""Findings of the full check, and the report as text and as JSON."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ...utils.printable import printable
from ..data_summary import Summary

SHOWN = 5
"""Number of named examples per rule; the others are counted."""


@dataclass(frozen=True)
class Finding:
    """One violation of a rule.

    Attributes:
        rule: what was expected; the report groups findings by rule.
        found: what was found instead.
        file: where: an image, a label map or an annotation file.
        annotation: id of the annotation or image in an annotation file.
        severity: 'error', or 'warning' for data that the toolboxes handle in a defined way.
    """

    rule: str
    found: str = ''
    file: str = ''
    annotation: int | str | None = None
    severity: str = 'error'

    def where(self) -> str:
        """'id 7 of boxes.json', without unknown parts."""
        return ('' if self.annotation is None else f'id {self.annotation!r} of ') + self.file

    def place(self) -> str:
        """'id 7 of boxes.json: found ...', without unknown parts."""
        return f'{self.where()}: {self.found}' if self.file else self.found


@dataclass
class Report:
    """Findings by rule: the first examples, their number, and the number of images."""

    first: dict[tuple[str, str], list[Finding]] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    images: int = 0
    summary: Summary = field(default_factory=Summary)

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            key = finding.severity, finding.rule
            self.counts[key] = self.counts.get(key, 0) + 1
            if self.counts[key] <= SHOWN:
                self.first.setdefault(key, []).append(finding)

    def number(self, severity: str) -> int:
        """Number of findings of severity 'error' or 'warning'."""
        return sum(count for (kind, _), count in self.counts.items() if kind == severity)

    def words(self) -> str:
        """The report as text, errors first."""
        lines = []
        for kind, rule in sorted(self.first):
            lines.append(f'{kind}: {printable(rule)}')
            lines += [f'    {printable(f.place())}' for f in self.first[kind, rule] if f.place()]
            if (more := self.counts[kind, rule] - SHOWN) > 0:
                lines.append(f'    and {more} more')
        total = (
            f'{self.number("error")} errors, {self.number("warning")} warnings; '
            f'processed {self.images} images'
        )
        return '\n'.join([*lines, *map(printable, self.summary.lines()), total])

    def content(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        rules = [
            dict(
                severity=kind,
                rule=rule,
                count=self.counts[kind, rule],
                first=[asdict(f) for f in found],
            )
            for (kind, rule), found in sorted(self.first.items())
        ]
        numbers = {f'{kind}s': self.number(kind) for kind in ('error', 'warning')}
        return dict(numbers, images=self.images, rules=rules, summary=self.summary.content())
