"""Whether the code is running, or being traced to a graph."""

import torch


def compiling() -> bool:
    """Whether torch.compile or torch.export is tracing this code."""
    if hasattr(torch.compiler, 'is_compiling'):  # since PyTorch 2.3
        return torch.compiler.is_compiling()
    return torch._dynamo.is_compiling()


def exporting() -> bool:
    """Whether the forward pass is being traced or exported."""
    is_exporting = getattr(torch.compiler, 'is_exporting', None)  # since PyTorch 2.6
    return (
        torch.jit.is_tracing()  # type: ignore[attr-defined]
        or torch.onnx.is_in_onnx_export()
        or bool(is_exporting and is_exporting())
    )
