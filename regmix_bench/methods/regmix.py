"""RegMix: adversarial mutual regularisation (AMR) and adversarial generalisation (AGR).

Liu and Ojha, "RegMix: Adversarial Mutual and Generalization Regularization for Enhancing DNN
Robustness", TrustCom 2025, arXiv:2510.05317. With p(·) the softmax output::

    L_AMR = α·KL(p(x+δ_final) ‖ p(x+δ_init)) + β·KL(p(x+δ_init) ‖ p(x+δ_final))
    L_AGR = γ·KL(p(x) ‖ p(x+δ_final))
    L     = CE(f(x+δ_final), ŷ) + L_AMR + L_AGR

The paper weighs one direction of AMR as the main and the other as the auxiliary objective (α ≠ β).
Where it is silent this is our reading. Every output carries gradient, as in FGSM-PGI, whose
squared-error term AMR replaces, and L_AGR has the direction above. As to normalisation, a
divergence is summed over the K classes and averaged over the batch; other code of the first author
averages over the classes too, where our weights would be K times as large. As to the start, δ_init
is the stored prior of FGSM-PGI and not a random start drawn anew (``regmix-pgd`` has one). These
are parameters: ``detach_clean``, ``agr``, ``reduction`` and ``start``. As to the base, the model
that is trained is scored: the average of weights that FGSM-PGK scores is taken as a part of
FGSM-PGK and not of what RegMix builds on. The paper names no weights. Of
those that ``tune`` trained to the end on digits and on CIFAR-10 in small, 2, 1, 1 have the highest
mean accuracy on held-out training images.

KL(p‖q) has the gradients of a weighted squared error of logits, with q held constant, plus a soft
cross-entropy, with p held constant (Cui et al., NeurIPS 2024, arXiv:2305.13948). So RegMix against
squared error is one switch, ``form``: ``mse`` is that of FGSM-PGI, ``ikl`` leaves q free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field

from regmix_bench.attacks.noise import uniform_start
from regmix_bench.losses import (
    kl_divergence,
    soft_cross_entropy,
    weighted_squared_error,
)
from regmix_bench.methods.effects import Idle
from regmix_bench.methods.multi_step import MultiStepMethod, PGDConfig
from regmix_bench.methods.prior import ClipStart, MomentumDecay, PriorGuidedMethod, Reset
from regmix_bench.methods.protocol import Citation
from regmix_bench.methods.unlabelled import known_cross_entropy
from regmix_bench.types import Batch, Frozen, Later, Search, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


PAPER = Citation(
    "liu2025regmix",
    "Liu and Ojha",
    2025,
    "2510.05317",
    title=(
        "RegMix: Adversarial Mutual and Generalization Regularization for Enhancing DNN Robustness"
    ),
    venue="TrustCom",
)
NO_AGR = Idle("gamma is 0", lambda config, *_: config.gamma == 0)
NO_AMR = Idle("alpha and beta are 0", lambda config, *_: config.alpha == config.beta == 0)
NEITHER = Idle(
    "alpha, beta and gamma are 0",
    lambda config, *_: config.alpha == config.beta == config.gamma == 0,
)
NOTHING_STORED = Idle("start is random", lambda config, *_: config.start == "random")
SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ"}


class Weights(Frozen):
    """Weights of the three divergences, and what the paper leaves open of them."""

    alpha: Annotated[float, Search(0.1, 10, log=True)] = Field(
        2.0, ge=0, description="Weight of KL(p(x+δ_final) ‖ p(x+δ_init))"
    )
    beta: Annotated[float, Search(0.1, 10, log=True)] = Field(
        1.0, ge=0, description="Weight of KL(p(x+δ_init) ‖ p(x+δ_final))"
    )
    gamma: Annotated[float, Search(0.1, 10, log=True)] = Field(
        1.0, ge=0, description="Weight of KL(p(x) ‖ p(x+δ_final))"
    )
    reduction: Annotated[
        Literal["batchmean", "mean"],
        Later("batchmean"),
        NEITHER,
        Field(description="Our reading: sum over the classes, or as mean their mean too"),
    ] = "batchmean"
    detach_clean: Annotated[
        bool,
        Later(False),
        NO_AGR,
        Field(description="Our reading: hold p(x) of AGR constant, or not"),
    ] = False
    agr: Annotated[
        Literal["forward", "reverse"],
        Later("forward"),
        NO_AGR,
        Field(description="Our reading: KL(p(x) ‖ p(x+δ_final)), or with both sides changed"),
    ] = "forward"
    form: Annotated[
        Literal["kl", "ikl", "mse"],
        Later("kl"),
        NO_AMR,
        Field(description="AMR as divergences, as those of IKL, or as squared errors of logits"),
    ] = "kl"


def mutual(p: Tensor, q: Tensor, form: Literal["kl", "ikl", "mse"]) -> Tensor:
    """Return one side of AMR for logits (B, K), summed over classes and averaged over B.

    KL(p‖q) has the gradients of a weighted squared error with q detached plus a soft cross-entropy
    with p detached (Cui et al., NeurIPS 2024). "ikl" leaves q attached in the former, and "mse" is
    the squared error of logits by which FGSM-PGI holds outputs together, alike on both sides.
    """
    if form == "ikl":
        return weighted_squared_error(p, q) + soft_cross_entropy(p, q)
    return (p - q).square().sum(1).mean() if form == "mse" else kl_divergence(p, q)


def regmix_terms(
    model: nn.Module,
    batch: Batch,
    initial_logits: Tensor | None,
    x_adv: Tensor,
    weights: Weights,
    true_class_mass: float,
    clean_logits: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the terms of the loss, given the logits (B, K) at x+δ_init and ``x_adv`` = x+δ_final.

    ``initial_logits`` is needed where α or β is not 0; the clean images pass where γ is not 0, if
    ``clean_logits`` (B, K) are not given. Images without a label have AMR and AGR alone.
    """
    logits = model(x_adv)
    share = 1 / logits.shape[1] if weights.reduction == "mean" else 1.0
    terms = {"ce": known_cross_entropy(logits, batch, true_class_mass)}
    if initial_logits is not None:
        amr = weights.alpha * mutual(logits, initial_logits, weights.form)
        amr = amr + weights.beta * mutual(initial_logits, logits, weights.form)
        terms["amr"] = share * amr
    if weights.gamma:
        clean = model(batch.x) if clean_logits is None else clean_logits
        sides = clean.detach() if weights.detach_clean else clean, logits
        agr = kl_divergence(*(sides if weights.agr == "forward" else reversed(sides)))
        terms["agr"] = share * weights.gamma * agr
    return terms


class RegMix(PriorGuidedMethod):
    """RegMix on prior-guided single-step perturbations; our reading where its paper is silent.

    δ_init is the stored prior of each image, δ_final one FGSM step of size ε from it; the prior
    itself is that of FGSM-PGI. With ``start=random`` δ_init is uniform in the ball and clipped to
    valid pixels, as that of FGSM-RS, and nothing is stored.
    """

    name = "regmix"
    title = "RegMix"
    symbols = SYMBOLS
    formula = "L = CE(f(x+δ_final), ŷ) + L_AMR + L_AGR"
    citation = PAPER
    rank = 90
    colour = 9
    featured = True
    default_true_class_mass = 0.6
    smoothed = frozenset({"attack", "loss"})
    takes_unlabelled = True

    class Config(Weights):
        """Weights, and the prior's resets, start and momentum."""

        reset: Annotated[Reset, Search(5, 80, log=True), NOTHING_STORED] = 40
        clip_start: Annotated[ClipStart, NOTHING_STORED] = False
        momentum_decay: Annotated[MomentumDecay, NOTHING_STORED] = 0.3
        start: Annotated[
            Literal["stored", "random"],
            Later("stored"),
            Field(description="Our reading: the image's prior, or a start drawn at each visit"),
        ] = "stored"

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        stored = self.config.start == "stored"
        super().setup(dataset_size if stored else 0, image_shape, device)

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        config = self.config
        mutual = bool(config.alpha or config.beta)
        stored = config.start == "stored"
        initial = None if stored else uniform_start(batch.x, threat, generator)
        clean = None
        if batch.partly_labelled:  # the attack asks them too
            with torch.set_grad_enabled(bool(config.gamma)):
                clean = model(batch.x)
        start = self.attack(model, batch, threat, generator, mutual, initial, clean)
        if stored:
            self.prior.update(batch, start.initial, start.gradient, threat)

        def terms(initial: Tensor | None, clean: Tensor | None = None) -> dict[str, Tensor]:
            mass = self.true_class_mass
            return regmix_terms(model, batch, initial, start.x_adv, config, mass, clean)

        return StepOutput.of(
            terms(start.logits if mutual else None, clean),
            start.x_adv,
            again=lambda: terms(model(batch.x + start.initial) if mutual else None),
        )


class RegMixAMR(RegMix):
    """Ablation: mutual regularisation alone (γ = 0)."""

    name = "regmix-amr"
    title = "RegMix-AMR"
    formula = "L = CE(f(x+δ_final), ŷ) + L_AMR"
    citation = PAPER
    rank = 70
    colour = 7

    class Config(RegMix.Config):
        """As RegMix, with γ held at 0."""

        gamma: float = Field(0.0, ge=0, le=0, description="Held at 0")


class RegMixAGR(RegMix):
    """Ablation: generalisation regularisation alone (α = β = 0)."""

    name = "regmix-agr"
    title = "RegMix-AGR"
    formula = "L = CE(f(x+δ_final), ŷ) + L_AGR"
    citation = PAPER
    rank = 80
    colour = 8

    class Config(RegMix.Config):
        """As RegMix, with α and β held at 0."""

        alpha: float = Field(0.0, ge=0, le=0, description="Held at 0")
        beta: float = Field(0.0, ge=0, le=0, description="Held at 0")


class RegMixPGD(MultiStepMethod):
    """RegMix on multi-step perturbations, our reading: the row to read beside PGD-AT and TRADES.

    δ_init is a uniform random start, δ_final the end point of PGD from it.
    """

    name = "regmix-pgd"
    title = "RegMix-PGD"
    symbols = SYMBOLS
    formula = "L = CE(f(x+δ_final), ŷ) + L_AMR + L_AGR"
    citation = PAPER
    rank = 100
    colour = 10
    smoothed = frozenset({"attack", "loss"})
    takes_unlabelled = True

    class Config(Weights, PGDConfig):
        """Weights and attack."""

    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        config = self.config
        initial = uniform_start(batch.x, threat, generator)
        x_adv = self.attack(model, batch, threat, initial)

        def terms() -> dict[str, Tensor]:
            logits = model(batch.x + initial) if config.alpha or config.beta else None
            return regmix_terms(model, batch, logits, x_adv, config, self.true_class_mass)

        return StepOutput.of(terms(), x_adv, again=terms)
