"""Samples that contracts are tried on, images and weights, and the distance moved."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regmix_bench.testing.contract import require
from regmix_bench.types import NORMS, ThreatModel


def images(
    count: int, shape: tuple[int, int, int], dtype: torch.dtype = torch.float32, seed: int = 1
) -> Tensor:
    """Return random images (``count``, C, H, W) in [0, 1], black and white pixels among them."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, *shape, generator=generator) * 1.4 - 0.2).clamp(0, 1).to(dtype)


def labels(count: int, classes: int, seed: int = 1) -> Tensor:
    """Return random labels (``count``,) int64."""
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def inside(
    x_adv: object, x: Tensor, threat: ThreatModel, reach: float = 1.0, pixels: bool = True
) -> None:
    """Require images of the shape and dtype of ``x``, detached, and inside ``threat``.

    That is, in [0, 1] if they are ``pixels``, and within ``reach`` times ε. Allowed beyond is what
    it, and x + δ, are rounded by: half a unit in the last place of a pixel below 1 for each
    coordinate, √d times that in the Euclidean length of an image.
    """
    if not isinstance(x_adv, Tensor):
        require(False, f"they are a {type(x_adv).__name__}, not a tensor")
        return
    require(x_adv.shape == x.shape, f"they are {tuple(x_adv.shape)}, not {tuple(x.shape)}")
    require(x_adv.dtype == x.dtype, f"they are {x_adv.dtype}, not {x.dtype}")
    require(not x_adv.requires_grad, "they are not detached")
    require(bool(x_adv.isfinite().all()), "a pixel is not finite")
    low, high = x_adv.min().item(), x_adv.max().item()
    require(
        not pixels or (low >= 0 and high <= 1), f"pixels span {low:.4g} to {high:.4g}, not 0 to 1"
    )
    moved = x_adv.double() - x.double()
    rounding = torch.finfo(x.dtype).eps
    epsilon = torch.tensor(reach * float(threat.epsilon), dtype=x.dtype).item()
    norm = NORMS[threat.norm]
    limit = epsilon * (1 + 8 * rounding) + norm.diameter(moved[0].numel()) * rounding / 2
    furthest = norm.length(moved).max().item()
    require(furthest <= limit, f"under {threat} an image has moved by {furthest:.6g}")


def state_of(model: nn.Module, buffers: bool = True) -> dict[str, Tensor]:
    """Return a copy of the weights by name, and with ``buffers`` of the rest of the state."""
    named = model.state_dict() if buffers else dict(model.named_parameters())
    return {name: value.detach().clone() for name, value in named.items()}


def same(found: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    """Require equal tensors under equal names."""
    require(found.keys() == expected.keys(), f"{what}: other names")
    for name, value in found.items():
        require(torch.equal(value, expected[name]), f"{what}: {name} differs")
