"""The branches in PyTorch's own operations, on the operators' arguments: for second derivatives."""

import torch
import torch.nn.functional as F

Tensor = torch.Tensor


def gradients(
    name: str, names: tuple[str, ...], grad: Tensor, inputs: tuple, flags: tuple, needed: tuple
) -> dict[str, Tensor]:
    """Gradients of the branch ``name`` by what is needed, differentiable themselves."""
    x, _, mean, inverse, norm_weight, norm_bias = inputs[:6]
    values = dict(zip(names, inputs[6 : 6 + len(names)], strict=True))
    eps, double, training = flags[0], flags[1], flags[2]
    values.update({'x': x, 'norm.weight': norm_weight, 'norm.bias': norm_bias})
    places = {'x': 0, 'norm.weight': 4, 'norm.bias': 5, **{n: 6 + i for i, n in enumerate(names)}}
    wanted = [key for key, at in places.items() if needed[at]]
    factor = inputs[-1]
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        if training:
            z = F.batch_norm(x, None, None, norm_weight, norm_bias, True, 0.0, eps)
        else:
            normed = (x - _per_channel(mean)) * _per_channel(inverse)
            z = normed * _per_channel(norm_weight) + _per_channel(norm_bias)
        branch = moga(z, values, double) if name == 'moga' else ffn(z, values)
        branch = _per_channel(values['layer_scale']) * branch
        if factor is not None:
            branch = factor.view(-1, 1, 1, 1) * branch
        y = (x + branch).to(grad.dtype)
        found = torch.autograd.grad(y, [values[key] for key in wanted], grad, create_graph=True)
    return dict(zip(wanted, found, strict=True))


def moga(z: Tensor, values: dict[str, Tensor], double: bool) -> Tensor:
    """The spatial aggregation of a normed map, with its own shortcut."""

    def conv(x: Tensor, name: str, dilation: int = 1) -> Tensor:
        weight = values[f'{name}.weight']
        groups = len(weight) if weight.shape[-1] > 1 else 1
        padding = dilation * (weight.shape[-1] // 2)
        bias = values[f'{name}.bias']
        return F.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=groups)

    channels = z.shape[1]
    middle, high = 3 * channels // 8, channels // 2
    p = conv(z, 'proj_1')
    u = F.silu(p + _per_channel(values['sigma']) * (p - p.mean((2, 3), keepdim=True)))
    low, mid, far = conv(u, 'dw0').split([channels - middle - high, middle, high], dim=1)
    orders = torch.cat([low, conv(mid, 'dw1', 2), conv(far, 'dw2', 3)], dim=1)
    g, v = F.silu(conv(u, 'gate')), F.silu(conv(orders, 'value'))
    if double:
        g, v = F.silu(g), F.silu(v)
    return conv(g * v, 'proj_2') + z


def ffn(z: Tensor, values: dict[str, Tensor]) -> Tensor:
    """The channel aggregation of a normed map."""
    hidden = F.conv2d(z, values['fc1.weight'], values['fc1.bias'])
    hidden = F.conv2d(
        hidden, values['dw.weight'], values['dw.bias'], padding=1, groups=hidden.shape[1]
    )
    t = F.gelu(hidden)
    d = F.gelu(F.conv2d(t, values['row.weight'], values['row.bias']))
    t = t + _per_channel(values['sigma']) * (t - d)
    return F.conv2d(t, values['fc2.weight'], values['fc2.bias'])


def _per_channel(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
