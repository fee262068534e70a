"""Lists the models of the metafiles; needs only yaml, and torch for downloads."""

from pathlib import Path
from typing import Any

from ..config import metafiles
from ..utils.errors import UserError
from ..weights import releases


def facts() -> list[dict[str, Any]]:
    """All models: name, task, config, input, parameters, flops, weights, results, note."""
    return [
        _facts(entry, scope) for scope in metafiles.SCOPES for entry in metafiles.entries(scope)
    ]


def facts_of(name: str) -> dict[str, Any]:
    """The entry of one model.

    Raises:
        UserError: there is no such model; suggests similar names.
    """
    for model in facts():
        if model['name'] == name:
            return model
    raise UserError(metafiles.no_such(name))


def table() -> str:
    """All models as text, one line each."""
    head = ('name', 'task', 'input', 'params M', 'GFLOPs', 'published', 'weights')
    lines = [head, *(_line(model) for model in facts())]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    right = (3, 4)
    return '\n'.join(
        '  '.join(
            text.rjust(width) if k in right else text.ljust(width)
            for k, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def words(name: str) -> str:
    """One model as text, one property per line."""
    model = facts_of(name)
    shown = dict(
        model,
        parameters=f'{model["parameters"] / 1e6:.2f} M',
        flops=f'{model["flops"] / 1e9:.2f} G',
        weights=model['weights'] or 'none published',
        results=_results(model),
    )
    return '\n'.join(f'{key:12}{value}' for key, value in shown.items() if value)


def download(name: str) -> Path:
    """Downloads the published weights of a model, or of a backbone (``moganet://NAME``).

    Raises:
        UserError: no such name, none are published, or the download fails.
    """
    url = name if name.startswith(releases.SCHEME) else facts_of(name)['weights']
    if url is None:
        raise UserError(f'no weights are published for {name}')
    import mmengine  # noqa: F401  # first: imports the backbone, which imports the modules below

    from ..weights.download import locate

    return locate(url)


def _facts(entry: dict[str, Any], scope: str) -> dict[str, Any]:
    about = entry['Metadata']
    results = [
        dict(dataset=result['Dataset'], metric=metric, value=value)
        for result in entry.get('Results') or []
        for metric, value in result['Metrics'].items()
    ]
    return dict(
        name=entry['Name'],
        task=metafiles.SCOPES[scope],
        config=entry['Config'],
        input=about['Input'],
        parameters=about['Parameters'],
        flops=about['FLOPs'],
        weights=entry['Weights'],
        results=results,
        note=about.get('Note'),
    )


def _line(model: dict[str, Any]) -> tuple[str, ...]:
    return (
        model['name'],
        model['task'],
        model['input'],
        f'{model["parameters"] / 1e6:.1f}',
        f'{model["flops"] / 1e9:.1f}',
        _results(model),
        'yes' if model['weights'] else 'none',
    )


def _results(model: dict[str, Any]) -> str:
    return ', '.join(f'{row["metric"]} {row["value"]}' for row in model['results'])
