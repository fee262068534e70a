"""Finds tensors of an ONNX file whose values are in other files.

An ONNX file may name any path for the values of a tensor; onnxruntime reads that file, and the
model can return its content. Files of ``moganet-dense export`` contain all values. The file is
parsed as protobuf (https://protobuf.dev/programming-guides/encoding), by the field numbers of
onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3): no package besides NumPy is
needed.
"""

from collections.abc import Iterator

_TENSOR, _SPARSE, _NODE, _ATTRIBUTE, _GRAPH, _FUNCTION, _TRAINING, _MODEL = range(8)

_PARTS = {
    _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
"""By message type: the fields with messages that may contain a tensor."""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def has_external_data(content: bytes) -> bool:
    """Whether a tensor of an ONNX file has its values in another file.

    Args:
        content: the file.

    Raises:
        ValueError: it is not protobuf.
    """
    waiting = [(_MODEL, memoryview(content))]
    while waiting:
        message, body = waiting.pop()
        for field, value in _fields(body):
            if message == _TENSOR and (
                field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value)
            ):
                return True
            inner = _PARTS[message].get(field)
            if inner is not None and isinstance(value, memoryview):
                waiting.append((inner, value))
    return False


def _fields(body: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: bytes unchanged, others as a number."""
    at = 0
    value: int | memoryview
    while at < len(body):
        tag, at = _varint(body, at)
        field, kind = (tag & 0xFFFFFFFF) >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(body, at)
        elif kind == _BYTES:
            length, at = _varint(body, at)
            value, at = body[at : at + length], at + length
        elif kind in (_EIGHT, _FOUR):
            value, at = 0, at + (8 if kind == _EIGHT else 4)
        else:
            raise ValueError(f'found a field of wire type {kind}')
        if at > len(body):
            raise ValueError('found a field that is truncated')
        yield field, value


def _varint(body: memoryview, at: int) -> tuple[int, int]:
    """A number in seven bits per byte, lowest first, and its end."""
    number = shift = 0
    while shift < 70:
        if at >= len(body):
            raise ValueError('found a number that is truncated')
        byte = body[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
    raise ValueError('found a number of more than ten bytes')
