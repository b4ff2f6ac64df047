"""How close a training step comes to the passes through the network that it needs.

For every method the passes of its step are counted as they happen: forward passes through the model
in training and through the folded copy that an attack in evaluation mode sees, backward passes that
reach the images alone (input gradients), and those that reach the weights. Each kind is timed bare,
in turn with whole steps, and replayed from a CUDA graph where steps are; the floor is their sum.
The figure is step ÷ floor: the median over the rounds with its 95 % interval. What it holds beyond
1 is the attack's arithmetic, the losses, the optimiser, and the methods' own state.

Two-core AVX512-BF16 CPU, one thread, bf16, resnet8, n = 8: PGD-AT 0.98, TRADES 1.05, MART 1.05,
FGSM-RS 1.01, FGSM-PGI 1.08, FGSM-PGK 1.09, RegMix 1.06. Two-core AVX2 CPU, float32, resnet8, n = 6:
TRADES 1.01, MART 1.00, PGD-AT 0.99, FGSM-RS 0.98, FGSM-PGI 0.98, FGSM-PGK 1.07, RegMix 0.99. A bare
pass varies by a tenth from one to the next.

    python benchmarks/floor.py [--arch resnet18] [--methods trades,regmix]
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from steps import Setting, ours, parser, prepared, setting, timed
from torch import Tensor

from regmix_bench.attacks.pgd import frozen
from regmix_bench.methods import METHODS
from regmix_bench.models.execution import ModelRunner
from regmix_bench.replay.protocol import REHEARSALS, Recording
from regmix_bench.replay.recorders import recorder_for

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
    training, executed = prepared(name, where)
    passes = Passes(executed)
    loss = training.loss(executed)
    passes.updating = True
    loss.backward()
    return passes.counts


class Floor:
    """The bare passes of a method's step, each kind by itself; with graphs they are replayed."""

    def __init__(self, name: str, where: Setting) -> None:
        self.counts, self.where = count(name, where), where
        self.training, self.executed = prepared(name, where)
        self.places = sorted({place for _, place in self.counts})
        self.recorder = recorder_for(where.device) if where.execution.graphs else None
        self.recorded: dict[tuple[str, str], list[Recording[None]]] = {}

    def seconds(self) -> float:
        """Time every kind once; returns the sum over all passes."""
        total = 0.0
        for place in self.places:
            with _at(place, self.executed):
                for kind in (ALONE, FORWARD, INPUT, WEIGHT):
                    if n := self.counts[kind, place]:
                        *before, timed_pass = self._executed(kind, place)
                        for other in before:
                            other()
                        total += n * timed(timed_pass, self.where.device)
        return total

    def _executed(self, kind: str, place: str) -> list[Callable[[], None]]:
        """A pass as the step executes it, in its place; before it, what has to be done first."""
        calls = self._pass(kind)
        if self.recorder is None:
            return calls
        if (kind, place) not in self.recorded:
            for _ in range(REHEARSALS):
                for call in calls:
                    self.recorder.rehearse(call)
            self.training.optimizer.zero_grad(set_to_none=True)  # a recording makes its own
            self.recorded[kind, place] = [self.recorder.record(call) for call in calls]
        return [recording.replay for recording in self.recorded[kind, place]]

    def _pass(self, kind: str) -> list[Callable[[], None]]:
        images = self.training.batch.x.detach().requires_grad_(kind in (FORWARD, INPUT))
        logits: list[Tensor] = []

        def forward() -> None:
            with torch.set_grad_enabled(kind != ALONE):
                logits[:] = [self.executed(images)]

        def backward() -> None:  # the graph is kept, as a recording of it is gone through again
            if kind == INPUT:
                torch.autograd.grad(logits[0].sum(), images, retain_graph=True)
            else:
                logits[0].sum().backward(retain_graph=True)

        self.training.optimizer.zero_grad(set_to_none=True)
        return [forward, backward] if kind in (INPUT, WEIGHT) else [forward]


def _at(place: str, executed: ModelRunner) -> contextlib.AbstractContextManager[None]:
    if place == FOLDED:
        return executed.attack_mode()
    return frozen(executed) if place == HELD else contextlib.nullcontext()


def measure(
    name: str, where: Setting, rounds: int, say: Callable[[str], None] = print
) -> list[float]:
    """Step ÷ floor, round by round; ``say`` hears which passes the floor is the sum of."""
    floor = Floor(name, where)
    listed = ", ".join(f"{n} {kind} ({place})" for (kind, place), n in sorted(floor.counts.items()))
    say(f"{name}: {listed}")
    step = ours(name, where)
    ratios = []
    step(), floor.seconds()  # caches, kernel choices
    for number in range(rounds):
        if number % 2:
            below, seconds = floor.seconds(), timed(step, where.device)
        else:
            seconds, below = timed(step, where.device), floor.seconds()
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
