"""The gradient-masking audit: does the gradient attack mean what its number says?

The signs are those of Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of
security", ICML 2018, section 3.1, and of Carlini et al., "On evaluating adversarial robustness",
2019. Each becomes a question of two attacks on the same images, one of which ought to break at
least as many as the other, put to a one-sided exact McNemar test.

An alarm says that PGD's number overstates the robustness of this model, not that anyone meant it
to. Rounded inputs do that, and so do logits so large that the softmax saturates: above a margin of
about 100 every float32 gradient of the cross-entropy is exactly zero. Ordinary confidence is no
masking: up to there the gradient is tiny, and PGD takes its sign or normalises it. A model on which
one run of PGD stops at poor local maxima, as single-step training at a large ε leaves behind, may
raise ``black-box`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from regmix_bench.analysis.statistics import mcnemar
from regmix_bench.attacks.autoattack import Square
from regmix_bench.attacks.black_box import RandomDirections
from regmix_bench.attacks.pgd import frozen
from regmix_bench.attacks.protocol import Attack, AttackedData
from regmix_bench.attacks.white_box import FGSM, PGD
from regmix_bench.data.splits import balanced_sample
from regmix_bench.models.predictions import correct, require_eval_mode
from regmix_bench.records.schema import Diagnosis, Question
from regmix_bench.types import NORMS, Epsilon, ThreatModel

#: Images looked at; a class-balanced sample of more.
LIMIT = 500

STEPS, MORE_STEPS = 20, 100

#: Forward passes that the random search has: PGD's, one for each way it goes through the model.
RANDOM_QUERIES = 2 * STEPS

#: About how often the six questions pass an image through the model, both ways counted.
PASSES = 1_100

#: Of Square: a tenth of what AutoAttack gives it, yet enough to come near PGD on honest models.
SQUARE_QUERIES = 500


@dataclass(frozen=True)
class Surrogate:
    """A model to craft images on, on the device of the images, and the name to record it by."""

    name: str
    model: nn.Module


def diagnose(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    *,
    other: Surrogate | None = None,
) -> tuple[Diagnosis, ...]:
    """Ask a model six questions, on at most :data:`LIMIT` of the images (N, C, H, W) in [0, 1].

    - ``unbounded``: does robust accuracy fall to 0 as ε grows to the diameter of image space, where
      exchanging the image for one of another class breaks all?
    - ``more-steps``: do 100 steps of PGD break as many images as 20?
    - ``iterative``: does PGD-20 break as many as a single step of FGSM?
    - ``random-direction``: as many as the best of 40 random perturbations of full length?
    - ``black-box``: as many as Square with 500 queries (Andriushchenko et al. 2020)?
    - ``transfer``: as many as images crafted by PGD-20 on ``other``?

    A question is not asked where its attack is not defined. An image of label ``y`` (N,) that is
    misclassified without an attack counts as broken by all.
    Six images that one attack alone breaks are too few for the level of 1 %, seven are enough.
    Torch's global generator is left as it was. Raises ``RuntimeError`` for a model in training
    mode.
    """
    require_eval_mode(model)
    chosen = torch.from_numpy(balanced_sample(y.cpu().numpy(), LIMIT)).to(y.device)
    right = correct(model, x[chosen], y[chosen])
    n_examples = len(right)
    x, y = x[chosen][right], y[chosen][right]
    if not len(y):
        note = "no image is classified correctly"
        return tuple(
            Diagnosis(name=name, n_examples=n_examples, note=note) for name in get_args(Question)
        )

    def compared(name: Question, stronger: Tensor, weaker: Tensor, note: str = "") -> Diagnosis:
        """Whether the attack that ought to be weaker breaks more; flags are of images that held."""
        broken_by_weaker, broken_by_stronger = stronger & ~weaker, weaker & ~stronger
        return Diagnosis(
            name=name,
            stronger=int(stronger.sum()) / n_examples,
            weaker=int(weaker.sum()) / n_examples,
            n_examples=n_examples,
            p_value=mcnemar(int(broken_by_weaker.sum()), int(broken_by_stronger.sum()), "greater"),
            note=note,
        )

    def held_under(attack: Attack, crafted_on: nn.Module = model) -> Tensor:
        # The authors' attacks seed torch's global generator.
        with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
            x_adv = attack.perturb(crafted_on, x, y, threat, seed=0)
        return correct(model, x_adv, y)

    def black_box() -> Diagnosis:
        data = AttackedData((x.shape[1], x.shape[2], x.shape[3]), n_images=len(x))
        if why := square.obstacle(threat, data):
            return Diagnosis(name="black-box", n_examples=n_examples, note=f"Square: {why}")
        return compared("black-box", held, held_under(square))

    pgd, longer = PGD.of(steps=STEPS), PGD.of(steps=MORE_STEPS)
    square = Square.of(n_queries=SQUARE_QUERIES, resc_schedule=True)
    with frozen(model), torch.no_grad():
        held = held_under(pgd)
        unbounded = _held_at_any_budget(model, x, y, threat)
        found = [
            compared("unbounded", unbounded, torch.zeros_like(unbounded)),
            compared("more-steps", held_under(longer), held),
            compared("iterative", held, held_under(FGSM())),
            compared(
                "random-direction", held, held_under(RandomDirections.of(n_queries=RANDOM_QUERIES))
            ),
            black_box(),
        ]
        if other is None:
            note = "no other run to craft images on"
            return (*found, Diagnosis(name="transfer", n_examples=n_examples, note=note))
        carried = held_under(pgd, crafted_on=other.model)
        return (*found, compared("transfer", held, carried, f"images crafted on {other.name}"))


def _held_at_any_budget(model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> Tensor:
    """Which images (N, C, H, W) survive PGD-20 at every budget of a series up to the largest.

    It starts at the image itself: at a large ε a random start replaces the image by noise, which
    breaks most images of any model, also of one that gives no gradient. Growing budgets, because
    one alone may fail of its step size; what a smaller one breaks, a larger one may break too.
    """
    attack = PGD.of(steps=STEPS, start="image")
    held = torch.ones_like(y, dtype=torch.bool)
    for wider in _growing(threat, x[0].numel()):
        images, labels = x[held], y[held]
        held[held.clone()] = correct(model, attack.perturb(model, images, labels, wider), labels)
        if not held.any():
            break
    return held


def _growing(threat: ThreatModel, dimensions: int) -> Iterator[ThreatModel]:
    """The threat at ε, 2ε, 4ε, …, and last at the ε that holds every image."""
    diameter = NORMS[threat.norm].diameter(dimensions)
    epsilon = float(threat.epsilon)
    while epsilon < diameter:
        yield ThreatModel(threat.norm, Epsilon(epsilon))
        epsilon *= 2
    yield ThreatModel(threat.norm, Epsilon(diameter))
