"""Random numbers for the images of a batch, and the starting points that are drawn from them.

A perturbation has the shape (B, C, H, W) and the dtype of its images ``x``, which lie in [0, 1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from regmix_bench.attacks.ball import project
from regmix_bench.distributed.collectives import all_sum, batch_total, share
from regmix_bench.types import NORMS, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor


def noise(
    draw: Callable[..., Tensor],
    x: Tensor,
    generator: torch.Generator,
    shape: Sequence[int] | None = None,
) -> Tensor:
    """Draw numbers (B, …) for the images of ``x`` (B, C, H, W) with ``draw``, such as torch.rand.

    Of the images' own shape or of ``shape``. Where several processes share a batch, each draws for
    all of its images and keeps what is its own, so that the noise of an image does not depend on
    the number of processes.
    """
    shape = x.shape[1:] if shape is None else shape
    total = batch_total()
    rows = len(x) if total is None else total
    drawn = draw(rows, *shape, generator=generator, device=x.device, dtype=x.dtype)
    mine = drawn if total is None else drawn[share(total)]
    if len(mine) != len(x):
        raise ValueError(f"noise for {len(x)} images of a batch that has {len(mine)} here")
    return mine


def epoch_seed(seed: int, epoch: int, purpose: str) -> int:
    """Return the seed for one ``purpose`` of one epoch, which follows from the run's ``seed``."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def epoch_generator(device: torch.device, seed: int, epoch: int, purpose: str) -> torch.Generator:
    """Return the generator on ``device`` of that seed."""
    return torch.Generator(device).manual_seed(epoch_seed(seed, epoch, purpose))


def batch_sum(value: Tensor) -> Tensor:
    """Return the sum over a whole batch, given that over this process's images; no gradient."""
    return all_sum(value)


def chosen_mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of ``values`` (B,) over the images with 1 in ``chosen`` (B,), else 0.

    ``chosen`` holds 0 and 1. In a group it is this process's part of the mean over the whole batch,
    of which it becomes that mean as a loss does.
    """
    total = batch_total()
    part = 1.0 if total is None else total / len(values)
    count = batch_sum(chosen.sum()).clamp_min(1)
    return part * (chosen * values).sum() / count


def uniform_start(x: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
    """Draw a perturbation uniformly from the ball, clipped to valid pixels."""
    return project(NORMS[threat.norm].start(x, float(threat.epsilon), generator), x, threat)


def radial_start(x: Tensor, threat: ThreatModel, generator: torch.Generator) -> Tensor:
    """Draw a perturbation whose length is uniform from 0 to ε, clipped to valid pixels.

    Its direction is that of a uniform draw from the ball. Rice et al. (ICML 2020) start so under
    L2, where nearly all of the ball lies at its surface if an image has many pixels.
    """
    norm = NORMS[threat.norm]
    delta = norm.start(x, float(threat.epsilon), generator)
    length = noise(torch.rand, x, generator, (1, 1, 1)) * float(threat.epsilon)
    return project(delta / norm.length(delta)[:, None, None, None] * length, x, threat)


def sign_start(x: Tensor, threat: ThreatModel, generator: torch.Generator, ratio: float) -> Tensor:
    """Draw ``ratio``·ε with either sign for each pixel alone, and project."""
    return project(
        (noise(torch.rand, x, generator) - 0.5).sign() * ratio * float(threat.epsilon), x, threat
    )


def gaussian_start(
    x: Tensor, threat: ThreatModel, generator: torch.Generator, scale: float = 0.001
) -> Tensor:
    """Draw normally with standard deviation ``scale``, and project (Zhang et al. 2019)."""
    return project(noise(torch.randn, x, generator) * scale, x, threat)
