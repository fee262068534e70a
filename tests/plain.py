"""The paper's formulas on a MogaNet's parameters, one operation a line: what the backbone's
forms are compared with, and what the benchmark calls plain.

Independent of how moganet_dense.models computes: only parameters, norms and DropPath of the
modules are used. Equations: https://arxiv.org/abs/2211.03295, sections 4.2 and 4.3.
"""

import torch
import torch.nn.functional as F


def plain_ffn(mlp, z: torch.Tensor) -> torch.Tensor:
    """T = GELU(DW3x3(Conv1x1(Z)));  T <- T + s (T - GELU(T W_r));  Y = Conv1x1(T)."""
    t = mlp.drop(F.gelu(mlp.dwconv(mlp.fc1(z))))
    d = F.gelu(mlp.decompose(t))
    t = t + mlp.sigma.scale * (t - d)
    return mlp.drop(mlp.fc2(t))


def plain_context(value, u: torch.Tensor) -> torch.Tensor:
    """Depth-wise convolutions of three orders on channels split 1 : 3 : 4, then a 1x1."""
    low, middle, high = value.DW_conv0(u).split(value.split, dim=1)
    orders = [low, value.DW_conv1(middle), value.DW_conv2(high)]
    return value.PW_conv(torch.cat(orders, dim=1))


def plain_moga(attn, z: torch.Tensor, gate: str) -> torch.Tensor:
    """P + s (P - mean P), SiLU, then proj_2(SiLU(G) SiLU(V)) + Z, or SiLU twice on each."""
    p = attn.proj_1(z)
    p = p + attn.sigma.scale * (p - p.mean((2, 3), keepdim=True))
    u = F.silu(p)
    g, v = F.silu(attn.gate(u)), F.silu(plain_context(attn.value, u))
    if gate == 'double':
        g, v = F.silu(g), F.silu(v)
    return attn.proj_2(g * v) + z


def plain_block(block, x: torch.Tensor, gate: str) -> torch.Tensor:
    """X <- X + a Moga(Norm(X));  X <- X + b CA(Norm(X))."""
    moga = plain_moga(block.attn, block.norm1(x), gate)
    x = x + block.drop_path(block.layer_scale_1 * moga)
    return x + block.drop_path(block.layer_scale_2 * plain_ffn(block.mlp, block.norm2(x)))


def plain_forward(net, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Maps of the stages in ``net.out_indices``."""
    maps = []
    for i in range(net.out_indices[-1] + 1):
        patch_embed, blocks, norm = net.stage(i)
        x = patch_embed(x)
        for block in blocks:
            x = plain_block(block, x, net.gate)
        x = norm(x)
        maps.append(x)
    return tuple(maps[i] for i in net.out_indices)
