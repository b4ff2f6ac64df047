"""The contract of attacks."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from regmix_bench.attacks.protocol import AttackedData
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

#: Shapes (C, H, W) on which attacks that divide an image into parts were seen to fail.
SIZES = ((1, 1, 1), (1, 4, 4), (1, 14, 14), (3, 19, 11), (2, 24, 32))


def images_stay_inside_the_threat_model(subject: Subject) -> None:
    """Attack under each norm, at its usual budget and at a quarter of it."""
    for usual, parts in itertools.product(_threats(subject), (1, 4)):
        threat = ThreatModel(usual.norm, Epsilon(usual.epsilon / parts))
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


def its_search_ends_with_the_same_images(subject: Subject) -> None:
    """Ask ``search``, which scoring asks, for what ``perturb`` returns, and for its queries."""
    threat, x, y = _threats(subject)[0], images(COUNT, SHAPE), labels(COUNT, CLASSES)
    with torch.no_grad():
        found = subject.create().search(_network(), x, y, threat, seed=0)
    alike = torch.equal(found.images, _perturbed(subject, _network(), threat))
    require(alike, f"under {threat}, search finds other images than perturb")
    if found.queries is not None:
        counted = found.queries.shape == (COUNT,) and found.queries.dtype == torch.int64
        require(counted, "the queries are not an int64 for each image")


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
    model = _linear(64, CLASSES)
    for threat, count in itertools.product(_threats(subject), (1, COUNT)):
        x, y = images(count, SHAPE), labels(count, CLASSES)
        inside(_perturb(subject, model, x, y, threat), x, threat)


def a_model_without_gradients_is_no_obstacle(subject: Subject) -> None:
    """Attack logits that no pixel moves."""
    model = _Constant().eval()
    for threat in _threats(subject):
        inside(_perturbed(subject, model, threat), images(COUNT, SHAPE), threat)


def it_attacks_every_size_that_it_does_not_refuse(subject: Subject) -> None:
    """Attack images of odd sizes, two of two classes, wherever ``obstacle`` names no reason."""
    attack = subject.create()
    for norm, (channels, height, width) in itertools.product(norms_of(subject), SIZES):
        threat, shape = ThreatModel(norm, Epsilon(NORMS[norm].budget)), (channels, height, width)
        unknown = attack.obstacle(threat, AttackedData())
        require(unknown is None, f"under {norm} what is not known yet is an obstacle: {unknown}")
        why = attack.obstacle(threat, AttackedData(shape, 2, 2))
        if why is None:
            model = _linear(height * width * channels, 2)
            x, y = images(2, shape), labels(2, 2)
            inside(_perturb(subject, model, x, y, threat), x, threat)
        else:
            words = isinstance(why, str) and why and "\n" not in why
            require(bool(words), f"the obstacle on images of {shape} is not one line: {why!r}")


RULES: tuple[Rule, ...] = (
    it_says_what_it_is,
    parameters_are_named_validated_and_written_down,
    its_norms_are_known,
    images_stay_inside_the_threat_model,
    it_leaves_images_labels_and_model_as_they_were,
    its_seed_fixes_the_images,
    its_search_ends_with_the_same_images,
    the_global_generator_changes_nothing,
    any_network_and_any_number_of_images_will_do,
    a_model_without_gradients_is_no_obstacle,
    it_attacks_every_size_that_it_does_not_refuse,
)


class _Constant(nn.Module):
    """Maps (B, C, H, W) to the same logits (B, ``CLASSES``), by way of the images."""

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x.flatten(1).sum(1, keepdim=True) + torch.arange(CLASSES).to(x)


def _threats(subject: Subject) -> list[ThreatModel]:
    """Return the usual threats, less those under which such images are refused."""
    attack, data = subject.create(), AttackedData(SHAPE, CLASSES, COUNT)
    found = [ThreatModel(norm, Epsilon(NORMS[norm].budget)) for norm in norms_of(subject)]
    return [threat for threat in found if attack.obstacle(threat, data) is None]


def _linear(pixels: int, classes: int) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes))
    return model.eval().requires_grad_(False)


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
