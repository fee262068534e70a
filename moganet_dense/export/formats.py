"""Files of the two formats, and their int8 forms."""

import inspect
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.image_io import decode
from ..utils.errors import UserError
from .base import Graph
from .parity import Run

OPSET = 17
"""Version of ONNX's operators: the newest that PyTorch 2.1 writes."""
TORCH_EXPORT = (2, 6)
"""Minimum PyTorch version of the used functions of torch.export."""
NOTES = 'moganet_dense.json'
"""Extra file of a torch.export archive that holds the metadata."""
INSTALL = 'python -m pip install onnx onnxruntime'


def require(form: str) -> None:
    """Checks that the packages of the format are installed.

    Raises:
        UserError: one is missing.
    """
    if form == 'onnx':
        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
        except ImportError as error:
            raise UserError(f'export needs {error.name}: {INSTALL}') from None
    elif tuple(int(n) for n in torch.__version__.split('.')[:2]) < TORCH_EXPORT:
        raise UserError(
            f'--format torch-export needs PyTorch {".".join(map(str, TORCH_EXPORT))} or later, '
            f'found {torch.__version__}; use --format onnx, or the onedl stack'
        )


def write_onnx(
    graph: Graph, inputs: tuple[torch.Tensor, ...], fixed: bool, notes: dict, path: Path
) -> None:
    """Writes a graph as ONNX, with its metadata.

    Args:
        graph: in eval mode.
        inputs: an example of them.
        fixed: fix height and width of images to those of the example.
        notes: metadata, strings by name.
        path: of the file.
    """
    import onnx

    options = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:  # since PyTorch 2.5
        options['dynamo'] = False  # the same exporter on both stacks, and no onnxscript
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the file is checked with other sizes
        torch.onnx.export(
            graph, inputs, str(path), opset_version=OPSET, input_names=list(graph.inputs),
            output_names=list(graph.outputs), dynamic_axes=free_axes(graph, fixed), **options,
        )  # fmt: skip
        found = graph(*inputs)
    model = onnx.load(path)
    model.producer_name = 'moganet_dense'
    shapes = [each.shape for each in (found if isinstance(found, tuple) else (found,))]
    _name_sizes(model.graph.output, shapes, free_axes(graph, fixed))
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in notes.items()})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _name_sizes(outputs: Any, shapes: list[Sequence[int]], free: dict[str, dict]) -> None:
    """Restores fixed sizes of outputs, which the exporter loses."""
    for output, shape in zip(outputs, shapes, strict=True):
        own = free.get(output.name, {})
        for axis, dim in enumerate(output.type.tensor_type.shape.dim):
            if axis not in own:
                dim.dim_value = shape[axis]


def free_axes(graph: Graph, fixed: bool) -> dict[str, dict[int, str]]:
    """The dynamic axes by input and output."""
    axes = {**graph.inputs, **graph.outputs}
    if fixed:
        held = {'height', 'width'}
        axes = {
            name: {axis: word for axis, word in own.items() if word.split('_')[0] not in held}
            for name, own in axes.items()
        }
    return {name: own for name, own in axes.items() if own}


def run_onnx(path: Path, threshold: float | None = None) -> Run:
    """Calls an ONNX file with arrays in the order of its inputs; a detector with another threshold,
    which is not stored in the file."""
    import onnxruntime

    content = path.read_bytes() if threshold is None else at_threshold(path, threshold)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
    names = [each.name for each in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))


def at_threshold(path: Path, score: float) -> bytes:
    """A detector's ONNX file with another score threshold."""
    import onnx

    model = onnx.load(path)
    (held,) = (i for i in model.graph.initializer if i.name == 'threshold')
    held.CopyFrom(onnx.numpy_helper.from_array(np.array(score, np.float32), 'threshold'))
    return model.SerializeToString()


def write_torch_export(
    graph: Graph, inputs: tuple[torch.Tensor, ...], fixed: bool, notes: dict, path: Path
) -> None:
    """Writes a graph as an archive of torch.export; see :func:`write_onnx`."""
    from torch.export import Dim, export, save

    free = free_axes(graph, fixed)
    shapes = tuple(dict.fromkeys(free.get(name, {}), Dim.DYNAMIC) for name in graph.inputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = export(graph, inputs, dynamic_shapes=shapes, strict=False)
        # torch ends the process where the disk is full
        save(program, buffer := io.BytesIO(), extra_files={NOTES: json.dumps(notes)})
    path.write_bytes(buffer.getvalue())


def run_torch_export(path: Path, threshold: float | None) -> Run:
    """Calls an archive of torch.export with arrays; a detector with another threshold."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        module = torch.export.load(path).module()
    if threshold is not None:
        module.threshold.fill_(threshold)

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            found = module(*(torch.as_tensor(each) for each in inputs))
        found = found if isinstance(found, (tuple, list)) else (found,)
        return [np.asarray(each) for each in found]

    return run


def quantise(path: Path, kind: str, images: list[Path]) -> None:
    """Quantises an ONNX file to int8, in place.

    Convolutions and matrix products by weights are quantised; weights per channel, in 7 bits,
    since sums of 8 overflow on CPUs without VNNI.

    Args:
        path: of a file with metadata.
        kind: 'dynamic': ranges of activations are computed for each image; 'static': from
            ``images``.
        images: files to calibrate on.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    target = path.with_suffix('.int8')
    options = dict(
        op_types_to_quantize=['Conv', 'Gemm', 'MatMul'],
        reduce_range=True,
        extra_options=dict(MatMulConstBOnly=True),
    )
    props = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    with _no_warnings_logged():  # it logs a line for every bias, which is quantised anyway
        if kind == 'dynamic':
            quantize_dynamic(path, target, weight_type=QuantType.QUInt8, **options)
        else:
            quantize_static(
                path, target, _Calibration(path, images), quant_format=QuantFormat.QDQ,
                per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                **options,
            )  # fmt: skip
    model = onnx.load(target)
    onnx.helper.set_model_props(model, dict(props, int8=json.dumps(kind)))
    onnx.save(model, path)
    target.unlink()


@contextmanager
def _no_warnings_logged() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Calibration:
    """Inputs of a file for images, one after another: onnxruntime's CalibrationDataReader."""

    def __init__(self, path: Path, images: list[Path]) -> None:
        from ..runtime import load

        model = load(path)
        self.inputs: Iterator[dict[str, Any]] = (
            model.inputs(decode(str(image), model.color_type)) for image in images
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self.inputs, None)
