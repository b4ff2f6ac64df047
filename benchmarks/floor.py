"""How close a training step comes to the passes through the network that it needs.

For every method the passes of its step are counted as they happen: forward passes through the model
in training and through the folded copy that an attack in evaluation mode sees, backward passes that
reach the images alone (input gradients), and those that reach the weights. Each kind is timed bare,
in turn with whole steps; the floor is their sum. The figure is step ÷ floor: the median over the
rounds with its 95 % interval. What it holds beyond 1 is the attack's arithmetic, the losses, the
optimiser, and the methods' own state.

Two-core AVX512-BF16 CPU, one thread, bf16, resnet8, n = 8: PGD-AT 0.98, TRADES 1.05, MART 1.05,
FGSM-RS 1.01, FGSM-PGI 1.08, FGSM-PGK 1.09, RegMix 1.06. Two-core AVX2 CPU, float32, resnet8, n = 6:
TRADES 1.01, MART 1.00, PGD-AT 0.99, FGSM-RS 0.98, FGSM-PGI 0.98, FGSM-PGK 1.07, RegMix 0.99. A bare
pass varies by a tenth from one to the next.

    python benchmarks/floor.py [--arch resnet18] [--methods trades,regmix]
"""

from __future__ import annotations

import contextlib
from collections import Counter

import numpy as np
import torch
from scipy import stats
from steps import THREAT, Setting, Training, ours, parser, setting, timed
from torch import Tensor

from regmix_bench.attacks.pgd import frozen
from regmix_bench.methods import METHODS
from regmix_bench.models.execution import ModelRunner

# Where a pass runs: the folded copy, the model with weights held, the model with its weights.
FOLDED, HELD, WHOLE = "folded copy", "model, weights held", "model"
FORWARD, ALONE, INPUT, WEIGHT = "forward", "forward alone", "input gradient", "weight gradient"


#: How many passes of a kind, in a place.
Counts = Counter[tuple[str, str]]


class Passes:
    """Counts the passes of a step by kind and place."""

    def __init__(self, executed: ModelRunner) -> None:
        self.executed = executed
        self.counts: Counts = Counter()
        self.updating = False
        executed.register_forward_hook(self._forward)

    def _forward(self, executed: ModelRunner, _: object, logits: Tensor) -> None:
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


def count(name: str, where: Setting) -> Counts:
    """The passes of one step of a method."""
    training, executed, _ = ours(name, where)
    passes = Passes(executed)
    output = training.method.step(executed, training.batch, THREAT, training.generator)
    passes.updating = True
    output.loss.backward()
    return passes.counts


def bare(training: Training, executed: ModelRunner, counts: Counts, device: torch.device) -> float:
    """Seconds of the passes in ``counts``, each kind timed once with nothing around it."""
    total = 0.0
    for place in {place for _, place in counts}:
        with _at(place, executed):
            seconds = _bare(training.batch.x, executed, counts[WEIGHT, place] > 0, device)
        total += sum(counts[kind, place] * seconds[kind] for kind in seconds)
    training.optimizer.zero_grad(set_to_none=True)
    return total


def _bare(
    x: Tensor, executed: ModelRunner, weights: bool, device: torch.device
) -> dict[str, float]:
    """Seconds of one pass of each kind, in the place that holds."""
    logits: list[Tensor] = []
    images = x.detach().requires_grad_()
    with torch.no_grad():
        seconds = {ALONE: timed(lambda: executed(x), device)}
    seconds[FORWARD] = timed(lambda: logits.append(executed(images)), device)
    seconds[INPUT] = timed(lambda: torch.autograd.grad(logits[0].sum(), images), device)
    if weights:
        logits.append(executed(x))
        seconds[WEIGHT] = timed(lambda: logits[1].sum().backward(), device)
    return seconds


def _at(place: str, executed: ModelRunner) -> contextlib.AbstractContextManager[None]:
    if place == FOLDED:
        return executed.attack_mode()
    return frozen(executed) if place == HELD else contextlib.nullcontext()


def measure(name: str, where: Setting, rounds: int) -> list[float]:
    """Step ÷ floor, round by round."""
    counts = count(name, where)
    listed = ", ".join(f"{n} {kind} ({place})" for (kind, place), n in sorted(counts.items()))
    print(f"{name}: {listed}", flush=True)
    training, executed, step = ours(name, where)

    def floor() -> float:
        return bare(training, executed, counts, where.device)

    ratios = []
    step(), floor()  # caches, kernel choices
    for number in range(rounds):
        if number % 2:
            below, seconds = floor(), timed(step, where.device)
        else:
            seconds, below = timed(step, where.device), floor()
        ratios.append(seconds / below)
    return ratios


def main() -> None:
    """Count, measure and print."""
    options = parser(__doc__, ",".join(METHODS.names())).parse_args()
    where = setting(options)
    print(where)
    found = {}
    for name in options.methods.split(","):
        ratios = measure(name, where, options.rounds)
        found[name] = float(np.median(ratios))
        interval = stats.quantile_test(ratios, p=0.5).confidence_interval(0.95)
        print(f"  step ÷ floor {found[name]:.3f} [{interval.low:.3f}, {interval.high:.3f}]")
    print(", ".join(f"{name} {ratio:.3f}" for name, ratio in found.items()))


if __name__ == "__main__":
    main()
