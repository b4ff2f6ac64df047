"""The rule that a method sees smoothed labels where it says so, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regmix_bench.testing.contract import Subject, norms_of, require
from regmix_bench.testing.steps import batches_of, network, ready, take_step
from regmix_bench.types import StepOutput

#: A share of the true class that moves no sign of a gradient.
NEAR = 1 - 1e-6


def it_sees_smoothed_labels_where_it_says(subject: Subject) -> None:
    """Take steps with several shares of the true class, and look at what they change.

    What a cross-entropy of one of the model's outputs would change by smoothed labels, whichever
    classes have the rest, is "loss", and all else that changes at the same images "regulariser".
    """
    said: frozenset[str] = subject.cls.smoothed
    hard, near, smooth = (_smoothed(subject, mass) for mass in (1.0, NEAR, 0.3))
    _as_said("the attack", "attack" in said, _move(hard, smooth))
    if _move(hard, near):
        return  # by chance, or under a norm in which any change moves images
    changes = [(b.output.loss - a.output.loss).item() for a, b in zip(hard, near, strict=True)]
    _as_said("the loss", bool(said - {"attack"}), any(changes))
    if changes[0] and "regulariser" not in said:  # one may sleep in a first step
        entropies = zip(*(a.shares(by) for a, by in zip(hard, changes, strict=True)), strict=True)
        _as_said("more of the loss than a cross-entropy", False, not any(map(_entropy, entropies)))


class _Step(NamedTuple):
    """What a step returned, with the labels (B,) and all logits (B, K) that the model gave."""

    output: StepOutput
    y: Tensor
    logits: list[Tensor]

    def shares(self, change: float) -> list[_Share]:
        """Return ``change`` for each output as a share of what a little smoothing changes there."""
        found = []
        for logits in self.logits:
            rises = -logits.log_softmax(1)
            own = rises.gather(1, self.y[:, None])
            others = (rises - own).scatter(1, self.y[:, None], float("nan"))
            per_image = change / (1 - NEAR)
            even = per_image / others.nanmean(1).mean().item()
            least, most = (
                others.nan_to_num(nan=fill).aminmax(dim=1) for fill in (torch.inf, -torch.inf)
            )
            low, high = least.min.mean().item(), most.max.mean().item()
            found.append(_Share(even, low <= per_image <= high))
        return found


class _Share(NamedTuple):
    """A change of a loss beside that of a cross-entropy with smoothed labels."""

    #: As a multiple of it, where the other classes share the rest evenly.
    even: float
    #: Whether it is that of one where they share it in some way.
    possible: bool


def _entropy(shares: Sequence[_Share]) -> bool:
    """Return whether changes on several batches may be of one cross-entropy, or a multiple."""
    found = [share.even for share in shares]
    even = max(found) - min(found) <= 1e-6 * max(map(abs, found))
    return even or all(share.possible for share in shares)


def _smoothed(subject: Subject, mass: float) -> list[_Step]:
    """Take a step on each batch, from the same weights, with ``mass`` for the true class."""
    model, method = network(torch.float64), ready(subject, mass)
    method.on_epoch_start(1)
    steps = []
    for number, batch in enumerate(batches_of(torch.float64)):
        method.on_batch_start(number)
        logits: list[Tensor] = []
        hook = model.register_forward_hook(
            lambda module, images, found, seen=logits: seen.append(found.detach())
        )
        output = take_step(method, model, batch, norms_of(subject)[0])
        hook.remove()
        output.loss.backward()  # which moves what the next step attacks from, in some
        model.zero_grad()
        method.after_update(model)
        steps.append(_Step(output, batch.y, [f for f in logits if len(f) == len(batch.y)]))
    return steps


def _move(ones: list[_Step], others: list[_Step]) -> bool:
    pairs = zip(ones, others, strict=True)
    return not all(torch.equal(a.output.x_adv, b.output.x_adv) for a, b in pairs)


def _as_said(what: str, said: bool, seen: bool) -> None:
    words = "sees" if seen else "does not see"
    require(said == seen, f"{what} {words} smoothed labels, and `smoothed` says otherwise")
