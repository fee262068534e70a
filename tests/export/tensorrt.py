"""What TensorRT imports of ONNX, by the list that its parser's project publishes.

Source: docs/operators.md of https://github.com/onnx/onnx-tensorrt, as of TensorRT 10.15 (2026-2-2),
under Apache-2.0: "TensorRT 10.15 supports operators in the inclusive range of opset 9 to opset 24".
Of its restrictions those are checked that the operators of our files could break.
"""

from collections.abc import Iterator

OPSETS = 9, 24
_NAMES = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
    BatchNormalization BlackmanWindow Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape
    Conv ConvTranspose Cos Cosh CumSum DeformConv DepthToSpace DequantizeLinear Div Dropout Einsum
    Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm
    GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization GRU HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If
    ImageScaler InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax Loop LRN LSTM LpNormalization LpPool MatMul Max MaxPool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or Pad
    ParametricSoftplus Pow PRelu QuantizeLinear RandomNormal RandomNormalLike RandomUniform
    RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence
    RMSNormalization RNN RoiAlign RotaryEmbedding Round STFT ScaledTanh Scan Scatter ScatterElements
    ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
    SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh TensorScatter ThresholdedRelu Tile TopK
    Transpose Trilu Unsqueeze Upsample Where Xor
"""
OPERATORS = frozenset(_NAMES.split())
RESIZED = dict(
    mode=('nearest', 'linear'),
    coordinate_transformation_mode=(
        'half_pixel', 'pytorch_half_pixel', 'tf_half_pixel_for_nn', 'asymmetric', 'align_corners',
    ),
    nearest_mode=('floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'),
    antialias=(0,),
)  # fmt: skip
ALLOWED = dict(
    Resize=RESIZED,
    ScatterND=dict(reduction=('none',)),
    TopK=dict(sorted=(1,)),
    AveragePool=dict(dilations=([1, 1],)),
    MaxPool=dict(dilations=([1, 1],)),
)
"""Values of attributes, by operator; what is not there has its default, which is allowed."""


def unsupported(model) -> list[str]:
    """Nodes that TensorRT does not import, and why, also in the bodies of loops."""
    constant = {weight.name for weight in model.graph.initializer}
    constant |= {node.output[0] for node in model.graph.node if node.op_type == 'Constant'}
    return [f'{node.name}: {why}' for node, why in _faults(model.graph, constant)]


def _faults(graph, constant: set[str]) -> Iterator[tuple]:
    import onnx

    for node in graph.node:
        values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type not in OPERATORS:
            yield node, node.op_type
        for name, allowed in ALLOWED.get(node.op_type, {}).items():
            value = values.get(name, allowed[0])
            value = value.decode() if isinstance(value, bytes) else value
            if value not in allowed:
                yield node, f'{node.op_type} with {name}={value}'
        if node.op_type.startswith('Reduce') and not set(node.input[1:2]) <= constant:
            yield node, f'{node.op_type} with axes that are no constant'
        if node.op_type == 'MaxPool' and len(node.output) > 1:
            yield node, 'MaxPool with indices'
        if node.op_type == 'Loop' and len(node.output) > len(node.input) - 2:
            yield node, 'Loop with a list of outputs'
        for value in values.values():
            if isinstance(value, onnx.GraphProto):
                yield from _faults(value, constant)
