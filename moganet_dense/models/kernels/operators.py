"""The kernels as operators of torch.library: coarse ones, a branch and a direction each.

PyTorch sees three operators in the forward pass of a block that it cannot look into (twice
:func:`normalized`, then Moga and the FFN, after :func:`prepared`), so that autocast,
torch.compile, checkpointing and FSDP treat them as any other. Gradients of gradients go through
the formulas.

Passing forty arguments through PyTorch's dispatcher takes 15 to 30 us each time. Where nothing
looks at operators, in eager mode, :data:`eager` has the same functions without it.
"""

from types import SimpleNamespace
from typing import cast

import torch

from ..tracing import compiling
from . import branches, calls, formulas, gradients
from .branches import FFNWeights, MogaWeights, Prepared
from .launching import launches, on_its_device

Tensor = torch.Tensor

MOGA = (
    'proj_1.weight', 'proj_1.bias', 'sigma', 'gate.weight', 'gate.bias', 'dw0.weight', 'dw0.bias',
    'dw1.weight', 'dw1.bias', 'dw2.weight', 'dw2.bias', 'value.weight', 'value.bias',
    'proj_2.weight', 'proj_2.bias', 'layer_scale',
)  # fmt: skip
"""Parameters of the spatial aggregation, in the order of its operator."""

FFN = (
    'fc1.weight', 'fc1.bias', 'dw.weight', 'dw.bias', 'row.weight', 'row.bias', 'sigma',
    'fc2.weight', 'fc2.bias', 'layer_scale',
)  # fmt: skip
"""Parameters of the channel aggregation, in the order of its operator."""

_library = torch.library.Library('moganet_dense', 'FRAGMENT')
_NORMED = 'Tensor x, Tensor z, Tensor mean, Tensor inverse, Tensor norm_weight, Tensor norm_bias'
_FLAGS = 'Tensor? factor, float eps, bool double, bool training, bool keep, ScalarType dtype'
_HEAD, _READY = 6, 6  # arguments before the parameters, and prepared weights behind them
_KEEP = -2  # place of ``keep``: whether a gradient is needed


eager = SimpleNamespace()
"""The operators as functions, for tensors that :func:`has_eager`."""

dispatched = SimpleNamespace()
"""The operators for everything else. The first two have no gradient."""


def has_eager(x: Tensor) -> bool:
    """Whether operators on ``x`` are computed at once: neither traced, nor on a tensor that stands
    for another one."""
    return type(x) in (Tensor, torch.nn.Parameter) and not x.is_meta and not compiling()


def _tensors(count: int, prefix: str = 'p') -> str:
    return ', '.join(f'Tensor {prefix}{i}' for i in range(count))


def _listed(function, names: tuple[str, ...]):
    """The function, returning the values of these keys of what it returns."""

    def listed(*arguments) -> tuple[Tensor, ...]:
        found = function(*arguments)
        return tuple(found[name] for name in names)

    return listed


def _define(name: str, arguments: str, outputs: int, function, fake) -> None:
    schema = f'{name}({arguments}) -> ({", ".join(["Tensor"] * outputs)})'
    # torch.compile keeps maps in channels_last before it: by default only since PyTorch 2.6
    _library.define(schema, tags=(torch.Tag.needs_fixed_stride_order,))
    on_device = on_its_device(function)
    for key in ('CUDA', 'CPU'):  # the CPU where Triton's interpreter runs the kernels
        _library.impl(name, on_device, key)
    setattr(eager, name, on_device)

    def without_data(*arguments):
        """Shapes and dtypes of the outputs; or the function itself, to record its launches."""
        return (fake if launches.recorded is None else function)(*arguments)

    torch.library.register_fake(f'moganet_dense::{name}', without_data, lib=_library)


def normalized(
    x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor,
    tracked: Tensor | None, training: bool, momentum: float, eps: float, dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Batch norm without a gradient: (z, mean, 1 / std), z in ``dtype``; updates statistics."""
    mean, inverse = _statistics(x, training, eps)
    running = (running_mean, running_var, tracked)
    z = calls.normalize(x, mean, inverse, weight, bias, running, training, momentum, eps, dtype)
    return z, mean, inverse


def _statistics(x: Tensor, training: bool, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and 1 / std of each channel, float32; not ``training``: memory for them."""
    if not training:
        mean, inverse = (x.new_empty(x.shape[1], dtype=torch.float32) for _ in 'mi')
        return mean, inverse
    launches.note('batch_norm_stats')
    if x.is_cuda:
        return torch.batch_norm_stats(x, eps)
    var, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
    return mean, torch.rsqrt(var + eps)


def _fake_normalized(x, weight, bias, running_mean, running_var, tracked, *rest):
    channels = x.shape[1]
    statistics = (x.new_empty(channels, dtype=torch.float32) for _ in 'mi')
    return calls.map_like(x, dtype=rest[-1]), *statistics


def prepared(*arguments) -> tuple[Tensor, ...]:
    """See :func:`.branches.prepared`: the weights, then the dtype."""
    return tuple(branches.prepared(list(arguments[:-1]), arguments[-1]))


def _fake_prepared(*arguments):
    hidden, channels = arguments[5].shape[:2]
    return tuple(branches.empty_prepared(arguments[0], channels, hidden, arguments[-1]))


def _split(names: tuple[str, ...], weights, arguments) -> tuple:
    """x, z, norm, parameters by name, prepared weights, flags."""
    at = _HEAD + len(names)
    params = dict(zip(names, arguments[_HEAD:at], strict=True))
    ready, flags = weights(*arguments[at : at + _READY]), arguments[at + _READY :]
    return *arguments[:2], arguments[2:_HEAD], params, ready, flags


def moga(*arguments) -> tuple[Tensor, ...]:
    """See :func:`.branches.moga_forward`."""
    x, z, norm, params, ready, flags = _split(MOGA, MogaWeights, arguments)
    factor, _, double, _, keep, dtype = flags
    made = branches.moga_forward(x, z, norm, params, ready, factor, double, keep, dtype)
    return made if keep else (made[0], *(x.new_empty(0) for _ in made[1:]))


def _fake_moga(*arguments):
    x, z, _, _, _, (*_, keep, dtype) = _split(MOGA, MogaWeights, arguments)
    y, batch, channels = calls.map_like(x, dtype=dtype), *x.shape[:2]
    if not keep:
        return y, *(x.new_empty(0) for _ in range(6))
    means = x.new_empty(batch, channels, dtype=torch.float32)
    return y, calls.map_like(z), means, *(calls.map_like(z) for _ in range(4))


def ffn(*arguments) -> tuple[Tensor, ...]:
    """See :func:`.branches.ffn_forward`."""
    x, z, _, params, ready, (factor, _, _, _, keep, dtype) = _split(FFN, FFNWeights, arguments)
    y, h, d = branches.ffn_forward(x, z, params, ready, factor, keep, dtype)
    return (y, h, cast(Tensor, d)) if keep else (y, x.new_empty(0), x.new_empty(0))


def _fake_ffn(*arguments):
    x, z, _, _, ready, (*_, keep, dtype) = _split(FFN, FFNWeights, arguments)
    y = calls.map_like(x, dtype=dtype)
    if not keep:
        return y, x.new_empty(0), x.new_empty(0)
    pixels = x.numel() // x.shape[1]
    h = calls.as_map(z.new_empty(pixels, ready.wide.shape[0]), z)
    return y, h, x.new_empty(pixels, dtype=torch.float32)


MOGA_GRADIENTS = (
    'x', 'proj_1.weight', 'gate.weight', 'value.weight', 'proj_2.weight', 'flat',
)  # fmt: skip
FFN_GRADIENTS = ('x', 'fc1.weight', 'fc2.weight', 'raw', 'flat')
"""What a backward operator returns. An operator must not return views of one tensor: ``flat`` and
``raw``, of which other gradients are parts, stand for them."""


def moga_backward(grad: Tensor, *arguments) -> dict[str, Tensor]:
    """See :func:`.branches.moga_backward`; the arguments of the forward pass, then what it kept."""
    x, z, norm, params, ready, rest = _split(MOGA, MogaWeights, arguments)
    factor, _, double, training, _, _, *kept = rest
    return branches.moga_backward(grad, x, z, norm, kept, params, ready, factor, double, training)


def ffn_backward(grad: Tensor, *arguments) -> dict[str, Tensor]:
    """See :func:`.branches.ffn_backward`; as :func:`moga_backward`."""
    x, z, norm, params, ready, rest = _split(FFN, FFNWeights, arguments)
    factor, _, _, training, _, _, *kept = rest
    return branches.ffn_backward(grad, x, z, norm, *kept, params, ready, factor, training)


def _fake_moga_backward(grad, *arguments):
    x, channels = arguments[0], arguments[_HEAD].shape[0]
    square = (x.new_empty(channels, channels, dtype=torch.float32) for _ in range(4))
    flat = x.new_empty(sum(gradients.moga_parts(channels).values()), dtype=torch.float32)
    return calls.map_like(x), *square, flat


def _fake_ffn_backward(grad, *arguments):
    x, (hidden, channels) = arguments[0], arguments[_HEAD].shape[:2]
    flat = sum(gradients.ffn_parts(channels, hidden).values())
    shapes = ((hidden, channels), (channels, hidden), (channels + 8, hidden), (flat,))
    return calls.map_like(x), *(x.new_empty(shape, dtype=torch.float32) for shape in shapes)


def _parts_of_moga(found: dict[str, Tensor]) -> dict[str, Tensor]:
    return gradients.split(found['flat'], gradients.moga_parts(len(found['proj_1.weight'])))


def _parts_of_ffn(found: dict[str, Tensor]) -> dict[str, Tensor]:
    hidden, channels = found['fc1.weight'].shape
    parts = gradients.split(found['flat'], gradients.ffn_parts(channels, hidden))
    return parts | {'row.weight': found['raw'][channels]}


_define(
    'normalized',
    'Tensor x, Tensor weight, Tensor bias, Tensor(a!) running_mean, Tensor(b!) running_var, '
    'Tensor(c!)? tracked, bool training, float momentum, float eps, ScalarType dtype',
    3, normalized, _fake_normalized,
)  # fmt: skip
_define(
    'prepared', f'{_tensors(15)}, ScalarType dtype', len(Prepared._fields), prepared,
    _fake_prepared,
)  # fmt: skip
for _name, _params, _kept, _function, _fake in [
    ('moga', MOGA, 6, moga, _fake_moga), ('ffn', FFN, 2, ffn, _fake_ffn),
]:  # fmt: skip
    _arguments = f'{_NORMED}, {_tensors(len(_params) + _READY)}, {_FLAGS}'
    _define(_name, _arguments, 1 + _kept, _function, _fake)
    _back, _fake_back, _returned = (
        (moga_backward, _fake_moga_backward, MOGA_GRADIENTS)
        if _name == 'moga'
        else (ffn_backward, _fake_ffn_backward, FFN_GRADIENTS)
    )
    _define(
        f'{_name}_backward', f'Tensor grad, {_arguments}, {_tensors(_kept, "kept")}',
        len(_returned), _listed(_back, _returned), _fake_back,
    )  # fmt: skip
    setattr(eager, f'{_name}_backward', on_its_device(_back))


@torch.no_grad()
def _dispatched_normalized(*arguments) -> tuple[Tensor, ...]:
    return torch.ops.moganet_dense.normalized(*arguments)


@torch.no_grad()
def _dispatched_prepared(*arguments) -> tuple[Tensor, ...]:
    return torch.ops.moganet_dense.prepared(*arguments)


dispatched.normalized, dispatched.prepared = _dispatched_normalized, _dispatched_prepared


def _register_gradient(name: str, names: tuple[str, ...], returned: tuple[str, ...], parts_of):
    """Registers the gradient of an operator.

    ``returned`` names what its backward operator returns, and ``parts_of`` finds the others there.

    As ``torch.library.register_autograd`` does, which reads the schema again for every argument
    of every call: half a millisecond for an operator of forty.
    """
    operator = getattr(torch.ops.moganet_dense, name).default
    back = getattr(torch.ops.moganet_dense, f'{name}_backward').default
    function, function_back = getattr(eager, name), getattr(eager, f'{name}_backward')
    tensors = _HEAD + len(names) + _READY + 1  # the factor of drop path; then flags
    places = {'x': 0, 'norm.weight': 4, 'norm.bias': 5}
    places.update({key: _HEAD + i for i, key in enumerate(names)})

    def below_autograd(keyset, arguments: tuple) -> tuple[Tensor, ...]:
        with torch._C._AutoDispatchBelowAutograd():
            return operator.redispatch(keyset & torch._C._after_autograd_keyset, *arguments)

    class Branch(torch.autograd.Function):
        @staticmethod
        def forward(ctx, keyset, *inputs):
            """Of the dispatcher where it has a keyset, else eager."""
            output = function(*inputs) if keyset is None else below_autograd(keyset, inputs)
            ctx.set_materialize_grads(False)
            ctx.mark_non_differentiable(*output[1:])
            ctx.flags, ctx.eager = inputs[tensors:], keyset is None
            ctx.save_for_backward(*inputs[:tensors], *output[1:])
            return output

        @staticmethod
        def backward(ctx, grad, *_):
            result: list[Tensor | None] = [None] * (tensors + 5)
            if grad is None:
                return None, *result
            saved, needed = ctx.saved_tensors, ctx.needs_input_grad[1:]
            inputs, kept = saved[:tensors], saved[tensors:]
            if torch.is_grad_enabled():
                found = formulas.gradients(name, names, grad, inputs, ctx.flags, needed)
            else:
                grad = grad.contiguous(memory_format=torch.channels_last)
                if ctx.eager and has_eager(grad):
                    found = function_back(grad, *inputs, *ctx.flags, *kept)
                else:
                    made = back(grad, *inputs, *ctx.flags, *kept)
                    found = dict(zip(returned, made, strict=True))
                    found |= parts_of(found)
            for key, at in places.items():
                if needed[at]:
                    value, like = found[key], inputs[at]
                    if value.dim() != like.dim():
                        value = value.view_as(like)
                    result[at] = value if value.dtype == like.dtype else value.to(like.dtype)
            return None, *result

    def with_gradient(keyset, *arguments) -> tuple[Tensor, ...]:
        if arguments[_KEEP]:
            return Branch.apply(keyset, *arguments)
        return below_autograd(keyset, arguments)

    def eagerly(*arguments) -> tuple[Tensor, ...]:
        return Branch.apply(None, *arguments) if arguments[_KEEP] else function(*arguments)

    _library.impl(name, with_gradient, 'Autograd', with_keyset=True)
    setattr(eager, name, eagerly)
    setattr(dispatched, name, operator)


_register_gradient('moga', MOGA, MOGA_GRADIENTS, _parts_of_moga)
_register_gradient('ffn', FFN, FFN_GRADIENTS, _parts_of_ffn)
