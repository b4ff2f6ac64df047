"""The contract of attacks."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from regmix_bench.models import build_model
from regmix_bench.testing.contract import (
    Rule,
    Subject,
    it_says_what_it_is,
    its_norms_are_known,
    norms_of,
    parameters_are_named_validated_and_written_down,
    require,
)
from regmix_bench.testing.samples import images, inside, labels, same, state_of
from regmix_bench.types import NORMS, Epsilon, ThreatModel

SHAPE = (1, 8, 8)
CLASSES = 10
COUNT = 12


def images_stay_inside_the_threat_model(subject: Subject) -> None:
    """Attack under each norm, at its usual budget and at a quarter of it."""
    for norm, parts in itertools.product(norms_of(subject), (1, 4)):
        threat = ThreatModel(norm, Epsilon(Epsilon(NORMS[norm].budget) / parts))
        inside(_perturbed(subject, _network(), threat), images(COUNT, SHAPE), threat)


def it_leaves_images_labels_and_model_as_they_were(subject: Subject) -> None:
    """Look at pixels, labels, modes, gradients and the model's whole state after an attack."""
    model, x, y = _network(), images(COUNT, SHAPE), labels(COUNT, CLASSES)
    before = state_of(model)
    _perturb(subject, model, x, y, _threats(subject)[0])
    require(torch.equal(x, images(COUNT, SHAPE)), "the images were changed in place")
    require(torch.equal(y, labels(COUNT, CLASSES)), "the labels were changed in place")
    require(not x.requires_grad, "the images are left to want gradients")
    require(not any(m.training for m in model.modules()), "a layer is left in training mode")
    require(not any(p.requires_grad for p in model.parameters()), "a weight is left unfrozen")
    require(all(p.grad is None for p in model.parameters()), "gradients are left on weights")
    same(state_of(model), before, "the model after an attack")


def its_seed_fixes_the_images(subject: Subject) -> None:
    """Attack twice with one seed."""
    for threat in _threats(subject):
        first, second = (_perturbed(subject, _network(), threat) for _ in range(2))
        require(torch.equal(first, second), f"a second time under {threat}, the images differ")


def the_global_generator_changes_nothing(subject: Subject) -> None:
    """Attack from two states of torch's global generator."""
    for threat in _threats(subject):
        found = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            found.append(_perturbed(subject, _network(), threat))
        require(torch.equal(*found), f"from another state under {threat}, the images differ")


def any_network_and_any_number_of_images_will_do(subject: Subject) -> None:
    """Attack a single linear layer, of which nothing is known but its logits, with one image."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)).eval().requires_grad_(False)
    for threat, count in itertools.product(_threats(subject), (1, COUNT)):
        x, y = images(count, SHAPE), labels(count, CLASSES)
        inside(_perturb(subject, model, x, y, threat), x, threat)


def a_model_without_gradients_is_no_obstacle(subject: Subject) -> None:
    """Attack logits that no pixel moves."""
    model = _Constant().eval()
    for threat in _threats(subject):
        inside(_perturbed(subject, model, threat), images(COUNT, SHAPE), threat)


RULES: tuple[Rule, ...] = (
    it_says_what_it_is,
    parameters_are_named_validated_and_written_down,
    its_norms_are_known,
    images_stay_inside_the_threat_model,
    it_leaves_images_labels_and_model_as_they_were,
    its_seed_fixes_the_images,
    the_global_generator_changes_nothing,
    any_network_and_any_number_of_images_will_do,
    a_model_without_gradients_is_no_obstacle,
)


class _Constant(nn.Module):
    """Maps (B, C, H, W) to the same logits (B, ``CLASSES``), by way of the images."""

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x.flatten(1).sum(1, keepdim=True) + torch.arange(CLASSES).to(x)


def _threats(subject: Subject) -> list[ThreatModel]:
    return [ThreatModel(norm, Epsilon(NORMS[norm].budget)) for norm in norms_of(subject)]


def _network() -> nn.Module:
    """Return a network in evaluation mode whose weights want no gradient, as attacks get it."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build_model("smallcnn", SHAPE, CLASSES).eval().requires_grad_(False)


def _perturbed(subject: Subject, model: nn.Module, threat: ThreatModel) -> Tensor:
    return _perturb(subject, model, images(COUNT, SHAPE), labels(COUNT, CLASSES), threat)


def _perturb(
    subject: Subject, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel
) -> Tensor:
    """Attack as evaluation does, where no gradients are recorded."""
    with torch.no_grad():
        found: Tensor = subject.create().perturb(model, x, y, threat, seed=0)
    return found
