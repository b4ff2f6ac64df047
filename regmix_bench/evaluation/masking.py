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
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from regmix_bench.analysis.statistics import mcnemar
from regmix_bench.attacks.ball import ascend
from regmix_bench.attacks.pgd import frozen, pgd
from regmix_bench.attacks.white_box import STEP_RATIO, fgsm_images, pgd_images
from regmix_bench.data.splits import balanced_sample
from regmix_bench.losses import cross_entropy
from regmix_bench.models.predictions import correct, require_eval_mode
from regmix_bench.records.schema import Diagnosis, Question
from regmix_bench.types import NORMS, Epsilon, ThreatModel

#: Images looked at; a class-balanced sample of more.
LIMIT = 500

STEPS, MORE_STEPS = 20, 100

#: Forward passes that the random search has: PGD's, one for each way it goes through the model.
RANDOM_QUERIES = 2 * STEPS

#: Of Square: a tenth of what AutoAttack gives it, yet enough to come near PGD on honest models.
SQUARE_QUERIES = 500


@dataclass(frozen=True)
class OtherModel:
    """A model to craft images on, on the device of the images, and the name to record it by."""

    name: str
    model: nn.Module


def diagnose(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    *,
    other: OtherModel | None = None,
    seed: int = 0,
) -> tuple[Diagnosis, ...]:
    """Six questions to a model, on at most :data:`LIMIT` of the images (N, C, H, W) in [0, 1].

    - ``unbounded``: does robust accuracy fall to 0 as ε grows to the diameter of image space, where
      exchanging the image for one of another class breaks all?
    - ``more-steps``: do 100 steps of PGD break as many images as 20?
    - ``iterative``: does PGD-20 break as many as a single step of FGSM?
    - ``random-direction``: as many as the best of 40 random perturbations of full length?
    - ``black-box``: as many as Square with 500 queries (Andriushchenko et al. 2020)?
    - ``transfer``: as many as images crafted by PGD-20 on ``other``?

    An image of label ``y`` (N,) that is misclassified without an attack counts as broken by all.
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

    with frozen(model):
        held = correct(model, pgd_images(model, x, y, threat, STEPS, seed), y)
        longer = correct(model, pgd_images(model, x, y, threat, MORE_STEPS, seed), y)
        single = correct(model, fgsm_images(model, x, y, threat), y)
        unbounded = _held_at_any_budget(model, x, y, threat)
        random = _held_in_random_directions(model, x, y, threat, seed)
        square = correct(model, _square_images(model, x, y, threat, seed), y)
        found = [
            compared("unbounded", unbounded, torch.zeros_like(unbounded)),
            compared("more-steps", longer, held),
            compared("iterative", held, single),
            compared("random-direction", held, random),
            compared("black-box", held, square),
        ]
        if other is None:
            note = "no other run to craft images on"
            return (*found, Diagnosis(name="transfer", n_examples=n_examples, note=note))
        carried = correct(model, pgd_images(other.model, x, y, threat, STEPS, seed), y)
        return (*found, compared("transfer", held, carried, f"images crafted on {other.name}"))


def _held_at_any_budget(model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> Tensor:
    """Which images (N, C, H, W) survive PGD-20 at every budget of a series up to the largest.

    It starts at the image itself: at a large ε a random start replaces the image by noise, which
    breaks most images of any model, also of one that gives no gradient. Growing budgets, because
    one alone may fail of its step size; what a smaller one breaks, a larger one may break too.
    """
    held = torch.ones_like(y, dtype=torch.bool)
    for wider in _growing(threat, x[0].numel()):
        images, labels = x[held], y[held]

        def objective(z: Tensor, labels: Tensor = labels) -> Tensor:
            return cross_entropy(model(z), labels, reduction="sum")

        delta = pgd(
            objective,
            images,
            wider,
            delta=torch.zeros_like(images),
            steps=STEPS,
            step_size=STEP_RATIO * float(wider.epsilon),
        )
        held[held.clone()] = correct(model, images + delta, labels)
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


@torch.no_grad()
def _held_in_random_directions(
    model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, seed: int
) -> Tensor:
    generator = torch.Generator(x.device).manual_seed(seed)
    held = torch.ones_like(y, dtype=torch.bool)
    for _ in range(RANDOM_QUERIES):
        direction = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        delta = ascend(torch.zeros_like(x), x, direction, threat, float(threat.epsilon))
        held &= correct(model, x + delta, y)
    return held


@torch.no_grad()
def _square_images(
    model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, seed: int
) -> Tensor:
    attack = SquareAttack(
        model,
        norm=threat.norm,
        eps=float(threat.epsilon),
        n_queries=SQUARE_QUERIES,
        seed=seed,
        device=x.device,
    )
    # It seeds torch's global generator, which must not leak into the caller's.
    with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
        images: Tensor = attack.perturb(x.clone(), y.clone())
    return images
