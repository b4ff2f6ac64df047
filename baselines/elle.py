"""ELLE-A: local linearity of the loss without second derivatives, weighted where it breaks down.

Abad Rocamora et al., "Efficient local linearity regularization to overcome catastrophic
overfitting", ICLR 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field

from regmix_bench.attacks.noise import batch_sum, noise
from regmix_bench.attacks.pgd import input_gradient
from regmix_bench.losses import cross_entropy
from regmix_bench.methods.effects import Idle
from regmix_bench.methods.multi_step import attack_mode
from regmix_bench.methods.protocol import Citation, Method
from regmix_bench.types import NORMS, Batch, Frozen, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn

NO_PENALTY = Idle("lambda_ is 0", lambda config, *_: config.lambda_ == 0)


class LinearityWeight:
    """λ, which leaps to its largest value where an error stands out, and decays elsewhere.

    It starts at 0. An error above the mean of all earlier ones plus ``deviations`` of their
    standard deviations sets it to ``largest``, as long as more than two were seen; any other takes
    it to ``decay`` of itself. Everything lies on the device, in float64, so that a recorded step
    goes on with it: of the errors their number, their mean, and the sum of their squared deviations
    from it.
    """

    def __init__(
        self, largest: float, decay: float, deviations: float, device: torch.device
    ) -> None:
        self.largest, self.decay, self.deviations = largest, decay, deviations
        self.value = torch.zeros((), dtype=torch.float64, device=device)
        self.seen, self.mean, self.squares = torch.zeros(3, dtype=torch.float64, device=device)

    def update(self, error: Tensor) -> None:
        """Set λ for the next batch by the ``error`` of this one, a scalar, and remember that."""
        error = error.detach().double()
        deviation = (self.squares / self.seen.clamp_min(1)).sqrt()
        stands_out = error > self.mean + self.deviations * deviation
        leap = stands_out & (self.seen > 2)
        self.value.copy_(torch.where(leap, self.largest, self.decay * self.value))
        # Welford (1962), whose sums lose no digits where errors differ by little.
        away = error - self.mean
        self.seen += 1
        self.mean += away / self.seen
        self.squares += away * (error - self.mean)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed run needs."""
        return {name: getattr(self, name) for name in ("value", "seen", "mean", "squares")}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a saved state."""
        for name, value in self.state_dict().items():
            value.copy_(state[name])


class ELLEA(Method):
    """Cross-entropy after one step, and the error of a linear model of the loss around the image.

    The error is that at a random point x_c = (1 − t)·x_a + t·x_b between two points drawn uniformly
    from the ball, t uniform for each image::

        E = mean_i (ℓ(x_c) − (1 − t)·ℓ(x_a) − t·ℓ(x_b))²

    All three losses carry gradient and are computed in one pass. λ starts at 0. A batch whose error
    is above the mean of all earlier ones by more than two standard deviations sets it to 4,000, any
    other to 0.99 of itself. The batch after it is the first to have it, as in the authors' program.

    x' is one step of ε from the image or, as "N-FGSM+ELLE-A", from noise of 2ε (``noise_ratio``),
    and nothing is clipped, neither to the ball nor to valid pixels. The authors take two steps of
    the optimiser with each gradient; here it is one, as for every method.
    """

    name = "elle-a"
    title = "ELLE-A"
    symbols = {"lambda_": "λ"}
    formula = "L = CE(f(x'), ŷ) + λ_t·mean_i (ℓ(x_c) − (1 − t)·ℓ(x_a) − t·ℓ(x_b))²"
    citation = Citation(
        "abadrocamora2024efficient",
        "Abad Rocamora et al.",
        2024,
        "2401.11618",
        title="Efficient local linearity regularization to overcome catastrophic overfitting",
        venue="ICLR",
    )
    rank = 44
    colour = 20
    norms = ("Linf",)
    smoothed = frozenset({"attack", "loss", "regulariser"})
    clips_pixels = False

    class Config(Frozen):
        """Leaps and decay of λ, and the attack's noise and step as multiples of ε."""

        lambda_: Annotated[float, Search(100, 20000, log=True)] = Field(
            4000.0, ge=0, description="What λ leaps to"
        )
        decay: Annotated[float, Search(0.9, 1), NO_PENALTY] = Field(
            0.99, ge=0, le=1, description="What is left of λ after other batches"
        )
        deviations: Annotated[float, NO_PENALTY] = Field(
            2.0, ge=0, description="Standard deviations above the mean from which it leaps"
        )
        noise_ratio: float = Field(0.0, ge=0, description="Largest noise as a multiple of ε")
        step_ratio: float = Field(1.0, gt=0, description="Size of the step as a multiple of ε")

    @property
    def largest_perturbation(self) -> float:
        return float(self.config.noise_ratio + self.config.step_ratio)

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        config = self.config
        self.weight = LinearityWeight(config.lambda_, config.decay, config.deviations, device)

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        config, x, epsilon = self.config, batch.x, float(threat.epsilon)
        start = NORMS[threat.norm].start

        def losses(images: Tensor) -> Tensor:
            """Cross-entropies of images that are a multiple of the batch, one row (B,) each."""
            copies = len(images) // len(x)
            y = torch.cat([batch.y] * copies)
            found = cross_entropy(model(images), y, self.true_class_mass, "none")
            return found.view(copies, len(x))

        x_start = x + start(x, config.noise_ratio * epsilon, generator) if config.noise_ratio else x
        with attack_mode(model, "train"):
            gradient = input_gradient(lambda images: losses(images).sum(), x_start)
        x_adv = x_start + config.step_ratio * epsilon * gradient.sign()
        ends = [x + start(x, epsilon, generator) for _ in range(2)]
        place = noise(torch.rand, x, generator, (1, 1, 1))
        between = torch.cat([*ends, ends[0].lerp(ends[1], place)])
        weight = self.weight.value.clone().to(x.dtype)

        def squared_errors() -> Tensor:
            first, second, there = losses(between)
            found: Tensor = (there - first.lerp(second, place.flatten())).square()
            return found

        def terms(errors: Tensor) -> dict[str, Tensor]:
            return {"ce": losses(x_adv).mean(), "linearity": weight * errors.mean()}

        errors = squared_errors()
        self.weight.update(batch_sum(errors.detach().sum()) / (batch.total or len(x)))
        return StepOutput.of(terms(errors), x_adv, again=lambda: terms(squared_errors()))

    def state_dict(self) -> dict[str, Any]:
        return self.weight.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight.load_state_dict(state)
