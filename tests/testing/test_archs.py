"""The contract of architectures: those that keep it, and many that break one rule each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import plug_ins
from torch import Tensor, nn

from regmix_bench.errors import UserError
from regmix_bench.models import ARCHS
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.testing import check_arch


def broken_rules(change: Any) -> dict[str, str]:
    """Check the network of one hidden layer after ``change``, a function of what is built."""

    class Changed(plug_ins.OneLayer):
        """One hidden layer, changed."""

        def build(self, *arguments: Any) -> ImageClassifier:
            return change(super().build(*arguments))

    ARCHS.register("one-layer", Changed)
    return {failure.rule: failure.reason for failure in check_arch("one-layer")}


@pytest.mark.parametrize("name", ["smallcnn", "resnet8", "one-layer[width=8]"])
def test_an_architecture_that_keeps_the_contract_breaks_no_rule(name: str) -> None:
    plug_ins.register()
    assert check_arch(name) == []


class Shifted(nn.Module):
    """A layer that ``shift`` changes; put at the end of a trunk."""

    def __init__(self, shift: Any) -> None:
        super().__init__()
        self.shift = shift
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.shift(self, x)


def appended(shift: Any) -> Any:
    def change(model: ImageClassifier) -> ImageClassifier:
        model.trunk.append(Shifted(shift))
        return model

    return change


def counting(layer: Any, x: Tensor) -> Tensor:
    layer.seen += 1
    return x


def softmaxed(model: ImageClassifier) -> ImageClassifier:
    model.forward = lambda x: model.classifier(model.features(x)).softmax(1)
    return model


def unused(model: ImageClassifier) -> ImageClassifier:
    model.spare = nn.Linear(2, 2)
    return model


def unnormalised(model: ImageClassifier) -> ImageClassifier:
    model.normalise.mean.zero_()
    return model


def constant(model: ImageClassifier) -> ImageClassifier:
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    return model


def drawn_elsewhere(model: ImageClassifier) -> ImageClassifier:
    nn.init.normal_(model.classifier.weight, generator=torch.Generator().manual_seed(next(SEEDS)))
    return model


SEEDS = iter(range(10_000))


def hidden_state(model: ImageClassifier) -> ImageClassifier:
    scale = torch.rand(())
    model.trunk.append(Shifted(lambda layer, x: x * scale))
    return model


ALONE = "an image is judged alone in evaluation mode"


@pytest.mark.parametrize(
    ("change", "rule", "reason"),
    [
        (lambda model: nn.Flatten(), "it builds for images of some size", "it builds a Flatten"),
        (softmaxed, "logits are the classifier of the features", "is not model(x)"),
        (
            appended(lambda layer, x: x[:, None]),
            "logits are the classifier of the features",
            "logits are (5, 1, 10), not (5, 10)",
        ),
        (
            appended(lambda layer, x: x.float()),
            "logits are the classifier of the features",
            "RuntimeError",
        ),
        (unnormalised, "images are normalised by what it is given", "it has the means"),
        (unused, "gradients reach the image and every weight", "no gradient reaches spare.weight"),
        (
            appended(lambda layer, x: x.detach()),
            "gradients reach the image and every weight",
            "no gradient reaches the images",
        ),
        (appended(lambda layer, x: x - x.mean(0)), ALONE, "depend on the others of its batch"),
        (
            appended(lambda layer, x: x + torch.rand_like(x)),
            ALONE,
            "a second pass gives other logits",
        ),
        (appended(counting), ALONE, "after passes in evaluation mode: trunk.3.seen differs"),
        (constant, "a seed fixes the weights", "another seed gives the same weights"),
        (drawn_elsewhere, "a seed fixes the weights", "built a second time from the same seed"),
        (hidden_state, "saved weights fill another model", "the logits differ"),
    ],
)
def test_an_architecture_that_breaks_a_rule_is_told(change: Any, rule: str, reason: str) -> None:
    found = broken_rules(change)
    assert reason in found.get(rule, ""), found


def test_a_size_may_be_refused_and_not_all_of_them() -> None:
    def only(*shapes: tuple[int, ...]) -> Any:
        class Choosy(plug_ins.OneLayer):
            """One hidden layer, for some images."""

            def build(self, image_shape, *arguments: Any) -> ImageClassifier:
                if image_shape not in shapes:
                    raise ValueError(image_shape)
                return super().build(image_shape, *arguments)

        ARCHS.register("one-layer", Choosy)
        return check_arch("one-layer")

    assert only((3, 32, 32)) == []
    (failure, *_) = only()
    assert failure.rule == "it builds for images of some size"


def test_what_cannot_be_asked_for_is_no_broken_rule() -> None:
    with pytest.raises(UserError, match="unknown architecture 'smalcnn': did you mean 'smallcnn'"):
        check_arch("smalcnn")
