"""Parts of the steps of the authors' attacks, with the same numbers and without waiting.

Their programs index logits by counts and draw numbers in main memory, each of which makes the host
wait for the device, thousands of times an image. What stands here gives every bit of what theirs
gives, and takes its place in one object, never in their package.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regmix_bench.models.predictions import margins


def spare_square(attack: Any) -> None:
    """Have a ``SquareAttack`` draw its squares in main memory, and end where every image is done.

    It counts a margin of 0 as a success, yet ends at its start only where all are below 0: where
    one is exactly 0, as logits of few bits often are, and none above, it would go on with no image
    at all, which under L2 raises. No image's outcome hangs on it.
    """

    def margin_and_loss(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        margin = margins(attack.predict(x), y)
        return margin.where(margin != 0, -1e-30), margin

    def random_int(low: int = 0, high: int = 1) -> int:
        return int(low + (high - low) * torch.rand(1))

    def random_choice(shape: list[int]) -> Tensor:
        signs = torch.sign(2 * torch.rand(shape) - 1)
        device = torch.device(attack.device)
        return signs.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else signs

    attack.margin_and_loss = margin_and_loss
    attack.random_int, attack.random_choice = random_int, random_choice


def counted_queries(attack: Any) -> list[Tensor]:
    """Have a ``SquareAttack`` add to a list what it counts: the queries (M,) of M images, by run.

    They are those until an image was found, or all; the program throws them away.
    """
    counts: list[Tensor] = []
    run = attack.attack_single_run

    def counting(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        queries, images = run(x, y)
        counts.append(queries)
        return queries, images

    attack.attack_single_run = counting
    return counts


def spare_apgd_targeted(attack: Any) -> None:
    """Have an ``APGDAttack_targeted`` look labels up on the device."""

    def dlr_loss_targeted(logits: Tensor, y: Tensor) -> Tensor:
        ranked = logits.sort(dim=1).values
        difference = _of(logits, y) - _of(logits, attack.y_target)
        scale = ranked[:, -1] - 0.5 * (ranked[:, -3] + ranked[:, -4]) + 1e-12
        return -difference / scale

    attack.dlr_loss_targeted = dlr_loss_targeted


def spare_fab_targeted(attack: Any) -> None:
    """Have a targeted ``FABAttack_PT`` look labels up on the device."""

    def differences(images: Tensor, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        x = images.clone().requires_grad_()
        with torch.enable_grad():
            logits = attack.predict(x)
            difference = -(_of(logits, y) - _of(logits, target))
            (gradient,) = torch.autograd.grad(difference.sum(), x)
        return difference.detach().unsqueeze(1), gradient.contiguous().unsqueeze(1)

    attack.get_diff_logits_grads_batch_targeted = differences


def _of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logit (B,) of each label (B,), of logits (B, K)."""
    return logits.gather(1, labels.unsqueeze(1)).squeeze(1)
