"""Batch normalisation in training mode with what follows it: an addition and ReLU, in one pass.

For a batch with the channels innermost, in bfloat16 or float32; statistics are float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from regmix_bench.kernels import batch_norm_kernels as kernels

# Channels and rows of a tile, and the programs of a reduction, which fill a large GPU twice.
_COLS, _ROWS, _PROGRAMS = 64, 32, 512
# Channels and partial results that one program merges: few channels, for many programs, and most of
# the partial results at once, as each time it waits for memory.
_MERGED_COLS, _MERGED_PARTS = 16, 256


def fits(norm: nn.BatchNorm2d, x: Tensor, added: Tensor | None = None) -> bool:
    """Tell whether :func:`batch_norm` computes what ``norm`` makes of ``x``."""
    return (
        norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and norm.weight.dtype == torch.float32
        and x.dim() == 4
        and x.dtype in (torch.bfloat16, torch.float32)
        and x.numel() // x.shape[1] > 1
        and (added is None or (added.shape == x.shape and added.dtype == x.dtype))
    )


def plain_batch_norm(
    norm: nn.BatchNorm2d, x: Tensor, added: Tensor | None = None, relu: bool = False
) -> Tensor:
    """Compute what :func:`batch_norm` does, by torch alone."""
    y: Tensor = norm(x)
    if added is not None:
        y = y + added
    return torch.relu(y) if relu else y


def batch_norm(
    norm: nn.BatchNorm2d, x: Tensor, added: Tensor | None = None, relu: bool = False
) -> Tensor:
    """Return ``norm(x)`` (B, C, H, W), plus ``added`` of that shape, and cut off below 0.

    The running statistics of ``norm`` move as its own would. What does not fit, see :func:`fits`,
    is computed by torch, and so is a derivative of a gradient.
    """
    if not fits(norm, x, added):
        return plain_batch_norm(norm, x, added, relu)
    buffers = norm.running_mean, norm.running_var, norm.num_batches_tracked
    settings = norm.eps, norm.momentum, relu
    y: Tensor = _BatchNorm.apply(x, norm.weight, norm.bias, added, buffers, settings)
    return y


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        added: Tensor | None,
        buffers: tuple[Tensor, Tensor, Tensor],
        settings: tuple[float, float, bool],
    ) -> Tensor:
        eps, _, relu = settings
        y: Tensor
        y, mean, scale = _forward(
            _last(x), None if added is None else _last(added), weight, bias, *buffers, *settings
        )
        ctx.save_for_backward(x, y if relu else None, weight, mean, scale)
        ctx.relu, ctx.added, ctx.eps = relu, added is not None, eps
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, scale = ctx.saved_tensors
        (grad,) = gradients
        if torch.is_grad_enabled():  # the gradient is to be derived once more
            return _plain_gradients(ctx, grad, x, y, weight)
        x, grad = _last(x), _last(grad)
        # Without ReLU the gradient of what was added is the gradient itself.
        own = ctx.added and ctx.relu and ctx.needs_input_grad[3]
        x_grad, weight_grad, bias_grad, passed = _backward(
            grad, x, x if y is None else y, weight, mean, scale, ctx.relu, own
        )
        added_grad = passed if own else grad if ctx.added and not ctx.relu else None
        return x_grad, weight_grad, bias_grad, added_grad, None, None


# Operations of torch, so that whoever watches or undoes a step sees what they read and write.


@torch.library.custom_op(
    "regmix_bench::batch_norm", mutates_args=("running_mean", "running_var", "batches")
)
def _forward(
    x: Tensor,
    added: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    batches: Tensor,
    eps: float,
    momentum: float,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the mean and 1/√(variance + ``eps``) of each channel."""
    n, c = _matrix(x)
    parts, span = _spans(n, c)
    means, squares = x.new_empty((2, parts, c), dtype=torch.float32)
    mean, scale = (x.new_empty(c, dtype=torch.float32) for _ in range(2))
    columns = -(-c // _COLS)
    kernels.moments[(parts, columns)](x, means, squares, n, c, span, _ROWS, _COLS)
    merged = means, squares, mean, scale, running_mean, running_var, batches
    settings = n, c, span, parts, eps, momentum, _MERGED_PARTS, _MERGED_COLS
    kernels.statistics[(-(-c // _MERGED_COLS),)](*merged, *settings)
    y, adds = torch.empty_like(x), added is not None
    kernels.normalise[(-(-n // _ROWS), columns)](
        x, added if adds else x, y, mean, scale, weight, bias, n, c, adds, relu, _ROWS, _COLS
    )
    return y, mean, scale


@torch.library.custom_op("regmix_bench::batch_norm_backward", mutates_args=())
def _backward(
    grad: Tensor,
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    mean: Tensor,
    scale: Tensor,
    relu: bool,
    adds: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of ``x``, weight and bias and, with ``adds``, of what was added."""
    n, c = _matrix(x)
    parts, span = _spans(n, c)
    sums, products = x.new_empty((2, parts, c), dtype=torch.float32)
    bias_grad, weight_grad = torch.empty_like(mean), torch.empty_like(mean)
    columns = -(-c // _COLS)
    statistics = mean, scale
    kernels.gradient_sums[(parts, columns)](
        grad, x, y, *statistics, sums, products, n, c, span, relu, _ROWS, _COLS
    )
    merged = bias_grad, weight_grad
    kernels.merged_sums[(-(-c // _MERGED_COLS),)](
        sums, products, *merged, c, parts, _MERGED_PARTS, _MERGED_COLS
    )
    x_grad = torch.empty_like(x)
    added_grad = torch.empty_like(x) if adds else x.new_empty(0)
    written = x_grad, added_grad if adds else x_grad
    kernels.normalised_gradient[(-(-n // _ROWS), columns)](
        grad, x, y, *statistics, weight, *merged, *written, n, c, adds, relu, _ROWS, _COLS
    )
    return x_grad, weight_grad, bias_grad, added_grad


def _plain_gradients(
    ctx: Any, grad: Tensor, x: Tensor, y: Tensor | None, weight: Tensor
) -> tuple[Tensor | None, ...]:
    passed = grad if y is None else grad * (y > 0)
    normalised = functional.batch_norm(x, None, None, weight, None, True, 0.0, ctx.eps)
    needed = [value for value in (x, weight) if value.requires_grad]
    found = iter(torch.autograd.grad(normalised, needed, passed, create_graph=True))
    x_grad, weight_grad = (next(found) if v.requires_grad else None for v in (x, weight))
    bias_grad = passed.float().sum((0, 2, 3))
    return x_grad, weight_grad, bias_grad, passed if ctx.added else None, None, None


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _matrix(x: Tensor) -> tuple[int, int]:
    return x.numel() // x.shape[1], x.shape[1]


def _spans(n: int, c: int) -> tuple[int, int]:
    """The number of spans that ``n`` rows are reduced in, and the rows of each."""
    most = max(1, _PROGRAMS // -(-c // _COLS))
    span = -(-n // (most * _ROWS)) * _ROWS
    return -(-n // span), span
