"""Explains the prediction of a model for an image: feature maps, Grad-CAM, receptive fields, J(m).

docs/explain.md defines each, with its source.
"""

import json
import os
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from ..inference.predictor import Predictor, load_model
from ..models import MogaNet
from ..models.moganet import STRIDES
from ..results import Classification, Detections, Result
from ..utils.atomic import require_folder, write_whole
from ..utils.errors import UserError, WrongUsage
from ..utils.suggest import closest
from . import figures
from .gradcam import area, best_object, grad_cam, logit
from .interactions import Strength, Value, interaction_strength
from .receptive_field import receptive_fields, side_of

PARTS = ('pyramid', 'grad-cam', 'receptive-field', 'interactions')
GRID = 16  # patches along each side of the image, the players of J(m), as in its paper
_MISSING = {'classification': (), 'pose': ('grad-cam', 'interactions')}
SHARES = (0.5, 0.95)  # of a receptive field


@dataclass(frozen=True)
class Sampling:
    """Sample sizes for J(m), see
    :func:`~moganet_dense.explain.interactions.interaction_strength`.

    Attributes:
        orders: number of orders, evenly spaced from 0 to n - 2.
        pairs: number of pairs of patches.
        contexts: number of contexts for each pair and order.
        seed: of the sampling.
    """

    orders: int = 11
    pairs: int = 16
    contexts: int = 8
    seed: int = 0


def explain(
    model: str,
    image: str | os.PathLike,
    out: str | os.PathLike,
    weights: str | None = None,
    name: str | None = None,
    parts: Sequence[str] = (),
    sampling: Sampling | None = None,
    device: str | None = None,
) -> Path:
    """Writes figures and explain.json for one image.

    Args:
        model: a model name or the path of a config.
        image: path of an image.
        out: output folder; each file is written atomically.
        weights: see :func:`~moganet_dense.inference.predictor.load_model`.
        name: class to explain; None: the most confident one (segmentation: the largest one).
        parts: some of PARTS; none: all parts of the task.
        sampling: for J(m).
        device: PyTorch device.

    Returns:
        the path of explain.json.

    Raises:
        WrongUsage: an option would have no effect on the task.
        UserError: see :func:`~moganet_dense.inference.predictor.load_model`; the model does not
            find the class; the task does not have a part.
    """
    require_folder('--out', out)
    predictor = load_model(model, weights, device=device, cuda_graphs=False)  # hooks are used
    parts = _parts(predictor.task, parts)
    if sampling and 'interactions' not in parts:
        raise WrongUsage(
            '--pairs, --contexts and --seed would have no effect: they are for the interactions of '
            'classifiers'
        )
    case = Case.of(predictor, image, name)
    folder = Path(out)
    found: dict[str, Any] = dict(
        model=os.fspath(model), image=os.fspath(image), task=predictor.task, **case.content()
    )
    if 'pyramid' in parts:
        found['pyramid'] = _pyramid(case, folder)
    if 'grad-cam' in parts:
        found['grad_cam'] = _grad_cam(case, folder)
    if 'receptive-field' in parts:
        found['receptive_field'] = _receptive_field(case, folder)
    if 'interactions' in parts:
        found['interactions'] = _interactions(case, sampling or Sampling(), folder)
    report = folder / 'explain.json'
    write_whole(report, (json.dumps(found, indent=1) + '\n').encode())
    return report


def _parts(task: str, wanted: Sequence[str]) -> tuple[str, ...]:
    missing = _MISSING.get(task, ('interactions',))
    if absent := [part for part in wanted if part in missing]:
        raise UserError(f'{absent[0]} is not defined for {task}; see docs/explain.md')
    return tuple(wanted) or tuple(part for part in PARTS if part not in missing)


@dataclass(frozen=True)
class Case:
    """A model, an image, and the class to explain.

    Attributes:
        predictor: the model.
        inputs: (1, 3, H, W), the network input.
        sample: the data sample of the toolbox.
        seen: (h, w, 3) uint8 RGB, the network input as an image, without padding.
        result: the prediction.
        label: the class, None for pose.
    """

    predictor: Predictor
    inputs: torch.Tensor
    sample: Any
    seen: np.ndarray
    result: Result
    label: int | None

    @classmethod
    def of(cls, predictor: Predictor, image: Any, name: str | None) -> 'Case':
        """Runs the model on an image and chooses the class.

        Raises:
            WrongUsage: a class is given for a pose estimator.
            UserError: see :func:`explain`.
        """
        given = predictor.prepared(image)
        inputs, (sample,) = given['inputs'], given['data_samples']
        result = predictor(image)
        if predictor.task == 'pose' and name is not None:
            raise WrongUsage('--class would have no effect: a pose estimator has no classes')
        label = None if predictor.task == 'pose' else _label(result, predictor.classes, name)
        return cls(predictor, inputs, sample, _seen(predictor, inputs, sample), result, label)

    @property
    def name(self) -> str | None:
        """Name of the class."""
        return None if self.label is None else self.predictor.classes[self.label]

    def content(self) -> dict[str, Any]:
        """For explain.json."""
        size = list(self.inputs.shape[2:])
        return {'input_size': size, 'class': self.name}

    def box(self) -> np.ndarray | None:
        """The explained object, x1 y1 x2 y2 in pixels of ``seen``; None for other tasks."""
        if not isinstance(self.result, Detections):
            return None
        first = self.result.boxes[self.result.labels == self.label][0]
        return first * np.tile(self.sample.metainfo['scale_factor'], 2)


def _label(result: Result, classes: tuple[str, ...], name: str | None) -> int:
    if name is not None and name not in classes:
        close = ', '.join(closest(name, classes))
        raise UserError(f'--class: the model has no class {name!r}; did you mean {close}?')
    if isinstance(result, Classification):
        return result.label if name is None else classes.index(name)
    labels = result.labels.ravel()
    if not len(labels):
        raise UserError('the model finds nothing in this image, so there is nothing to explain')
    if name is None:
        best = labels[0] if isinstance(result, Detections) else np.bincount(labels).argmax()
        return int(best)
    if classes.index(name) not in labels:
        seen = ', '.join(classes[i] for i in np.unique(labels)[:5])
        raise UserError(f'--class: the model finds no {name} in this image; it finds {seen}')
    return classes.index(name)


def _seen(predictor: Predictor, inputs: torch.Tensor, sample: Any) -> np.ndarray:
    before = predictor.model.data_preprocessor
    image = inputs[0] * before.std + before.mean if hasattr(before, 'mean') else inputs[0]
    height, width = inputs.shape[2:]
    if 'detection' in predictor.task or predictor.task.startswith('instance'):
        height, width = sample.metainfo['img_shape'][:2]  # without padding
    bgr = len(image) > 3  # of three, the preprocessor has made RGB
    image = image[[2, 1, 0]] if bgr else image if len(image) == 3 else image[:1].expand(3, -1, -1)
    image = image[:, :height, :width].permute(1, 2, 0).clamp(0, 255)
    return np.asarray(image.round().byte().cpu())


def _stages(backbone: MogaNet) -> tuple[Callable, tuple[int, ...]]:
    """The backbone with the maps of all computed stages, and their strides."""
    all_of_it = copy(backbone)  # shares the layers
    all_of_it.out_indices = tuple(range(backbone.out_indices[-1] + 1))
    return all_of_it, STRIDES[: backbone.out_indices[-1] + 1]


def _pyramid(case: Case, folder: Path) -> list[dict[str, Any]]:
    backbone, strides = _stages(case.predictor.model.backbone)
    with torch.no_grad():
        maps = [np.asarray(m[0].float().cpu()) for m in backbone(case.inputs)]
    figures.save(figures.pyramid(case.seen, maps, strides), folder / 'pyramid.png')
    return [
        dict(stride=stride, channels=m.shape[0], size=list(m.shape[1:]))
        for m, stride in zip(maps, strides, strict=True)
    ]


def _grad_cam(case: Case, folder: Path) -> dict[str, Any]:
    model, task = case.predictor.model, case.predictor.task
    backbone = model.backbone
    norms = [backbone.stage(i)[2] for i in backbone.out_indices]
    if task == 'classification':
        score, layers, followed = logit(model, case.label), norms[-1:], 'logit'
    elif task == 'segmentation':
        score, layers, followed = area(model, case.label), norms, 'sum of logits over its pixels'
    else:
        score, layers = best_object(model, case.label, case.sample), norms
        followed = 'highest score'
    heat = grad_cam(model, score, layers, case.inputs)
    height, width = case.seen.shape[:2]
    drawn = figures.heat_over(case.seen, heat[:height, :width], case.name, case.box())
    figures.save(drawn, folder / 'grad_cam.png')
    return {'class': case.name, 'score': followed}


def _receptive_field(case: Case, folder: Path) -> list[dict[str, Any]]:
    backbone, strides = _stages(case.predictor.model.backbone)
    fields = receptive_fields(backbone, case.inputs)
    found = []
    for field, stride in zip(fields, strides, strict=True):
        sides = {f'side_{round(100 * share)}': side_of(field, share, stride) for share in SHARES}
        found.append(dict(stride=stride, **sides))
    halves = [row['side_50'] for row in found]
    figures.save(figures.receptive(fields, strides, halves), folder / 'receptive_field.png')
    return found


def _interactions(case: Case, sampling: Sampling, folder: Path) -> dict[str, Any]:
    players = GRID**2
    orders = np.linspace(0, players - 2, sampling.orders).round().astype(int)
    with Progress(transient=True) as progress:
        task = progress.add_task('interactions', total=len(orders) * sampling.pairs)
        value = log_odds(case.predictor.model, case.inputs, case.label)

        def counted(sets: np.ndarray) -> np.ndarray:
            progress.advance(task)
            return value(sets)

        found = interaction_strength(
            counted, players, orders.tolist(), sampling.pairs, sampling.contexts, sampling.seed
        )
    figures.save(figures.interactions(found, players, case.name), folder / 'interactions.png')
    return dict(players=players, sampling=asdict(sampling), **_plain(found))


def _plain(found: Strength) -> dict[str, list]:
    return dict(
        orders=found.orders.tolist(),
        absolute=found.absolute.tolist(),
        relative=found.relative.tolist(),
    )


def log_odds(model: torch.nn.Module, inputs: torch.Tensor, label: int) -> Value:
    """v of a classifier: log p / (1 - p) of a class, for an image with some patches visible.

    The others have the mean colour of the data, which is zero in the network input.

    Args:
        model: a classifier.
        inputs: (1, 3, H, W), normalised.
        label: the class.

    Returns:
        a function of sets of the GRID x GRID patches, as ``interaction_strength`` takes it.
    """

    @torch.no_grad()
    def value(sets: np.ndarray) -> np.ndarray:
        shown = torch.from_numpy(sets).reshape(-1, 1, GRID, GRID).to(inputs)
        shown = torch.nn.functional.interpolate(shown, inputs.shape[2:], mode='nearest')
        logits = model(inputs * shown, mode='tensor').double()
        others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
        return np.asarray((logits[:, label] - others.logsumexp(1)).cpu())

    return value
