"""How close a training step comes to the passes through the network that it needs.

For every method the passes of its step are counted as they happen: forward passes through the model
in training and through the folded copy that an attack in evaluation mode sees, backward passes that
reach the images alone (input gradients), and those that reach the weights. Each kind is timed bare,
in turn with whole steps; the floor is their sum. The figure is step ÷ floor: the median over the
rounds with its 95 % interval. What it holds beyond 1 is the attack's arithmetic, the losses, the
optimiser, and the methods' own state.

    python benchmarks/floor.py [--arch resnet18] [--methods trades,regmix]
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from steps import THREAT, Setting, Training, ours, parser, setting, timed
from torch import Tensor

from regmix_bench.methods import METHODS
from regmix_bench.models.execution import Executed
from regmix_bench.perturb import frozen

# Where a pass runs: the folded copy, the model with weights held, the model with its weights.
FOLDED, HELD, WHOLE = "folded copy", "model, weights held", "model"
FORWARD, ALONE, INPUT, WEIGHT = "forward", "forward alone", "input gradient", "weight gradient"


class Passes:
    """Counts the passes of a step by kind and place."""

    def __init__(self, executed: Executed) -> None:
        self.executed = executed
        self.counts: Counter[tuple[str, str]] = Counter()
        self.updating = False
        executed.register_forward_hook(self._forward)

    def _forward(self, executed: Executed, _: object, logits: Tensor) -> None:
        if executed.attacking:
            place = FOLDED
        else:
            required = next(executed.model.parameters()).requires_grad
            place = WHOLE if required else HELD
        self.counts[FORWARD if logits.requires_grad else ALONE, place] += 1
        if logits.requires_grad:
            logits.register_hook(lambda _: self._backward(place))

    def _backward(self, place: str) -> None:
        self.counts[WEIGHT if self.updating else INPUT, place] += 1


def count(name: str, where: Setting) -> Counter[tuple[str, str]]:
    """The passes of one step of a method."""
    training, executed, _ = ours(name, where)
    passes = Passes(executed)
    output = training.method.step(executed, training.batch, THREAT, training.generator)
    passes.updating = True
    output.loss.backward()
    return passes.counts


def bare(
    training: Training, executed: Executed, counts: Counter[tuple[str, str]], device: torch.device
) -> float:
    """Seconds of the passes in ``counts``, each kind timed once with nothing around it."""
    x = training.batch.x
    total = 0.0

    def spend(kind: str, place: str, run: Callable[[], object]) -> None:
        nonlocal total
        total += counts[kind, place] * timed(run, device)

    for place in {place for _, place in counts}:
        with _at(place, executed):
            if counts[ALONE, place]:
                with torch.no_grad():
                    spend(ALONE, place, lambda: executed(x))
            if counts[INPUT, place] or counts[FORWARD, place]:
                to_images = not counts[WEIGHT, place]
                images = x.detach().requires_grad_(to_images)
                kept: list[Tensor] = []
                spend(FORWARD, place, lambda: kept.append(executed(images)))
                if to_images:
                    spend(INPUT, place, lambda: torch.autograd.grad(kept[0].sum(), images))
                else:
                    spend(WEIGHT, place, lambda: kept[0].sum().backward())
            if counts[INPUT, place] and counts[WEIGHT, place]:
                images = x.detach().requires_grad_()
                logits = executed(images)
                spend(INPUT, place, lambda: torch.autograd.grad(logits.sum(), images))
    training.optimizer.zero_grad(set_to_none=True)
    return total


def _at(place: str, executed: Executed) -> contextlib.AbstractContextManager[None]:
    if place == FOLDED:
        return executed.attacked()
    return frozen(executed) if place == HELD else contextlib.nullcontext()


def main() -> None:
    """Count, measure and print."""
    options = parser(__doc__).parse_args()
    where = setting(options)
    print(where)
    found = {}
    for name in options.methods.split(","):
        counts = count(name, where)
        listed = ", ".join(f"{n} {kind} ({place})" for (kind, place), n in sorted(counts.items()))
        print(f"{name}: {listed}", flush=True)
        training, executed, step = ours(name, where)
        for warm in (step, lambda: bare(training, executed, counts, where.device)):
            warm()
        ratios = []
        for number in range(options.rounds):
            seconds: dict[bool, float] = {}
            for whole in (number % 2 == 0, number % 2 == 1):
                seconds[whole] = (
                    timed(step, where.device)
                    if whole
                    else bare(training, executed, counts, where.device)
                )
            ratios.append(seconds[True] / seconds[False])
        found[name] = float(np.median(ratios))
        interval = stats.quantile_test(ratios, p=0.5).confidence_interval(0.95)
        print(f"  step ÷ floor {found[name]:.3f} [{interval.low:.3f}, {interval.high:.3f}]", flush=True)
    print(", ".join(f"{name} {ratio:.3f}" for name, ratio in found.items()))


if __name__ == "__main__":
    main()
