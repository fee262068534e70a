"""The figures of a GPU benchmark as Markdown tables. Imports nothing but Python."""

from collections.abc import Callable, Iterable

from .bars import Bar, bars

Cells = list[str]


def bars_table(result: dict) -> str:
    """What is asked of this project, beside what was found."""
    tiny = result['facts'].get('tiny')
    rows = [
        [bar.what, bar.asked, bar.reach, _found(bar), bar.of, 'tiny' if tiny else _verdict(bar)]
        for bar in bars(result['rows'])
    ]
    return '\n' + _table(['bar', 'asked', 'reach for', 'found', 'of', ''], rows)


def tables(result: dict) -> str:
    """Everything else, a table for each group."""
    text = f'\n{about(result["facts"])}\n'
    for group, rows in _groups(result['rows']).items():
        head, cells = _layout(group)
        lines = [[row['name'], *(cells(row) if 'error' not in row else [])] for row in rows]
        for line, row in zip(lines, rows, strict=True):
            line += [''] * (len(head) - len(line))
            if 'error' in row:
                line[-1] = row['error'].replace('|', '\\|')
        text += f'\n{group}\n' + _table(head, lines)
    return text


def about(facts: dict) -> str:
    """What the figures are of, in a sentence."""
    versions = [f'{k} {facts[k]}' for k in ('torch', 'cuda', 'triton', 'timm') if facts.get(k)]
    text = f'{facts.get("date", "")}, {facts.get("device", "no device")}, {", ".join(versions)}'
    if 'seconds' in facts:
        text += f'; {facts["seconds"]} s' + ('' if facts.get('complete') else ', not all rows')
    return text + ('; TINY SIZES, to try the script' if facts.get('tiny') else '') + '.'


def _groups(rows: Iterable[dict]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for row in rows:
        found.setdefault(row['group'], []).append(row)
    return found


def _layout(group: str) -> tuple[Cells, Callable[[dict], Cells]]:
    """Head of a group's table, and the cells of a row."""
    if group == 'ceilings':
        return ['', 'per second', ''], lambda row: [_scaled(row['per_second'], row['unit'])]
    if group == 'checks':
        return ['', 'result', '', ''], lambda row: ['ok' if row['ok'] else 'FAILED', row['detail']]
    if group == 'depth-wise':
        sides = ('pytorch, NCHW', 'pytorch, channels_last', 'ours')
        head = ['us forward / gradients', *sides, 'floors need', '']
        return head, lambda row: [
            *(_pair(row['kernels'][side]) for side in sides),
            f'{2 * row["map_bytes"] / 1e6:.1f} / {3 * row["map_bytes"] / 1e6:.1f} MB',
        ]
    if group == 'kernel errors':
        return ['', 'ours', "PyTorch's", ''], lambda row: [
            f'{row["ours"]:.1e}',
            f'{row["pytorch"]:.1e}',
        ]
    if group == 'backbone errors':
        return ['', 'features', 'gradients', 'worst tensor', 'finite', ''], lambda row: [
            f'{row["features"]:.1e}',
            '' if row['gradients'] is None else f'{row["gradients"]:.1e}',
            row.get('tensor', ''),
            'yes' if row['finite'] else 'NO',
        ]
    return ['form', 'ms', 'quartiles', 'MB', 'launches', ''], lambda row: [
        f'{row["ms"]:.2f}',
        f'{row["low"]:.2f} to {row["high"]:.2f}',
        '' if row['mb'] is None else f'{row["mb"]:.0f}',
        '' if row['launches'] is None else str(row['launches']),
    ]


def _pair(times: dict) -> str:
    if 'error' in times:
        return 'failed'
    return f'{times["forward_us"]:.1f} / {times["gradients_us"]:.1f}'


def _scaled(value: float, unit: str) -> str:
    return f'{value / 1e12:.2f} T {unit}' if value > 1e12 else f'{value / 1e9:.1f} G {unit}'


def _found(bar: Bar) -> str:
    if bar.found is None:
        return ''
    return f'{bar.found:.1e}' if bar.found < 1e-2 else f'{bar.found:.2f}'


def _verdict(bar: Bar) -> str:
    if bar.found is None:
        return 'not measured'
    return 'met' if bar.found <= bar.limit else 'MISSED'


def _table(head: Cells, rows: list[Cells]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n' + ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines)
