"""Races of our kernels against torch's on the device at hand, in which the right ones take part."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn

from regmix_bench.kernels.batch_norm import batch_norm, plain_batch_norm

#: Images on which numbers are compared, as those of float64 take much memory.
_COMPARED = 16
# Calls in a recording, and how often it is timed.
_CALLS, _ROUNDS = 8, 9


class WrongKernel(RuntimeError):
    """A kernel's numbers are further from float64 than rounding explains."""


def norm_kernel_is_faster(
    shape: torch.Size, dtype: torch.dtype, adds: bool, relu: bool, device: torch.device
) -> bool:
    """Tell whether the kernels of batch norm take less time on images (B, C, H, W) than torch.

    Forward and backward pass together, by CUDA graphs, in which the host costs nothing. ``adds``
    and ``relu`` say what follows the norm. Raises :class:`WrongKernel`, and whatever Triton raises.
    """
    require_right(shape, dtype, adds, relu, device)
    own, plain = (
        statistics.median(_replay_seconds(_pass(call, shape, dtype, adds, relu, device)))
        for call in (batch_norm, plain_batch_norm)
    )
    return own < plain


def require_right(
    shape: torch.Size, dtype: torch.dtype, adds: bool, relu: bool, device: torch.device
) -> None:
    """Raise :class:`WrongKernel` where the kernels are further from float64 than torch is.

    Twice as far is allowed, as where rounding ends is chance.
    """
    few = torch.Size([min(shape[0], _COMPARED), *shape[1:]])
    exact = _pass(plain_batch_norm, few, torch.float64, adds, relu, device)()
    own, plain = (
        _pass(call, few, dtype, adds, relu, device)() for call in (batch_norm, plain_batch_norm)
    )
    for found, known, expected in zip(own, plain, exact, strict=True):
        length = expected.norm()
        allowed = 2 * (known.double() - expected).norm() + 1e-5 * length
        # Not "greater", which what is no number is not.
        if not bool((found.double() - expected).norm() <= allowed):
            raise WrongKernel(f"batch norm on {tuple(shape)} is wrong on this device")


def _pass(
    call: Callable[[nn.BatchNorm2d, Tensor, Tensor | None, bool], Tensor],
    shape: torch.Size,
    dtype: torch.dtype,
    adds: bool,
    relu: bool,
    device: torch.device,
) -> Callable[[], list[Tensor]]:
    """A forward and backward pass on made-up images: the output, statistics and gradients."""
    generator = torch.Generator(device).manual_seed(0)
    # Rounded to bfloat16, so that all dtypes are given the same numbers.
    x, added, grad = (
        torch.randn(shape, generator=generator, device=device)
        .bfloat16()
        .to(dtype, memory_format=torch.channels_last)
        for _ in range(3)
    )
    weights = torch.float64 if dtype == torch.float64 else torch.float32
    norm = nn.BatchNorm2d(shape[1], device=device, dtype=weights)
    inputs = [x.requires_grad_(), *([added.requires_grad_()] if adds else [])]

    def run() -> list[Tensor]:
        with torch.enable_grad():
            y = call(norm, inputs[0], inputs[1] if adds else None, relu)
            gradients = torch.autograd.grad(y, [*inputs, norm.weight, norm.bias], grad)
        buffers = [b for b in (norm.running_mean, norm.running_var) if b is not None]
        return [y.detach(), *buffers, *gradients]

    return run


def _replay_seconds(run: Callable[[], object]) -> list[float]:
    """The time of ``run`` on the device, in several measurements."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # kernels are compiled and chosen
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_CALLS):
            run()
    graph.replay()
    found = []
    for _ in range(_ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end) / 1000 / _CALLS)
    return found
