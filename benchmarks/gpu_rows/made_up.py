"""Made-up images that a network learns within a few epochs, about half of which it can defend.

A class is a texture of stripes or checks, which neither crops nor mirroring turn into another. Each
image has it with an amplitude of its own, up to four times the budget: a weak texture can be erased
inside the budget and a strong one cannot, so that margins are spread over zero as real ones are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import EvalData
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.types import ThreatModel

#: Widths of the stripes in pixels, across and down, of each of ten classes; 0 is none.
TEXTURES = ((1, 0), (2, 0), (4, 0), (0, 1), (0, 2), (0, 4), (1, 1), (2, 2), (4, 4), (1, 4))
BUDGET = 8 / 255
NOISE = 0.1


@dataclass(frozen=True)
class Sizes:
    """How many images of which side; ``held_out`` are for validation."""

    side: int = 32
    train: int = 49_000
    held_out: int = 1_000
    test: int = 4_000


def write_npz(path: Path, sizes: Sizes) -> None:
    """Write the data set as an ``.npz`` file, the same for the same ``sizes``."""
    draw = torch.Generator().manual_seed(0)
    splits = {"train": sizes.train, "val": sizes.held_out, "test": sizes.test}
    arrays = {}
    for split, n in splits.items():
        y = torch.arange(n) % len(TEXTURES)
        arrays[f"{split}_images"] = _images(y, sizes.side, draw)
        arrays[f"{split}_labels"] = y.numpy()
    np.savez(path, **arrays)


def _images(y: Tensor, side: int, draw: torch.Generator) -> NDArray[np.uint8]:
    signs = torch.stack([_texture(side, *widths) for widths in TEXTURES])
    amplitude = 4 * BUDGET * torch.rand(len(y), 1, 1, 1, generator=draw)
    images = np.empty((len(y), side, side, 3), np.uint8)
    for part in torch.arange(len(y)).split(4096):
        noise = NOISE * torch.randn(len(part), side, side, 3, generator=draw)
        x = 0.5 + amplitude[part] * signs[y[part], :, :, None] + noise
        images[part.numpy()] = (x.clamp(0, 1) * 255).round().byte().numpy()
    return images


def _texture(side: int, across: int, down: int) -> Tensor:
    """Signs (H, W) of a texture, centred so that it is its own mirror image up to its sign."""
    place = torch.arange(side)
    columns = (-1.0) ** (place // across) if across else torch.ones(side)
    rows = (-1.0) ** (place // down) if down else torch.ones(side)
    return rows[:, None] * columns


@torch.no_grad()
def half_held(model: ImageClassifier, test: EvalData, n: int, threat: ThreatModel) -> EvalData:
    """Choose ``n`` of the images: half hold under PGD-20, three tenths break, two tenths are wrong.

    So models of the field stand on CIFAR-10. An image that is to be wrong has another label. Where
    the model leaves too few of the first two kinds, there are more of the other.
    """
    attack = PGD.of(steps=20)
    held = torch.cat(
        [
            model(attack.perturb(model, x, y, threat, seed=0)).argmax(1) == y
            for x, y in zip(test.x.split(500), test.y.split(500), strict=True)
        ]
    )
    holding, breaking = (flags.nonzero().squeeze(1) for flags in (held, ~held))
    half = min(n // 2, len(holding))
    chosen = torch.cat([holding[:half], breaking, holding[half:]])[:n]
    y = test.y.clone()
    wrong = chosen[n - n // 5 :]
    y[wrong] = (y[wrong] + 1) % test.num_classes
    # In no order, so that every batch, and the first images alone, have their share of each kind.
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))
    chosen = chosen[order.to(chosen.device)]
    return EvalData(
        test.x[chosen], y[chosen], test.index[chosen.cpu()], test.digest, test.num_classes
    )
