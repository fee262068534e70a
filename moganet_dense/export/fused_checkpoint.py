"""Writes a fused checkpoint, with norms merged into convolutions."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log

from ..config.model_files import CHECKPOINT_ENDINGS
from ..config.reading import read_config
from ..toolboxes.build import build, outputs
from ..toolboxes.flops import usual_shape
from ..toolboxes.load import adopt_gate, load
from ..toolboxes.model_form import map_tensors, require_moganet, switch
from ..utils.atomic import as_line, replacing, require_no_input, require_writable
from ..utils.errors import UserError
from ..weights import safetensors_file
from ..weights.conversion import recorded_gate

SAMPLE = (256, 192)  # height and width of the random image for the comparison of both forms
TOLERANCE = 1e-4  # of the largest value of an output


def deploy(config: str, checkpoint: str, out: str) -> Path:
    """Writes the fused form of a model's checkpoint.

    Args:
        config: path of a config of any task, with MogaNet as its backbone.
        checkpoint: path, URL or name; it has to match the model in every key.
        out: file to write; ``tools/test.py --deploy`` evaluates it.

    Raises:
        UserError: a mistake of the user, with its fix; or both forms differ on a random image
            by more than TOLERANCE. Then nothing is written.
    """
    require_no_input(Path(out), (config, checkpoint))
    require_writable(Path(out), CHECKPOINT_ENDINGS)
    cfg = read_config(config)
    adopt_gate(cfg, checkpoint)
    model = build(cfg).eval()
    require_moganet(model)
    content = load(model, checkpoint)
    channels = cfg.model.get('backbone', {}).get('in_channels', 3)
    shape = usual_shape(cfg) if cfg.default_scope == 'mmpose' else SAMPLE  # heads of one size
    image = torch.randn(1, channels, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = list(_tensors(outputs(model, image)))
        switch(model)
        error = _difference(list(_tensors(outputs(model, image))), before)
    if not error <= TOLERANCE:
        raise UserError(
            f'the fused model differs from the model by {error:.1e} of the largest output, '
            f'expected at most {TOLERANCE:.0e}; nothing was written'
        )
    meta = dict(content.get('meta') or {}, deployed=True)
    _write(dict(meta=meta, state_dict=model.state_dict()), Path(out))
    print_log(f'Wrote {out}; its outputs differ by {error:.1e} of the largest', 'current')
    return Path(out)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    found = []
    map_tensors(found.append, value)
    yield from found


def _difference(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """Largest error of any output, as a part of its largest value."""
    pairs = zip(found, wanted, strict=True)
    return max((a - b).abs().max().item() / max(b.abs().max().item(), 1e-30) for a, b in pairs)


def noted(content: dict) -> dict[str, str]:
    """The metadata of a safetensors file: strings only."""
    gate = recorded_gate(content)
    return dict(deployed='true', **(dict(gate=gate) if gate else {}))


def _write(content: dict, path: Path) -> None:
    """Saves a checkpoint atomically."""
    with as_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            if path.suffix == '.safetensors':
                packed = safetensors_file.packed(content['state_dict'], noted(content))
            else:  # torch writes to a disk that is full without saying so in an OSError
                torch.save(content, buffer := io.BytesIO())
                packed = buffer.getvalue()
            temporary.write_bytes(packed)
