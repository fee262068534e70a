"""Models on the Hugging Face Hub: ``load_model('hf:owner/name')``, and what ``push`` puts there.

A repository holds ``model.safetensors`` and ``config.json`` side by side: the config as plain data,
so that nothing in it runs, and types by registered names alone. Paths of data sets, schedules and
hooks are left out.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config.metafiles import SCOPES
from ..config.registered_types import require_registered
from ..data.layouts import innermost
from ..utils.errors import UserError, one_line, reason_of
from ..utils.printable import printable
from ..utils.python_process import python
from ..utils.regular_files import read_regular
from ..weights.hub_files import snapshot
from ..weights.transfer import FLOOR, LONGEST, MINUTE

SCHEME = 'hf:'
CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
TUPLE = '$tuple'
"""Key of a tuple in the config."""
LARGEST = 10_000_000
"""Bytes of the config; 10 000 classes and their palette are 500 000."""
STARTING = 300.0
"""Seconds of an upload, besides those of its size."""
_PARTS: dict[str, Any] = dict(
    default_scope=None,
    model=None,
    test_dataloader=dict(
        batch_size=None,
        num_workers=None,
        dataset=dict(type=None, pipeline=None, data_mode=None,
                     metainfo=dict(classes=None, palette=None)),
    ),
)  # fmt: skip
"""What a config of the hub consists of."""
_ELSEWHERE = {
    'ann_file', 'backend_args', 'checkpoint', 'checkpoint_path', 'data_prefix', 'data_root',
    'file_client_args', 'name_or_path', 'pretrained', 'pretrained_model_name_or_path',
}  # fmt: skip
"""Keys of a toolbox's parts that read other files or fetch other models."""
INSTALL = 'python -m pip install huggingface_hub'


def hub() -> Any:
    """The package ``huggingface_hub``.

    Raises:
        UserError: it is not installed.
    """
    try:
        import huggingface_hub
        from huggingface_hub import get_token, hf_hub_url, try_to_load_from_cache  # noqa: F401
    except ImportError as error:
        raise UserError(f'models of the hub need huggingface_hub ({error}): {INSTALL}') from None
    return huggingface_hub


def from_hub(name: str) -> tuple[Config, str]:
    """Config and path of the weights of ``hf:owner/name`` or ``hf:owner/name@revision``; fetched
    into the hub's own cache.

    Raises:
        UserError: there is no such repository, it cannot be fetched, or it holds no such model.
    """
    repository, _, revision = name.removeprefix(SCHEME).partition('@')
    if repository.count('/') != 1 or not all(repository.split('/')):
        raise UserError(f'expected hf:owner/name or hf:owner/name@revision, found {name}')
    library = hub()
    limits = {CONFIG: LARGEST, WEIGHTS: sys.maxsize}
    try:
        folder = snapshot(library, repository, revision or 'main', limits)
    except (UserError, OSError, ValueError) as error:  # of a name that is none, or the file system
        raise UserError(f'{name} cannot be fetched: {reason_of(error)[:300]}') from None
    return from_folder(folder, name)


def from_folder(folder: Path, name: str) -> tuple[Config, str]:
    """Config and path of the weights in a folder as the hub has it.

    Raises:
        UserError: a file is missing, or the config is not one of these.
    """
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise UserError(
                f'{name}: expected {file} as `moganet-dense push` writes it, found none'
            )
    with one_line(f'{name}: {CONFIG} cannot be read'):
        content = json.loads(read_regular(folder / CONFIG, LARGEST).decode())
        if not isinstance(content, dict) or content.get('default_scope') not in SCOPES:
            raise UserError(
                f'{name}: expected a config of one of {list(SCOPES)} in {CONFIG}, found another'
            )
        _require_parts(content, _PARTS, '')
        _require_alone(content)
        require_registered(content)
        cfg = Config(_tuples(content))
    return cfg, str(folder / WEIGHTS)


def _require_parts(content: Any, parts: dict[str, Any], place: str) -> None:
    if not isinstance(content, dict) or (others := set(content) - set(parts)):
        found = sorted(others) if isinstance(content, dict) else type(content).__name__
        raise UserError(f'expected {sorted(parts)} in {place or "the config"}, found {found}')
    for key, inner in parts.items():
        if inner is not None and key in content:
            _require_parts(content[key], inner, f'{place}{key}.')


def _require_alone(value: Any) -> None:
    if isinstance(value, dict):
        if named := [key for key in value if key in _ELSEWHERE and value[key]]:
            raise UserError(f'expected a model that needs no other files, found {named[0]!r}')
        for item in value.values():
            _require_alone(item)
    elif isinstance(value, list):
        for item in value:
            _require_alone(item)


def _tuples(value: Any) -> Any:
    """Plain data with its tuples, which the toolboxes tell from lists."""
    if isinstance(value, dict):
        if set(value) == {TUPLE}:
            return tuple(_tuples(item) for item in value[TUPLE])
        return {key: _tuples(item) for key, item in value.items()}
    return [_tuples(item) for item in value] if isinstance(value, list) else value


def _without_tuples(value: Any) -> Any:
    """What :func:`_tuples` turns back, in what JSON has."""
    if isinstance(value, dict):
        return {key: _without_tuples(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_without_tuples(item) for item in value]
        return {TUPLE: items} if isinstance(value, tuple) else items
    return value


def plain_config(cfg: Config, names: Any) -> dict[str, Any]:
    """What of a config another machine needs to run the model, in plain data.

    Args:
        cfg: of the model.
        names: its :class:`~moganet_dense.inference.metainfo.Names`.
    """
    dataset = next(innermost(cfg.test_dataloader.dataset))
    kept = {k: dataset[k] for k in ('type', 'pipeline', 'data_mode') if k in dataset}
    if cfg.default_scope != 'mmpose':  # whose keypoints are those of the data set's type
        kept['metainfo'] = dict(classes=list(names.classes), palette=names.palette.tolist())
    model = cfg.model.to_dict() if hasattr(cfg.model, 'to_dict') else dict(cfg.model)
    for part in (model, model.get('backbone') or {}):
        part.pop('init_cfg', None)
        part.pop('pretrained', None)
    content = dict(
        default_scope=cfg.default_scope,
        model=model,
        test_dataloader=dict(batch_size=1, num_workers=0, dataset=kept),
    )
    return json.loads(json.dumps(_without_tuples(content), default=_refuse))


def _refuse(value: Any) -> Any:
    raise UserError(
        f'the config holds {type(value).__name__}, which JSON does not have; name classes by text'
    )


def write_folder(predictor: Any, folder: Path, repository: str) -> None:
    """Writes a model into a folder as the hub has it.

    Args:
        predictor: from :func:`~moganet_dense.inference.predictor.load_model`.
        folder: is made.
        repository: 'owner/name', for the card.

    Raises:
        UserError: the config cannot be written as JSON.
    """
    from safetensors.torch import save_file

    content = plain_config(predictor.cfg, predictor.names)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    tensors = {k: v.detach().cpu().contiguous() for k, v in predictor.model.state_dict().items()}
    save_file({k: v.clone() for k, v in tensors.items()}, folder / WEIGHTS, {'format': 'pt'})
    (folder / CARD).write_text(_card(predictor, repository), encoding='utf-8')


def _card(predictor: Any, repository: str) -> str:
    kinds = {'detection': 'object-detection', 'pose': 'keypoint-detection',
             'classification': 'image-classification'}  # fmt: skip
    tag = kinds.get(predictor.task, 'image-segmentation')
    names = ', '.join(map(_in_markdown, predictor.classes[:20])) + (
        ', ...' if len(predictor.classes) > 20 else ''
    )
    return f"""---
library_name: moganet_dense
pipeline_tag: {tag}
---

A model of {predictor.task} with a MogaNet backbone. Classes or keypoints: {names}.

```python
from moganet_dense import load_model

model = load_model('hf:{repository}')
print(model('photo.jpg'))
```
"""


def _in_markdown(name: str) -> str:
    """A name as plain text of a card: no link, heading, markup or line of its own."""
    return re.sub(r'([!-/:-@[-`{-~])', r'\\\1', printable(name, 100))


def push(predictor: Any, repository: str, private: bool = False) -> str:
    """Uploads a model; the repository is made if it is not there. Returns its URL. Nothing is
    uploaded as private to a repository that is there and public.

    The hub's client runs in a process of its own, since it would wait for a stalled server for
    ever; it is stopped after the time in which the slowest download would end.

    Raises:
        UserError: it cannot be uploaded, or not in time.
    """
    hub()
    with tempfile.TemporaryDirectory() as folder:
        write_folder(predictor, Path(folder), repository)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        limit = min(STARTING + size / FLOOR * MINUTE, LONGEST)
        command = python(_UPLOAD, repository, folder, 'private' if private else 'public')
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=limit,
                check=False,
            )  # fmt: skip
            answer = json.loads(done.stdout.decode().splitlines()[-1])
        except subprocess.TimeoutExpired:
            reason = f'it takes longer than {limit / 60:.0f} minutes'
        except (IndexError, ValueError):
            reason = f"the hub's client ended with code {done.returncode}"
        else:
            if 'url' in answer:
                return str(answer['url'])
            advice = '' if answer.get('public') else '; `hf auth login` logs in'
            reason = f'{answer["error"][:300]}{advice}'
    raise UserError(f'{repository} cannot be uploaded: {reason}')


_UPLOAD = """
import json
from huggingface_hub import HfApi
repository, folder, access = sys.argv[1:]
try:
    url = HfApi().create_repo(repository, private=access == 'private', exist_ok=True)
    if access == 'private' and not HfApi().model_info(repository).private:
        answer = dict(public=True, error='the repository is there already, and public; make it '
                      'private in its settings, or leave --private out')
    else:
        HfApi().upload_folder(repo_id=repository, folder_path=folder)
        answer = dict(url=str(url))
except Exception as error:
    answer = dict(error=' '.join(str(error).split()) or type(error).__name__)
print(json.dumps(answer))
"""
"""What uploads a folder, and prints the address or the error."""


def is_hub_name(name: Any) -> bool:
    """Whether a model is given as ``hf:owner/name``."""
    return isinstance(name, str) and name.startswith(SCHEME)
