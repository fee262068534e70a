"""Exported files whose network computes in float16: half the size, for GPUs.

Inputs, outputs and the post-processing stay float32, in which coordinates have fractions of pixels.
onnxruntime's converter (``onnxruntime.transformers.float16``) is not used: it changes the type of
values that the bodies of ``If`` and ``Loop`` read from around them, and such files do not load.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

NETWORK = ('/model/', '/backbone/')
"""Names of the nodes of the network start with one of these; others are the post-processing."""
FULL = '/ham/'
"""Part of the names of nodes of the network that stay float32: Ham adds up all positions."""
_HALF = (
    'Add AveragePool BatchNormalization Clip Concat Conv ConvTranspose Div Einsum Erf Exp Expand '
    'Flatten Gather Gemm GlobalAveragePool HardSigmoid HardSwish Identity InstanceNormalization '
    'LayerNormalization LeakyRelu MatMul Max MaxPool Min Mul Neg Pad Pow Reciprocal ReduceMean '
    'ReduceSum Relu Reshape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Tanh Tile Transpose '
    'Unsqueeze Where'
)
HALF = frozenset(_HALF.split())
"""Operators that compute in float16 where all of their values of floats are float16."""
LARGEST = float(np.finfo(np.float16).max)


def to_half(path: Path) -> None:
    """Converts a file, in place; its metadata stay."""
    import onnx

    model = onnx.load(path)
    _fold_constants(model.graph)
    _HalfGraph(model).convert()
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _fold_constants(graph: Any) -> None:
    """Turns constants into initializers, and uses shared initializers by their own names."""
    from onnx import numpy_helper

    known = {value.name for value in graph.initializer}
    same: dict[str, str] = {}
    kept = []
    for node in graph.node:
        if node.op_type == 'Constant' and node.attribute[0].name == 'value':
            value = numpy_helper.to_array(node.attribute[0].t)
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
        elif node.op_type == 'Identity' and node.input[0] in known:
            same[node.output[0]] = same.get(node.input[0], node.input[0])
        else:
            kept.append(node)
    outputs = {value.name for value in graph.output}
    if not outputs & set(same):
        for node in kept:
            _rename_inputs(node, same)
        del graph.node[:]
        graph.node.extend(kept)


def _rename_inputs(node: Any, names: dict[str, str]) -> None:
    """Also in the bodies of loops, which read values from around them."""
    for i, name in enumerate(node.input):
        node.input[i] = names.get(name, name)
    for attribute in node.attribute:
        if attribute.HasField('g'):
            for inner in attribute.g.node:
                _rename_inputs(inner, names)
            for output in attribute.g.output:
                output.name = names.get(output.name, output.name)


class _HalfGraph:
    """Conversion of one graph: values of the network get a float16 twin, with this ending."""

    ending = '_half'

    def __init__(self, model: Any) -> None:
        from onnx import TensorProto, numpy_helper, shape_inference

        self.graph = model.graph
        inferred = shape_inference.infer_shapes(model).graph
        values = [*inferred.input, *inferred.output, *inferred.value_info]
        self.floats = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
        self.weights = {
            weight.name: numpy_helper.to_array(weight)
            for weight in self.graph.initializer
            if weight.data_type == TensorProto.FLOAT
        }
        self.floats |= set(self.weights)
        self.twins: set[str] = set()
        self.produced: set[str] = set()  # by nodes in float16
        self.wanted = self._read_as_floats()

    def convert(self) -> None:
        nodes = []
        for node in self.graph.node:
            nodes += self._half(node) if self._is_half(node) else [node]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        del self.graph.value_info[:]  # their types have changed
        kept = [
            w for w in self.graph.initializer if w.name in self.wanted or w.name not in self.weights
        ]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        self._add_half_weights()

    def _is_half(self, node: Any) -> bool:
        return (
            node.op_type in HALF
            and node.name.startswith(NETWORK)
            and FULL not in node.name
            and any(name in self.floats for name in node.output)
        )

    def _half(self, node: Any) -> Iterator[Any]:
        """The node in float16, after casts of its inputs and before those of its outputs."""
        from onnx import TensorProto, helper

        for i, name in enumerate(node.input):
            if name not in self.floats:
                continue
            twin = name + self.ending
            if name not in self.weights and name not in self.produced and name not in self.twins:
                yield helper.make_node('Cast', [name], [twin], twin, to=TensorProto.FLOAT16)
            self.twins.add(name)
            node.input[i] = twin
        outputs = [name for name in node.output if name in self.floats]
        for i, name in enumerate(node.output):
            if name in self.floats:
                node.output[i] = name + self.ending
                self.produced.add(name)
        yield node
        for name in outputs:
            if name in self.wanted:
                twin = name + self.ending
                yield helper.make_node('Cast', [twin], [name], name, to=TensorProto.FLOAT)

    def _read_as_floats(self) -> set[str]:
        """Values that outputs, nodes in float32 or bodies of loops read."""
        found = {value.name for value in self.graph.output}
        for node in self.graph.node:
            if not self._is_half(node):
                found |= set(_read_by(node))
        return found

    def _add_half_weights(self) -> None:
        from onnx import numpy_helper

        for name in sorted(self.twins & set(self.weights)):
            value = np.clip(self.weights[name], -LARGEST, LARGEST).astype(np.float16)
            self.graph.initializer.append(numpy_helper.from_array(value, name + self.ending))


def _read_by(node: Any) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField('g'):
            yield from (value.name for value in attribute.g.output)
            for inner in attribute.g.node:
                yield from _read_by(inner)
