"""An exported file made by hand: a detector that sees the same two boxes in every image."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOUND = dict(
    boxes=np.float32([[10, 20, 50, 60], [5, 5, 9, 9]]),
    scores=np.float32([0.9, 0.2]),
    labels=np.int64([0, 1]),
    image=np.int64([0, 0]),
)

NOTES = dict(
    format=1, version='0.1.0', config='tiny', task='detection', classes=['person', 'cat'],
    palette=None, mean=[0, 0, 0], std=[1, 1, 1], order='rgb', shape=None, crop=None,
    resize=dict(scale=[80, 60], keep_ratio=True), pad=dict(divisor=32, value=0), skeleton=None,
    flip_test=None, mask_threshold=None, strides=None, channels=None,
)  # fmt: skip


INPUTS = dict(
    detection=dict(images=['B', 3, 'H', 'W'], sizes=['B', 2]),
    segmentation=dict(images=['B', 3, 'H', 'W'], size=[2]),
)
"""Inputs by task; others have the images alone."""


def tiny_detector(path: Path, notes: dict = NOTES, found: dict | None = None) -> Path:
    """Writes a network that returns ``found``, whatever it sees."""
    found = FOUND if found is None else found
    nodes = [
        helper.make_node('Constant', [], [name], value=numpy_helper.from_array(value))
        for name, value in found.items()
    ]
    given = str(notes.get('task', 'detection'))
    task = 'detection' if given.startswith('instance') else given
    shapes = INPUTS.get(task, dict(images=['B', 3, 'H', 'W']))
    inputs = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64 if name == 'size' else TensorProto.FLOAT, shape
        )
        for name, shape in shapes.items()
    ]
    outputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in found.items()
    ]
    graph = helper.make_graph(nodes, 'tiny', inputs, outputs)
    opset = [helper.make_opsetid('', 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in notes.items()})
    onnx.save(model, path)
    return path
