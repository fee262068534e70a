"""The available models of the page, loaded on first use."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..config import metafiles
from ..config.model_files import CONFIG_ENDINGS, find_config, model_files, names_checkpoint
from ..utils.errors import UserError
from ..utils.file_kinds import kind_of
from .examples import examples_of

POSE_3D = 'pose3d'
"""Task of the models that say where keypoints are in space."""
KEPT = 2  # models in memory: a pose estimator and its detector


@dataclass(frozen=True)
class Choice:
    """An available model.

    Attributes:
        name: shown on the page.
        task: 'detection' (with or without masks), 'segmentation', 'pose', 'pose3d' or
            'classification'.
        model: a name of the zoo, the path of a config, or a FILE.onnx.
        weights: a checkpoint; None: the published ones, or of an exported file its own.
        examples: images of its data set, shown instead of those of the page.
    """

    name: str
    task: str
    model: str
    weights: str | None = None
    examples: tuple[Path, ...] = ()

    @property
    def is_exported(self) -> bool:
        """Whether it is a file that ``export`` wrote."""
        return self.model.lower().endswith('.onnx')


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

    def require_libraries(self) -> None:
        """Checks that what runs the models is installed, before the page is open.

        Raises:
            UserError: a model needs PyTorch, which is not there.
        """
        needing = [choice.name for choice in self.choices.values() if not choice.is_exported]
        if needing and not self._load and find_spec('torch') is None:
            raise UserError(
                f'{needing[0]} needs torch, which is not installed: pip install '
                "'moganet_dense[train]'; a FILE.onnx needs none"
            )

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
            self._loaded[name] = self._loader(choice)(choice.model, choice.weights)
        self._loaded.move_to_end(name)
        return self._loaded[name]

    def _loader(self, choice: Choice) -> Callable[..., Any]:
        if self._load:
            return self._load
        if choice.task == POSE_3D:
            return _load_3d
        return _load_exported if choice.is_exported else _load_model(self.cuda_graphs)


def _load_exported(file: str, weights: None) -> Any:
    from ..runtime import load

    return load(file)


def _load_3d(config: str, weights: str | None) -> Any:
    from ..config.reading import read_config
    from ..pose3d.predictor_3d import load_predictor_3d

    return load_predictor_3d(read_config(config), str(weights))


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
        elif not weights and words and _is_no_model(model, words[0]):
            raise UserError(
                f'{words[0]}: expected a checkpoint for {model}, found {kind_of(words[0])}'
            )
        yield model, weights


def _is_no_model(model: str, word: str) -> bool:
    """Whether a word after a config is a file, and neither a config nor an exported model."""
    is_config = model.lower().endswith(CONFIG_ENDINGS)
    return is_config and Path(word).is_file() and not word.endswith((*CONFIG_ENDINGS, '.onnx'))


def _is_checkpoint(word: str) -> bool:
    model = word.partition('=')[0]  # a model name or CONFIG=CHECKPOINT is another model
    return names_checkpoint(word) and not (model.endswith('.py') or metafiles.find(model))


def _choice(model: str, weights: str) -> Choice:
    """A model that is named on the command line."""
    if model.lower().endswith('.onnx'):
        if weights:
            raise UserError(f'{model}: an exported file takes no checkpoint, found {weights}')
        task = _load_exported(model, None).task
        if task == 'backbone':
            raise UserError(f'{model}: expected a model with predictions, found a backbone alone')
        return Choice(Path(model).stem, task.replace('instance segmentation', 'detection'), model)
    if Path(model).is_dir():
        files = model_files(model, weights or None)
        own = _task(files.config), files.config, _file(files.checkpoint)
        return Choice(Path(model).name, *own, _examples(files.config))
    for scope, task in metafiles.SCOPES.items():
        for entry in metafiles.entries(scope):
            if entry['Name'] == model:
                if not (weights or entry['Weights']):
                    raise UserError(
                        f'no weights are published for {model}; pass {model} CHECKPOINT'
                    )
                name = f'{model} ({Path(weights).stem})' if weights else model
                own = _file(weights) if weights else None
                return Choice(name, task, model, own, _examples(entry['Config']))
    if not (Path(model).suffix or Path(model).exists()):
        raise UserError(metafiles.no_such(model))
    find_config(model)
    if not weights:
        raise UserError(f'{model}: expected CONFIG CHECKPOINT, found no checkpoint')
    name = f'{Path(model).stem} ({Path(weights).stem})'
    return Choice(name, _task(model), model, _file(weights), _examples(model))


def _examples(config: str) -> tuple[Path, ...]:
    from ..config.reading import read_config

    return examples_of(read_config(config))


def _task(config: str) -> str:
    from ..config.reading import finds_poses_in_space, read_config

    cfg = read_config(config)
    if finds_poses_in_space(cfg):
        return POSE_3D
    return metafiles.SCOPES[cfg.default_scope]


def _file(weights: str) -> str:
    if '://' not in weights and weights != 'random' and not Path(weights).is_file():
        raise UserError(f'no such checkpoint: {weights}')
    return weights
