"""The available models of the page, loaded on first use."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..config import metafiles
from ..config.model_files import model_files, names_checkpoint
from ..utils.errors import UserError

KEPT = 2  # models in memory: a pose estimator and its detector


@dataclass(frozen=True)
class Choice:
    """An available model.

    Attributes:
        name: shown on the page.
        task: 'detection' (with or without masks), 'segmentation', 'pose' or 'classification'.
        model: a model name or the path of a config.
        weights: a checkpoint; None: the published weights.
    """

    name: str
    task: str
    model: str
    weights: str | None = None


class ModelCache:
    """Models by name; the most recently used are in memory.

    Args:
        choices: the available models.
        load: loads a predictor from a model and weights; None:
            :func:`~moganet_dense.inference.predictor.load_model`.
        cuda_graphs: see there.
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        load: Callable[..., Any] | None = None,
        cuda_graphs: bool = True,
    ) -> None:
        self.choices = {choice.name: choice for choice in choices}
        self._load, self.cuda_graphs = load, cuda_graphs
        self._loaded: OrderedDict[str, Any] = OrderedDict()

    @classmethod
    def of(cls, models: Sequence[str], cuda_graphs: bool = True) -> 'ModelCache':
        """The models of the command line.

        Args:
            models: model names, configs each followed by a checkpoint, and work dirs; none: all
                models with published weights.
            cuda_graphs: see :func:`~moganet_dense.inference.predictor.load_model`.

        Raises:
            UserError: no such model or file, or it is given twice.
        """
        if not models:
            return cls(_published(), cuda_graphs=cuda_graphs)
        choices = [_choice(*pair) for pair in _pairs(models)]
        names = [choice.name for choice in choices]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f'the model {twice[0]} is given twice')
        return cls(choices, cuda_graphs=cuda_graphs)

    def get(self, name: str) -> Any:
        """The predictor of this name; loads it if it is not in memory.

        Raises:
            UserError: there is no such model, or it cannot be loaded.
        """
        if name not in self.choices:
            raise UserError('no such model on this page; reload the page')
        if name not in self._loaded:
            while len(self._loaded) >= KEPT:  # first, to free memory
                self._loaded.popitem(last=False)
            choice = self.choices[name]
            load = self._load or _load_model(self.cuda_graphs)
            self._loaded[name] = load(choice.model, choice.weights)
        self._loaded.move_to_end(name)
        return self._loaded[name]


def _load_model(cuda_graphs: bool) -> Callable[..., Any]:
    from ..inference.predictor import load_model  # takes seconds: the page is available before

    return partial(load_model, cuda_graphs=cuda_graphs)


def _published() -> list[Choice]:
    return [
        Choice(entry['Name'], task, entry['Name'])
        for scope, task in metafiles.SCOPES.items()
        for entry in metafiles.entries(scope)
        if entry['Weights']
        and scope != 'mmengine'  # video prediction does not run on a single image
    ]


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Model and checkpoint, or '': ``MODEL``, ``MODEL CHECKPOINT`` or the earlier form
    ``MODEL=CHECKPOINT``."""
    words = list(words)
    while words:
        model, _, weights = words.pop(0).partition('=')
        if not weights and words and _is_checkpoint(words[0]):
            weights = words.pop(0)
        yield model, weights


def _is_checkpoint(word: str) -> bool:
    model = word.partition('=')[0]  # a model name or CONFIG=CHECKPOINT is another model
    return names_checkpoint(word) and not (model.endswith('.py') or metafiles.find(model))


def _choice(model: str, weights: str) -> Choice:
    """A model of the command line."""
    if Path(model).is_dir():
        files = model_files(model, weights or None)
        return Choice(Path(model).name, _task(files.config), files.config, _file(files.checkpoint))
    for scope, task in metafiles.SCOPES.items():
        for entry in metafiles.entries(scope):
            if entry['Name'] == model:
                if not (weights or entry['Weights']):
                    raise UserError(
                        f'no weights are published for {model}; pass {model} CHECKPOINT'
                    )
                name = f'{model} ({Path(weights).stem})' if weights else model
                return Choice(name, task, model, _file(weights) if weights else None)
    if not Path(model).suffix:
        raise UserError(f'no such model: {model}; {metafiles.near(model)}')
    if not weights:
        raise UserError(f'{model}: expected CONFIG CHECKPOINT, found no checkpoint')
    name = f'{Path(model).stem} ({Path(weights).stem})'
    return Choice(name, _task(model), model, _file(weights))


def _task(config: str) -> str:
    from ..config.reading import read_config

    return metafiles.SCOPES[read_config(config).default_scope]


def _file(weights: str) -> str:
    if '://' not in weights and weights != 'random' and not Path(weights).is_file():
        raise UserError(f'no such checkpoint: {weights}')
    return weights
