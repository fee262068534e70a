"""Files of tensors without code: https://huggingface.co/docs/safetensors (the format).

Eight bytes for the length of a header in JSON, the header, then the tensors' bytes. The header
gives each tensor's dtype, shape and place, and texts under ``__metadata__``.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch

from .conversion import WeightsError

_DTYPES = {
    'F64': torch.float64, 'F32': torch.float32, 'F16': torch.float16, 'BF16': torch.bfloat16,
    'I64': torch.int64, 'I32': torch.int32, 'I16': torch.int16, 'I8': torch.int8,
    'U8': torch.uint8, 'BOOL': torch.bool,
}  # fmt: skip


def read(path: Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """A checkpoint with the tensors under 'state_dict' and the file's texts under 'meta'.

    A text 'gate' is noted as our own checkpoints note it.

    Raises:
        WeightsError: the file is cut off or malformed.
    """
    content = bytearray(path.read_bytes())
    try:
        length = int.from_bytes(content[:8], 'little')
        header = json.loads(content[8 : 8 + length].decode())
        meta = header.pop('__metadata__', {})
        body = memoryview(content)[8 + length :]
        state = OrderedDict((name, _tensor(row, body)) for name, row in header.items())
        if not all(isinstance(text, str) for text in meta.values()):
            raise ValueError('__metadata__ of other than texts')
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise WeightsError(
            f'{path} is cut off or no safetensors file ({reason}); fetch it again'
        ) from None
    if map_location is not None and not callable(map_location):
        for name, tensor in state.items():
            state[name] = tensor.to(map_location)
    if 'gate' in meta:
        state._metadata = {'backbone': dict(gate=meta['gate'])}
    return dict(state_dict=state, meta=meta)


def packed(state: Mapping[str, torch.Tensor], meta: Mapping[str, str]) -> bytes:
    """The bytes of a file.

    Args:
        state: tensors by name.
        meta: texts for the header.

    Raises:
        KeyError: a tensor of a dtype that the format does not have.
    """
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {'__metadata__': dict(meta)}
    parts, place = [], 0
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        parts.append(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        end = place + len(parts[-1])
        row = dict(dtype=names[tensor.dtype], shape=list(tensor.shape), data_offsets=[place, end])
        header[name], place = row, end
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)  # so that tensors lie aligned
    return len(text).to_bytes(8, 'little') + text + b''.join(parts)


def _tensor(row: dict, body: memoryview) -> torch.Tensor:
    dtype, shape, (start, end) = _DTYPES[row['dtype']], row['shape'], row['data_offsets']
    if not all(type(n) is int and n >= 0 for n in (start, end, *shape)):
        raise ValueError('sizes and places are whole numbers')
    size = prod(shape) * torch.empty((), dtype=dtype).element_size()
    if not start <= end <= len(body) or end - start != size:
        raise ValueError(f'a tensor of {size} bytes in {start} to {end} of {len(body)}')
    if not size:
        return torch.empty(shape, dtype=dtype)
    part = torch.frombuffer(bytearray(body[start:end]), dtype=torch.uint8)  # a copy: aligned
    return part.view(dtype).reshape(shape)
