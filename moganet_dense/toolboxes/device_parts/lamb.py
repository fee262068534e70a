"""mmpretrain's LAMB, whose parameters are updated together."""

from collections.abc import Callable
from typing import Any

import torch
from mmpretrain.engine.optimizers import Lamb
from torch import Tensor


class DeviceLamb(Lamb):
    """mmpretrain's LAMB by few operators on all parameters, and without a wait for the GPU.

    Its options and its state, and the same function: on a CPU bitwise while the norm of all
    gradients is below ``max_grad_norm``, and beyond it up to the rounding of that norm. A step
    needs memory for two more numbers for each parameter of a group. Sparse gradients and parameters
    in other dtypes or on several devices are updated by mmpretrain's.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates all parameters that have a gradient.

        Args:
            closure: evaluates the model again.

        Returns:
            what the closure returns; None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = [[p for p in group['params'] if p.grad is not None] for group in self.param_groups]
        parameters = [parameter for group in groups for parameter in group]
        if not _alike(parameters):
            super().step()
            return loss
        largest, grads = self.defaults['max_grad_norm'], [p.grad for p in parameters]
        norm = torch.linalg.vector_norm(_norms(grads))
        torch._foreach_mul_(grads, torch.where(norm > largest, largest / norm, 1.0))
        for group, params in zip(self.param_groups, groups, strict=True):
            group['step'] = group.get('step', 0) + 1
            if params:
                self._update(group, params)
        return loss

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Updates the parameters of a group, whose gradients are clipped already."""
        (beta_1, beta_2), step, decay = group['betas'], group['step'], group['weight_decay']
        grads = [parameter.grad for parameter in params]
        means, squares = self._moments(params)
        torch._foreach_mul_(means, beta_1)
        torch._foreach_add_(means, grads, alpha=1 - beta_1 if group['grad_averaging'] else 1.0)
        torch._foreach_mul_(squares, beta_2)
        torch._foreach_addcmul_(squares, grads, grads, value=1 - beta_2)
        corrected = group['bias_correction']
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - beta_2**step) ** 0.5 if corrected else 1.0)
        torch._foreach_add_(roots, group['eps'])
        updates = torch._foreach_div(means, 1 - beta_1**step if corrected else 1.0)
        torch._foreach_div_(updates, roots)
        del roots
        if decay != 0:
            torch._foreach_add_(updates, params, alpha=decay)
        if decay != 0 or group['always_adapt']:
            _scale(updates, _trust_ratios(params, updates, group['trust_clip']))
        torch._foreach_add_(params, updates, alpha=-group['lr'])

    def _moments(self, params: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Running means of gradients and of their squares; they begin with zeros."""
        for parameter in params:
            state = self.state[parameter]
            if not state:
                state['exp_avg'] = torch.zeros_like(parameter)
                state['exp_avg_sq'] = torch.zeros_like(parameter)
        states = [self.state[parameter] for parameter in params]
        return [s['exp_avg'] for s in states], [s['exp_avg_sq'] for s in states]


def _alike(parameters: list[Tensor]) -> bool:
    """Whether all are dense, in float32 and on one device; False if there is none."""
    return bool(parameters) and all(
        p.dtype == p.grad.dtype == torch.float32
        and p.device == parameters[0].device
        and p.grad.layout == torch.strided
        for p in parameters
    )


def _norms(tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of each tensor, (tensors,)."""
    return torch.stack(torch._foreach_norm(tensors))


def _trust_ratios(params: list[Tensor], updates: list[Tensor], clipped: bool) -> Tensor:
    """The norm of each parameter over that of its update, or 1 where one of them is 0."""
    of_params, of_updates = _norms(params), _norms(updates)
    ratios = torch.where((of_params > 0) & (of_updates > 0), of_params / of_updates, 1.0)
    return ratios.clamp(max=1.0) if clipped else ratios


def _scale(tensors: list[Tensor], factors: Tensor) -> None:
    """Multiplies each tensor by its factor, in place.

    PyTorch has no operator for factors that are on the GPU, so they are repeated in the shapes of
    the tensors: in one new tensor. Sharded tensors are multiplied one by one.
    """
    if type(tensors[0]) is not Tensor:
        for tensor, factor in zip(tensors, factors.unbind(), strict=True):
            tensor.mul_(factor)
        return
    sizes = [tensor.numel() for tensor in tensors]
    repeated = torch.cat(list(map(Tensor.expand, factors.unbind(), sizes))).split(sizes)
    shaped = [r.as_strided(t.shape, t.stride()) for r, t in zip(repeated, tensors, strict=True)]
    torch._foreach_mul_(tensors, shaped)
