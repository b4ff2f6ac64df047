"""The logits of any model: the form in which attacks take them, and what they depend on.

A model computes in the precision that its authors chose, and a score asks for one function of the
image. So whatever a model returns is handed on as float32, and before it is scored it is asked
whether an image's logits change from call to call, or with the other images of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

#: Logits that ought to be the same may differ by this share of the largest of them. Batches of
#: another size are summed in another order: in float32 4e-6 were seen, on WRN-34-10.
ROUNDING = 1e-4

#: The same for a model that rounds to fewer bits somewhere on the way, in units of its last place.
LAST_PLACES = 4

#: Images that are put into batches anew; more would say no more.
COMPARED = 64


def are_logits(found: object) -> TypeGuard[Tensor]:
    """Tell whether what a model returned is an ordinary tensor of floating-point numbers."""
    return (
        isinstance(found, Tensor)
        and found.is_floating_point()
        and found.layout is torch.strided
        and not (found.is_nested or found.is_meta)
    )


class Float32Logits(nn.Module):
    """A model whose logits are float32, on the device of its images, and nobody else's memory.

    Attacks mix logits with numbers of their own, and write into them. Whatever is no tensor of
    floating-point numbers is passed on as it is: it is refused before the first attack.
    """

    def __init__(self, model: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.model, self.training = model, False
        self._returned: torch.dtype | None = None

    def forward(self, x: Tensor) -> Any:
        """Return what the model says of images (B, C, H, W); of logits (B, K), a copy."""
        found = self.model(x)
        if not are_logits(found):
            return found
        self._returned = found.dtype
        return found.to(x.device, torch.float32, copy=True, memory_format=torch.contiguous_format)

    @torch.no_grad()
    def returned(self, x: Tensor) -> str:
        """Return the type of the model's own logits, such as ``bfloat16``; it sees ``x`` if new."""
        if self._returned is None:
            self(x)
        return str(self._returned).removeprefix("torch.")


@torch.no_grad()
def differ_between_calls(model: nn.Module, x: Tensor) -> bool:
    """Tell whether two calls on the same images (B, C, H, W) give other logits: a random model."""
    first, second = model(x), model(x)
    return _differ(first, second, ROUNDING)


@torch.no_grad()
def depend_on_batch(model: nn.Module, x: Tensor) -> bool:
    """Tell whether an image's logits change with the other images of its batch, or their order.

    Batch statistics do that in evaluation mode, and so does normalising by the batch. The first
    :data:`COMPARED` of the images (B, C, H, W) are one batch, then batches of one, of seven and of
    half of them, and at last one in another order. Every other one has half its contrast, as many
    images share a darkest and a brightest pixel. The logits may differ by :data:`ROUNDING`, or by
    :data:`LAST_PLACES` of the coarsest type in which a module of the model returns anything.
    A random model is no such model: its logits differ with every call.
    """
    x = x[:COMPARED].clone()
    x[1::2] = x[1::2] / 2 + 0.25
    if differ_between_calls(model, x):
        return False
    with _watched_precision() as coarsest:
        whole = model(x)
    tolerance = max(ROUNDING, LAST_PLACES * max(coarsest, default=0.0))
    for size in (1, 7, (len(x) + 1) // 2):
        if _differ(whole, torch.cat([model(part) for part in x.split(size)]), tolerance):
            return True
    # On the CPU, so that all devices draw alike.
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).to(x.device)
    return _differ(whole[order], model(x[order]), tolerance)


def _differ(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return bool((one - other).abs().max() > tolerance * one.abs().max())


@contextmanager
def _watched_precision() -> Iterator[list[float]]:
    """Collect the last place, as a share of a number, of what modules return inside the block."""
    found: list[float] = []

    def note(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            found.append(torch.finfo(output.dtype).eps)

    handle = register_module_forward_hook(note)
    try:
        yield found
    finally:
        handle.remove()
