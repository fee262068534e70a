"""Files of the safetensors format, read by its library.

The library checks the header: no overlap, no hole, no bytes after the last tensor
(https://huggingface.co/docs/safetensors). It accepts duplicate keys, which are refused here: two
readers could use different ones.
"""

import json
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from ..utils.printable import printable
from ..utils.regular_files import open_regular
from .archive import MEMBERS
from .state_dicts import WeightsError


def read(path: Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """A checkpoint with the tensors under 'state_dict' and the file's metadata under 'meta'.

    An entry 'gate' is stored as in our checkpoints.

    Raises:
        WeightsError: the file is truncated or malformed.
    """
    try:
        _require_sane_header(path)
        with safe_open(path, 'pt') as file:
            meta = dict(file.metadata() or {})
            names = file.keys()
            # copies: the library maps the file into memory, and it may change
            state = OrderedDict((name, file.get_tensor(name).clone()) for name in names)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise WeightsError(
            f'{path} is truncated or not a safetensors file ({printable(error, 200)}); '
            'download it again'
        ) from None
    if map_location is not None and not callable(map_location):
        for name, tensor in state.items():
            state[name] = tensor.to(map_location)
    if 'gate' in meta:
        metadata = {'backbone': dict(gate=meta['gate'])}
        state._metadata = metadata  # type: ignore[attr-defined]
    return dict(state_dict=state, meta=meta)


def packed(state: Mapping[str, torch.Tensor], meta: Mapping[str, str]) -> bytes:
    """The bytes of a file.

    Args:
        state: tensors by name; shared memory is written for each.
        meta: strings for the header.
    """
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    seen: set[int] = set()
    for name, tensor in own.items():
        storage = tensor.untyped_storage()
        if tensor.numel() and (storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes):
            own[name] = tensor.clone()
        seen.add(storage.data_ptr())
    return safetensors.torch.save(own, dict(meta))


def _require_sane_header(path: Path) -> None:
    """Checks the header before the library does."""
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), 'little')
        if length > min(100_000_000, path.stat().st_size):  # the library's limit and error
            return
        text = file.read(length)
    if text.startswith(b'{'):
        count = len(json.loads(text, object_pairs_hook=_once))
        if count > MEMBERS:
            raise ValueError(f'expected at most {MEMBERS} tensors, found {count}')


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f'the key {twice[:80]!r} is given twice')
    return found
