"""The contract of methods: a method that keeps it, and many that break one rule each."""

from __future__ import annotations

import copy
from typing import Annotated, Any

import pytest
import torch
from pydantic import BaseModel, Field
from support.harness import cli
from torch import Tensor, nn

from regmix_bench.attacks.noise import uniform_start
from regmix_bench.errors import UserError
from regmix_bench.losses import cross_entropy
from regmix_bench.methods import METHODS, register_method
from regmix_bench.methods.effects import Idle
from regmix_bench.methods.protocol import Method
from regmix_bench.testing import Failure, Subject, check_method
from regmix_bench.testing.contract import Rule, findings
from regmix_bench.testing.effects import parameters_without_effect_say_so
from regmix_bench.testing.methods import (
    ranges_to_tune_hold_their_defaults,
    replayed_steps_are_those_of_training,
)
from regmix_bench.types import Frozen, Search, StepOutput


class Noise(Method):
    """CE on images under uniform noise."""

    name = "noise"

    class Config(Frozen):
        weight: float = 1.0

    def images(self, x: Tensor, delta: Tensor) -> Tensor:
        return x + delta

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(model(x), y)

    def step(self, model, batch, threat, generator) -> StepOutput:
        x = self.images(batch.x, uniform_start(batch.x, threat, generator))

        def loss() -> Tensor:
            return self.config.weight * self.loss(model, x, batch.y)

        return StepOutput(loss(), x, again=loss)


class Smoothed(Noise):
    """CE that sees smoothed labels, and a term that may."""

    smoothed = frozenset({"loss"})
    seen = 0.0  # by how much

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        logits = model(x)
        term = logits.square().mean() * (0.01 + self.seen * (1 - self.true_class_mass))
        return cross_entropy(logits, y, self.true_class_mass) + term


class SmoothedUnsaid(Smoothed):
    smoothed: frozenset[str] = frozenset()


class UnsmoothedSaid(Noise):
    smoothed = frozenset({"loss"})


class AttackSaid(Smoothed):
    smoothed = frozenset({"attack", "loss"})


class TermUnsaid(Smoothed):
    seen = 1000.0


class UnknownTrick(Noise):
    refuses = {"gradient_clp": "for no good reason"}


class AuthorsSmooth(Noise):
    default_true_class_mass = 0.6


class NoLossAgain(Noise):
    def step(self, model, batch, threat, generator) -> StepOutput:
        output = super().step(model, batch, threat, generator)
        return StepOutput(output.loss, output.x_adv)


class AnotherLossAgain(Noise):
    def step(self, model, batch, threat, generator) -> StepOutput:
        output = super().step(model, batch, threat, generator)
        return StepOutput(output.loss, output.x_adv, again=lambda: 2 * output.again())


class KeptLossAgain(Noise):
    def step(self, model, batch, threat, generator) -> StepOutput:
        output = super().step(model, batch, threat, generator)
        first = output.again()
        return StepOutput(output.loss, output.x_adv, again=lambda: first * 1)


class DrawnAgain(Noise):
    def step(self, model, batch, threat, generator) -> StepOutput:
        output = super().step(model, batch, threat, generator)

        def again() -> Tensor:
            torch.rand(1, generator=generator)
            return output.again()

        return StepOutput(output.loss, output.x_adv, again=again)


class LabelsAsked(Noise):
    takes_unlabelled = True


class Outside(Noise):
    def images(self, x: Tensor, delta: Tensor) -> Tensor:
        return (x + 2 * delta).clamp(0, 1)


class OutOfRange(Noise):
    def images(self, x: Tensor, delta: Tensor) -> Tensor:
        return x + delta.abs() + 1e-3


class Attached(Noise):
    def images(self, x: Tensor, delta: Tensor) -> Tensor:
        return x + delta.requires_grad_()


class InPlace(Noise):
    def images(self, x: Tensor, delta: Tensor) -> Tensor:
        return x.add_(delta)


class Unsummed(Noise):
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(x), y, reduction="none")


class NotANumber(Noise):
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, y) * float("nan")


class Detached(Noise):
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, y).detach()


class HalfPrecision(Noise):
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, y).float()


class OneLayer(Noise):
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(model.classifier(model.features(x).detach()), y)


class Backward(Noise):
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        super().loss(model, x, y).backward()
        return super().loss(model, x, y)


class EvaluationMode(Noise):
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model.eval(), x, y)


class LeftFrozen(Noise):
    def step(self, *arguments) -> StepOutput:
        output = super().step(*arguments)
        arguments[0].classifier.bias.requires_grad_(False)
        return output


class Measured(Noise):
    def step(self, model, batch, *rest) -> StepOutput:
        output = super().step(model, batch, *rest)
        output.metrics["images"] = output.x_adv
        return output


class GlobalNoise(Noise):
    def images(self, x: Tensor, delta: Tensor) -> Tensor:
        return (x + delta * torch.rand_like(x)).clamp(0, 1)


class GlobalDraw(Noise):
    def images(self, x: Tensor, delta: Tensor) -> Tensor:
        torch.rand(1)
        return x + delta


class Clocked(Noise):
    calls = 0

    def images(self, x: Tensor, delta: Tensor) -> Tensor:
        Clocked.calls += 1
        return x + delta / Clocked.calls


class Forgetful(Noise):
    steps = 0

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        self.steps += 1
        return super().loss(model, x, y) * (1 + self.steps / 100)


class Averaging(Noise):
    def evaluated_model(self, model: nn.Module) -> nn.Module:
        return copy.deepcopy(model)


class Renaming(Noise):
    averages_weights = True

    def evaluated_model(self, model: nn.Module) -> nn.Module:
        return nn.Sequential(copy.deepcopy(model))


class WrongLabels(Noise):
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, (y + 1) % 10)


class Late(Noise):
    """A number of the host that changes when steps are replayed."""

    steps = 0

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        self.steps += 1
        return super().loss(model, x, y) * (2 if self.steps > 10 else 1)


class LateUpdate(Noise):
    updates = 0

    def after_update(self, model: nn.Module) -> None:
        self.updates += 1
        with torch.no_grad():
            model.classifier.bias.mul_(0.9 if self.updates > 10 else 0.8)


class Counting(Noise):
    """Python alone counts, and does not run in a replay."""

    steps = 0

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        self.steps += 1
        return super().loss(model, x, y)

    def state_dict(self) -> dict[str, Any]:
        return {"counted": {"steps": self.steps}}


class Remembering(Noise):
    """Each recording makes a tensor of its own."""

    last = torch.zeros(())

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        loss = super().loss(model, x, y)
        self.last = loss.detach()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last}


class Reading(Noise):
    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, y) / x.max().item()


class Replacing(Noise):
    mean = torch.zeros(())

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + x.mean()
        return super().loss(model, x, y) + self.mean


class Ramping(Noise):
    """Its weight follows from the epoch."""

    weight = 0.0

    def on_epoch_start(self, epoch: int) -> None:
        self.weight = min(epoch, 2) / 2

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, y) * self.weight


class Telling(Ramping):
    """As that, and it says so."""

    @property
    def branch(self) -> float:
        return self.weight


class Alternating(Noise):
    """Another weight in every second batch, which the step finds in a tensor."""

    def setup(self, dataset_size, image_shape, device) -> None:
        self.second = torch.zeros((), device=device)

    def on_batch_start(self, number: int) -> None:
        self.second.fill_(number % 2)

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, y) * (1 + self.second)


class Branching(Noise):
    """As that, and the step finds it in Python, of which ``branch`` tells."""

    branch = False

    def on_batch_start(self, number: int) -> None:
        self.branch = number % 2 == 1

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, y) * (2 if self.branch else 1)


class UnknownNorm(Noise):
    norms = ("L0",)


class Versionless(Noise):
    version = "2"


class Loose(Noise):
    class Config(BaseModel):
        weight: float = 1.0


class Anything(Noise):
    class Config(Frozen):
        weight: Any = 1.0


class Required(Noise):
    class Config(Frozen):
        weight: float


def broken_rules(method: type[Noise], params: str = "") -> dict[str, str]:
    METHODS.register("noise", method)
    return {failure.rule: failure.reason for failure in check_method(f"noise{params}")}


LOSS = "the loss is a finite scalar that reaches every weight"
INSIDE = "adversarial images stay inside the threat model"
LEAVES = "it leaves the batch and the model as they were"
GLOBAL = "the global generator plays no part"
PARAMETERS = "parameters are named validated and written down"
SEES = "it sees smoothed labels where it says"
AGAIN = "it gives its loss again"
MISSING = "missing labels are not asked"
TRICKS = "its tricks are known"


def test_a_method_that_keeps_the_contract_breaks_no_rule() -> None:
    assert broken_rules(Noise, "[weight=2]") == {}


class Reaching(Noise):
    """Trains on images twice as far away, and beyond pixels, as it says."""

    largest_perturbation = 2.0
    clips_pixels = False

    def images(self, x: Tensor, delta: Tensor) -> Tensor:
        return x + 2 * delta


class Refusing(NoLossAgain):
    """Refuses what it cannot take."""

    refuses = {"awp_gamma": "as it steps by itself"}


@pytest.mark.parametrize("method", [Smoothed, Reaching, Refusing])
def test_what_a_method_says_of_its_tricks_is_taken_as_said(method: Any) -> None:
    assert broken_rules(method) == {}


@pytest.mark.parametrize(
    ("method", "rule", "reason"),
    [
        (Outside, INSIDE, "under L1 8/255 an image has moved by 0.06"),
        (OutOfRange, INSIDE, "pixels span 0.00"),
        (Attached, INSIDE, "they are not detached"),
        (InPlace, LEAVES, "the images were changed in place"),
        (Unsummed, LOSS, "it has the shape (16,)"),
        (NotANumber, LOSS, "it is nan"),
        (Detached, LOSS, "no gradient flows through it"),
        (HalfPrecision, LOSS, "it is torch.float32 of images in torch.float64"),
        (OneLayer, LOSS, "no gradient reaches trunk.0.weight"),
        (Backward, LEAVES, "gradients are left on weights"),
        (EvaluationMode, LEAVES, "a layer is left in eval mode"),
        (LeftFrozen, LEAVES, "a weight is left frozen"),
        (Measured, LEAVES, "metric 'images' is no detached scalar"),
        (GlobalNoise, GLOBAL, "a second time under L1, the images differ"),
        (GlobalDraw, GLOBAL, "numbers were drawn from it"),
        (Clocked, "a seed fixes the result", "the images differ"),
        (Forgetful, "a saved state continues as if never stopped", "resumed, the losses differ"),
        (Averaging, "the model to score has the same weights by name", "averages_weights is False"),
        (Renaming, "the model to score has the same weights by name", "have other names"),
        (WrongLabels, "digits are learnt", "clean after 6 epochs, not above 50%"),
        (SmoothedUnsaid, SEES, "the loss sees smoothed labels, and `smoothed` says otherwise"),
        (UnsmoothedSaid, SEES, "the loss does not see smoothed labels"),
        (AttackSaid, SEES, "the attack does not see smoothed labels"),
        (TermUnsaid, SEES, "more of the loss than a cross-entropy sees smoothed labels"),
        (UnknownTrick, TRICKS, "it refuses 'gradient_clp', no field of the recipe"),
        (AuthorsSmooth, TRICKS, "its authors smooth labels, and it takes none: 0.6"),
        (NoLossAgain, AGAIN, "its steps have no `again`: say in `refuses` why of awp_gamma"),
        (AnotherLossAgain, AGAIN, "again, after"),
        (KeptLossAgain, AGAIN, "at other weights it is the same"),
        (DrawnAgain, AGAIN, "again it draws numbers"),
        (LabelsAsked, MISSING, "Target -1 is out of bounds"),
        (UnknownNorm, "its norms are known", "there is no norm ['L0']"),
        (Versionless, "it says what it is", "its version is '2'"),
        (Loose, PARAMETERS, "does not derive from regmix_bench.types.Frozen"),
        (Anything, PARAMETERS, "it takes any value as weight"),
    ],
)
def test_a_method_that_breaks_a_rule_is_told(method: Any, rule: str, reason: str) -> None:
    method.__doc__ = method.__doc__ or "Broken."
    found = broken_rules(method)
    assert reason in found.get(rule, ""), found


def test_a_docstring_is_asked_for() -> None:
    Outside.__doc__ = None
    assert broken_rules(Outside)["it says what it is"].startswith("its docstring is empty")


def test_what_cannot_be_asked_for_is_no_broken_rule() -> None:
    with pytest.raises(UserError, match="unknown method 'nose': did you mean 'noise'"):
        check_method("nose") if "noise" in METHODS.names() else register_method(Noise)
    with pytest.raises(UserError, match="unknown key of noise 'wait'"):
        broken_rules(Noise, "[wait=1]")
    with pytest.raises(UserError, match=r"noise\.weight: field required"):
        broken_rules(Required)


class Scaled(Noise):
    """CE with a term that a weight of 0 leaves out, and a scale inside the term."""

    class Config(Frozen):
        weight: float = 1.0
        scale: float = 2.0

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        logits, config = model(x), self.config
        return (
            cross_entropy(logits, y) + config.weight * ((config.scale + 1) * logits).square().mean()
        )

    def step(self, model, batch, threat, generator) -> StepOutput:
        x = self.images(batch.x, uniform_start(batch.x, threat, generator))
        return StepOutput(self.loss(model, x, batch.y), x)


def idle(why: str, where: Any) -> Any:
    """Parameters of :class:`Scaled`, of which ``scale`` is marked."""

    class Config(Frozen):
        weight: float = 1.0
        scale: Annotated[float, Idle(why, where)] = 2.0

    return type("Marked", (Scaled,), {"Config": Config, "__doc__": "Marked."})


WEIGHTLESS = idle("weight is 0", lambda config, *_: config.weight == 0)
ALWAYS = idle("it rains", lambda config, *_: True)
WEIGHTED = idle("weight is not 1", lambda config, *_: config.weight == 0 or config.scale == 1)


@pytest.mark.parametrize(
    ("method", "found"),
    [
        (WEIGHTLESS, None),
        (Scaled, "no effect is seen of scale where weight is 0.0"),
        (ALWAYS, "scale changes the training, and is marked as idle by default"),
        (WEIGHTED, "scale changes the training, and is marked as idle by default"),
    ],
)
def test_what_has_no_effect_is_noted_and_a_mark_that_is_wrong_told(
    method: type[Noise], found: str | None
) -> None:
    assert ruled(method, parameters_without_effect_say_so) == found


class OutOfRange(Noise):
    class Config(Noise.Config):
        weight: Annotated[float, Search(2, 5)] = 1.0


class RefusedEnd(Noise):
    class Config(Noise.Config):
        weight: Annotated[float, Search(1, 5)] = Field(1.0, le=4)


@pytest.mark.parametrize(
    ("method", "found"),
    [
        (Noise, None),
        (OutOfRange, "weight is tuned from 2 to 5, and its default is 1.0"),
        (
            RefusedEnd,
            "weight = 5, an end of its range, is refused: weight: input should be less than or"
            " equal to 4",
        ),
    ],
)
def test_a_range_to_tune_that_does_not_fit_is_told(method: type[Noise], found: str | None) -> None:
    assert ruled(method, ranges_to_tune_hold_their_defaults) == found


def ruled(method: type[Noise], rule: Rule) -> str | None:
    METHODS.register("noise", method)
    said = next(findings(Subject("noise", METHODS), [rule]))
    return said.reason if isinstance(said, Failure) else said


def replayed(method: type[Noise]) -> Failure | str | None:
    METHODS.register("noise", method)
    subject = Subject("noise", METHODS)
    return next(findings(subject, [replayed_steps_are_those_of_training]))


@pytest.mark.parametrize("method", [Noise, Telling, Alternating, Branching])
def test_steps_of_a_method_that_tells_its_branch_are_replayed(method: type[Noise]) -> None:
    assert replayed(method) is None


@pytest.mark.parametrize(
    ("method", "what"),
    [
        (Late, "in epoch 1, loss is another"),
        (LateUpdate, "in epoch 1, loss is another"),
        (Counting, "after training, the method, counted, steps is another"),
        (Remembering, "after training, the method, last is another"),
    ],
)
def test_a_method_that_is_another_when_it_is_replayed_is_told(
    method: type[Noise], what: str
) -> None:
    found = replayed(method)
    assert isinstance(found, Failure) and found.reason.startswith(what)


@pytest.mark.parametrize(
    ("method", "why"),
    [
        (
            Reading,
            "_local_scalar_dense makes the host wait for the device (testing/test_methods.py:",
        ),
        (Replacing, "mul takes up a tensor in the place of another (testing/test_methods.py:"),
        (Forgetful, "mul is given 1.0"),
        (Ramping, "mul is given 0.5 in one step, 1.0 in another (testing/test_methods.py:"),
    ],
)
def test_a_method_that_is_not_recorded_keeps_the_rule_and_hears_why(
    method: type[Noise], why: str
) -> None:
    found = replayed(method)
    assert isinstance(found, str) and why in found


def test_the_command_says_why_in_one_line() -> None:
    METHODS.register("noise", Reading)
    Reading.__doc__ = "Read on the host."
    answered = cli("test", "noise")
    kept = (
        "  ok    replayed steps are those of training: steps are not replayed: _local_scalar_dense"
    )
    assert answered.status == 0 and kept in answered.out
