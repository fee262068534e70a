"""What is asked of MogaNet-S on a GPU, and what of it was found in one run's rows.

A form of ours counts where it is fastest, and so do the peers and the plain formulas: each in its
faster layout. Imports nothing but Python.
"""

from collections.abc import Iterable
from dataclasses import dataclass

PEER = 'ConvNeXt-T'
DETECTION, CLASSIFICATION = '2x3x800x1280', '128x3x224x224'


@dataclass(frozen=True)
class Bar:
    """One thing that is asked.

    Attributes:
        what: is compared.
        asked: the bar in words.
        reach: what to reach for beyond it.
        limit: the largest number that meets the bar.
        found: the number; None: something that it needs was not measured.
        of: the form or case that it is of.
    """

    what: str
    asked: str
    reach: str
    limit: float
    found: float | None
    of: str = ''


def bars(rows: Iterable[dict]) -> list[Bar]:
    """All bars, in the order in which they matter."""
    rows = [row for row in rows if 'error' not in row]
    return [
        _against('inference', DETECTION, 'deploy', PEER, 1.0, '0.5', rows, graph=True),
        _against('inference', CLASSIFICATION, 'deploy', PEER, 1.2, '0.8', rows),
        _against('training', DETECTION, 'ours', PEER, 1.5, '1.0', rows),
        _against('training', DETECTION, 'ours', 'plain', 0.5, '', rows),
        _against('training', CLASSIFICATION, 'ours', PEER, 1.4, '1.0', rows),
        _against('training', CLASSIFICATION, 'ours', 'plain', 0.5, '', rows),
        *(_memory(size, rows) for size in (DETECTION, CLASSIFICATION)),
        _floor('forward', 2, 4.0, '2', rows),
        _floor('gradients', 3, 8.0, '4', rows),
        _float32(rows),
        _bfloat16(rows),
    ]


def _forms(rows: list[dict], group: str, name: str, graph: bool = False) -> list[dict]:
    """Rows of a form with any layout; compiled ones and with_cp are not what is asked about."""
    found = []
    for row in rows:
        first, *how = row['name'].split(', ')
        if row['group'] != group or first != name or {'compiled', 'with_cp'} & set(how):
            continue
        if not graph or 'graph' in how:
            found.append(row)
    return found


def _fastest(rows: list[dict]) -> dict | None:
    return min(rows, key=lambda row: row['ms'], default=None)


def _against(
    what: str,
    size: str,
    ours: str,
    other: str,
    limit: float,
    reach: str,
    rows: list[dict],
    graph: bool = False,
) -> Bar:
    group = f'{what}, {size}'
    a = _fastest(_forms(rows, group, ours, graph))
    b = _fastest(_forms(rows, group, other))
    ratio = a['ms'] / b['ms'] if a and b else None
    of = f'{a["name"]} / {b["name"]}' if a and b else ''
    return Bar(group, f'<= {limit} x {other}', reach, limit, ratio, of)


def _memory(size: str, rows: list[dict]) -> Bar:
    group = f'training, {size}'
    ours, plain = (_fastest(_forms(rows, group, name)) for name in ('ours', 'plain'))
    known = ours and plain and ours['mb'] and plain['mb']
    return Bar(
        f'peak memory of a {group.replace(",", " step,")}',
        '<= 0.6 x plain',
        '0.5',
        0.6,
        ours['mb'] / plain['mb'] if known else None,
        f'{ours["name"]} / {plain["name"]}' if known else '',
    )


def _floor(part: str, maps: int, limit: float, reach: str, rows: list[dict]) -> Bar:
    """The worst of all depth-wise kernels, in floors of the bytes that it has to move."""
    rate = next((row['per_second'] for row in rows if row['name'] == 'copy'), None)
    ratios = {
        row['name']: row['kernels']['ours'][f'{part}_us'] / (maps * row['map_bytes'] / rate * 1e6)
        for row in rows
        if rate and row['group'] == 'depth-wise' and 'error' not in row['kernels']['ours']
    }
    worst = max(ratios, key=ratios.get, default=None)
    what = f'depth-wise kernels, {part}, the worst'
    asked = f'<= {limit:g} x the floor of its bytes'
    return Bar(what, asked, reach, limit, ratios.get(worst), worst or '')


def _float32(rows: list[dict]) -> Bar:
    found = {
        row['name']: max(row['features'], row['gradients'] or 0.0)
        for row in rows
        if row['group'] == 'backbone errors' and ', fp32, ' in row['name']
    }
    if not any('kernels' in name for name in found):
        found = {}
    worst = max(found, key=found.get, default=None)
    what = 'error against float64, fp32 without TF32, the worst'
    return Bar(what, '<= 1e-5', '', 1e-5, found.get(worst), worst or '')


def _bfloat16(rows: list[dict]) -> Bar:
    found = {row['name']: row for row in rows if row['group'] == 'backbone errors'}
    ours = found.get('ours, kernels, bf16, single gate')
    plain = found.get('plain, channels_last, bf16, single gate')
    ratio = None
    if ours and plain:
        ratio = max(ours[part] / plain[part] for part in ('features', 'gradients'))
    return Bar('error in bf16 beside that of plain bf16', '<= 1.2 x', '1.0', 1.2, ratio)
