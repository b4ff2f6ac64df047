"""An update at perturbed weights, against the order of Wu et al. in formulas, and others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support.formulas import EXACT, ce, kl, network
from support.tricks import smoothed_method
from torch import Tensor, nn
from torch.func import functional_call

from regmix_bench.errors import UserError
from regmix_bench.methods import load_method
from regmix_bench.methods.averaging import WeightAverage
from regmix_bench.methods.configured import tell_recipe
from regmix_bench.methods.protocol import Method
from regmix_bench.models import build_model
from regmix_bench.models.execution import ModelRunner
from regmix_bench.specs import Recipe
from regmix_bench.system.machine import Execution
from regmix_bench.training.awp import WeightPerturbation
from regmix_bench.training.optim import make_optimizer
from regmix_bench.training.update import LENGTH, LONGEST, Update
from regmix_bench.types import Batch, StepOutput, ThreatModel

CPU, THREAT, MASS, STEPS = torch.device("cpu"), ThreatModel("Linf", "0.1"), 0.7, 4
RECIPE: dict[str, Any] = {
    **{"epochs": 3, "lr": 0.3, "weight_decay": 0.1, "momentum": 0.8, "awp_gamma": 0.2},
    **{"ema_decay": 0.5, "gradient_clip": 0.7},
}
KERNELS = ("0.weight", "4.weight")
State = dict[str, Tensor]


def batches() -> list[Batch]:
    generator = torch.Generator().manual_seed(5)
    found = []
    for _ in range(STEPS):
        x = torch.rand(6, 1, 4, 4, generator=generator, dtype=torch.float64)
        y = torch.randint(4, (6,), generator=generator)
        found.append(Batch(x, y, torch.arange(6)))
    return found


def loss_of(name: str, f: Any, x: Tensor, x_adv: Tensor, y: Tensor) -> Tensor:
    """The method's loss; ``f`` maps images to logits at whatever weights."""
    if name == "trades":
        clean = f(x)
        return ce(clean, y, MASS).mean() + 6 * kl(clean, f(x_adv)).mean()
    return ce(f(x_adv), y, MASS).mean()


def expected(name: str, fault: str = "") -> tuple[State, State, list[Tensor]]:
    """Weights, their average and the images of a training by formulas, or with a ``fault``."""
    model = network()
    names = [name for name, _ in model.named_parameters()]
    momentum = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    average, images, noise = dict[str, Tensor](), [], torch.Generator().manual_seed(3)
    method = smoothed_method(name, MASS, **{"steps": 2} if name in ("trades", "pgd-at") else {})
    for batch in batches():
        weights = {n: p.detach().clone() for n, p in model.named_parameters()}
        statistics = {n: b.clone() for n, b in model.named_buffers()}
        x_adv = method.step(model, batch, THREAT, noise).x_adv  # of the weights w
        held = {n: b.clone() for n, b in statistics.items()}  # what passes leave of them

        def gradients(at: State, x_adv: Tensor = x_adv, held: State = held, batch: Batch = batch):
            leaves = {n: w.clone().requires_grad_() for n, w in at.items()}

            def f(x: Tensor) -> Tensor:
                return functional_call(model, {**leaves, **held}, (x,))

            loss = loss_of(name, f, batch.x, x_adv, batch.y)
            return dict(zip(names, torch.autograd.grad(loss, list(leaves.values())), strict=True))

        first = gradients(weights)
        if fault != "statistics of w too":
            held.update({n: b.clone() for n, b in statistics.items()})
        v = {n: torch.zeros_like(w) for n, w in weights.items()}
        for n in names if fault == "all weights" else KERNELS:
            w, g = weights[n], first[n]
            dims = tuple(range(1, w.dim())) if fault == "by filters" else tuple(range(w.dim()))
            lengths = [t.square().sum(dims, keepdim=True).sqrt() for t in (w, g)]
            v[n] = 0.2 * lengths[0] * g / lengths[1]
        there = {n: weights[n] + v[n] for n in names}
        if fault == "an attack at w + v":
            with torch.no_grad():
                for n, p in model.named_parameters():
                    p.copy_(there[n])
            x_adv = method.step(model, batch, THREAT, torch.Generator().manual_seed(3)).x_adv
        second = gradients(there, x_adv)
        norm = torch.stack([g.square().sum() for g in second.values()]).sum().sqrt()
        clip = (0.7 / (norm + 1e-6)).clamp_max(1)
        ends = {}
        for n in names:
            decayed = weights[n] if fault == "decay of w" else there[n]
            momentum[n] = 0.8 * momentum[n] + clip * second[n] + 0.1 * decayed
            ends[n] = there[n] - 0.3 * momentum[n]
            if fault == "v of the new weights":
                v[n] *= ends[n].norm() / weights[n].norm() if n in KERNELS else 1
            if fault != "v kept":
                ends[n] = ends[n] - v[n]
        model.load_state_dict({**ends, **held})
        scored = {**there, **held} if fault == "an average at w + v" else model.state_dict()
        for n, value in scored.items():
            if not average or not value.is_floating_point() or n not in average:
                average[n] = value.clone()
            else:
                average[n] = 0.5 * average[n] + 0.5 * value
        images.append(x_adv)
    return {n: t.clone() for n, t in model.state_dict().items()}, average, images


def found(name: str, **recipe: Any) -> tuple[State, State, list[dict[str, Tensor]]]:
    """The same by the package."""
    model = network()
    method = smoothed_method(name, MASS, **{"steps": 2} if name in ("trades", "pgd-at") else {})
    method.setup(6, (1, 4, 4), CPU)
    method.on_epoch_start(1)
    settings = Recipe(**RECIPE | recipe)
    optimizer = make_optimizer(model.parameters(), settings, CPU)
    average = WeightAverage()
    runner = ModelRunner(model, Execution())
    update = Update(model, runner, method, THREAT, optimizer, settings, average)
    noise = torch.Generator().manual_seed(3)
    said = [update(batch, noise) for batch in batches()]
    return model.state_dict(), average.average, said


@pytest.mark.parametrize("name", ["standard", "fgsm-rs", "pgd-at", "trades"])
def test_a_step_at_perturbed_weights_is_that_of_wu_et_al(name: str) -> None:
    weights, average, images = expected(name)
    state, averaged, said = found(name)
    for n, value in weights.items():
        torch.testing.assert_close(state[n], value, **EXACT)
        torch.testing.assert_close(averaged[n], average[n], **EXACT)
    for values, x_adv, batch in zip(said, images, batches(), strict=True):
        lengths = (x_adv - batch.x).abs().amax((1, 2, 3)) / 0.1
        torch.testing.assert_close(values[LENGTH], lengths.mean())
        torch.testing.assert_close(values[LONGEST], lengths.max())


@pytest.mark.parametrize(
    "fault",
    [
        "an attack at w + v",
        "by filters",
        "all weights",
        "decay of w",
        "v of the new weights",
        "v kept",
        "statistics of w too",
        "an average at w + v",
    ],
)
def test_another_order_is_found(fault: str) -> None:
    right, wrong = expected("fgsm-rs"), expected("fgsm-rs", fault)

    def same(one: State, other: State) -> bool:
        return all(torch.allclose(one[n], other[n], rtol=1e-6, atol=1e-9) for n in one)

    assert not (same(right[0], wrong[0]) and same(right[1], wrong[1]))


def test_the_warm_up_is_without_perturbation() -> None:
    plain, _, _ = found("fgsm-rs", awp_gamma=None)
    warm, _, _ = found("fgsm-rs", awp_warmup=1)
    later, _, _ = found("fgsm-rs")
    assert all(torch.equal(plain[n], warm[n]) for n in plain)
    assert not torch.equal(plain["0.weight"], later["0.weight"])


def test_kernels_alone_are_perturbed_and_come_back() -> None:
    model = build_model("resnet8", (3, 8, 8), 10).double().train()
    model(torch.rand(4, 3, 8, 8).double()).square().sum().backward()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with WeightPerturbation(model, 0.01).applied():
        for n, p in model.named_parameters():
            moved = (p - before[n]).norm()
            length = 0.01 * before[n].norm() if p.dim() > 1 else torch.zeros(())
            torch.testing.assert_close(moved, length.to(moved), rtol=1e-9, atol=1e-12)
    for n, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), before[n], rtol=1e-12, atol=1e-14)


def test_a_kernel_without_a_gradient_stays() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0](torch.ones(1, 2)).sum().backward()
    model[0].weight.grad.zero_()
    before = [p.detach().clone() for p in model.parameters()]
    with WeightPerturbation(model, 1.0).applied():
        assert all(map(torch.equal, model.parameters(), before))


class Uncast(ModelRunner):
    """Casts weights in each pass, as autocast does."""

    def step(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@pytest.mark.parametrize("name", ["fgsm-pgi", "regmix", "trades"])
def test_casts_of_a_step_are_of_the_weights_at_hand(name: str) -> None:
    ends = []
    for runs in (ModelRunner, Uncast):
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            model = build_model("smallcnn", (1, 8, 8), 10).train()
        start = torch.cat([p.detach().flatten() for p in model.parameters()])
        method = smoothed_method(name, MASS)
        method.setup(8, (1, 8, 8), CPU)
        method.on_epoch_start(1)
        recipe = Recipe(awp_gamma=0.5, precision="bf16", lr=0.01)
        optimizer = make_optimizer(model.parameters(), recipe, CPU)
        runner = runs(model, Execution(), "bf16")
        update = Update(model, runner, method, THREAT, optimizer, recipe, None)
        x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        update(Batch(x, torch.arange(8), torch.arange(8)), torch.Generator().manual_seed(2))
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]) - start)
    once, each = ends
    assert (once - each).norm() < 0.1 * each.norm()


class Silent(Method):
    name = "silent"

    def step(self, model: Any, batch: Batch, threat: Any, generator: Any) -> StepOutput:
        return StepOutput(ce(model(batch.x), batch.y).mean(), batch.x)


@pytest.mark.parametrize("warmup", [0, 9])
def test_a_loss_that_is_not_given_again_is_one_line_at_the_first_step(warmup: int) -> None:
    model, recipe = network(), Recipe(awp_gamma=0.01, awp_warmup=warmup)
    optimizer = make_optimizer(model.parameters(), recipe, CPU)
    runner = ModelRunner(model, Execution())
    update = Update(model, runner, Silent(None), THREAT, optimizer, recipe, None)
    with pytest.raises(UserError, match=r"awp_gamma = 0.01: silent cannot be trained so"):
        update(batches()[0], torch.Generator())


def rising() -> Iterator[nn.Module]:
    """One model whose weights and running statistics are 1, 2, 3, …"""
    model = nn.BatchNorm1d(1)
    for value in range(1, 5):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.fill_(value)
        yield model


@pytest.mark.parametrize(("buffers", "statistic"), [("averaged", 3.125), ("live", 4.0)])
def test_an_average_begins_as_a_copy_and_takes_statistics_as_asked(
    buffers: Any, statistic: float
) -> None:
    average = WeightAverage(buffers)
    for model in rising():
        average.update(model, 0.5)
    scored = average.apply_to(model).state_dict()
    assert scored["weight"].item() == 3.125  # ((1 + 2)/2 + 3)/2 …
    assert scored["running_mean"].item() == statistic
    assert scored["num_batches_tracked"].item() == 4
    resumed = WeightAverage(buffers)
    resumed.load_state_dict(average.state_dict())
    assert resumed.apply_to(model).state_dict()["running_var"].item() == statistic


def test_the_average_begins_in_its_epoch() -> None:
    model, recipe = network(), Recipe(**RECIPE | {"ema_start": 3})
    optimizer, average = make_optimizer(model.parameters(), recipe, CPU), WeightAverage()
    method, runner = smoothed_method("standard", 1.0), ModelRunner(model, Execution())
    update = Update(model, runner, method, THREAT, optimizer, recipe, average)
    branches = set()
    for epoch in (1, 2, 3):
        update.start_epoch(epoch)
        assert average.apply_to(model) is model
        update(batches()[0], torch.Generator())
        branches.add(update.branch)
    assert len(branches) == 2
    assert all(torch.equal(average.average[n], t) for n, t in model.state_dict().items())


@pytest.mark.parametrize("decay", ["method", "none", 0.5])
def test_the_average_of_fgsm_pgk_is_kept_unless_the_recipe_has_another(decay: Any) -> None:
    model, recipe = network(), Recipe(ema_decay=decay, lr=0.3)
    method = load_method("fgsm-pgk")
    tell_recipe(method, recipe, num_classes=4)
    method.setup(6, (1, 4, 4), CPU)
    method.on_epoch_start(1)
    average = WeightAverage() if decay == 0.5 else None
    optimizer, runner = (
        make_optimizer(model.parameters(), recipe, CPU),
        ModelRunner(model, Execution()),
    )
    update = Update(model, runner, method, THREAT, optimizer, recipe, average)
    weights = []
    for batch in batches():
        update(batch, torch.Generator().manual_seed(1))
        weights.append(model[0].weight.detach().clone())
    own = method.evaluated_model(model)
    assert (own is not model) == (decay == "method")
    if average is not None:
        expected = weights[0]
        for weight in weights[1:]:
            expected = (expected + weight) / 2
        scored = average.apply_to(own).state_dict()["0.weight"]
        torch.testing.assert_close(scored, expected, **EXACT)


@pytest.mark.parametrize("name", ["standard", "fgsm-pgi", "mart"])
@pytest.mark.parametrize(("mass", "classes"), [(0.09, 10), (0.24, 4)])
def test_a_mass_below_that_of_the_other_classes_is_refused(
    name: str, mass: float, classes: int
) -> None:
    with pytest.raises(UserError, match=rf"true_class_mass = {mass}: among {classes} classes"):
        tell_recipe(load_method(name), Recipe(true_class_mass=mass), classes)
    method = load_method(name)
    for count in (classes, 49, 1000):  # 49·(1/49) is below 1
        tell_recipe(method, Recipe(true_class_mass=1 / count), count)
        assert method.true_class_mass == 1 / count


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda loss, x: None, "nothing, and a StepOutput is expected"),
        (lambda loss, x: loss.mean(), "a Tensor, and a StepOutput is expected"),
        (lambda loss, x: StepOutput(1.0, x), "a loss that is no scalar tensor with a gradient"),
        (lambda loss, x: StepOutput(loss, x), "a loss that is no scalar tensor with a gradient"),
        (lambda loss, x: StepOutput(loss.mean().detach(), x), "no scalar tensor with a gradient"),
        (lambda loss, x: StepOutput(loss.mean(), None), "an x_adv that has not the shape"),
        (lambda loss, x: StepOutput(loss.mean(), x[:1]), "an x_adv that has not the shape"),
    ],
)
def test_a_step_that_returns_something_else_is_named(made: Any, said: str) -> None:
    class Careless(Method):
        name = "careless"

        def step(self, model: Any, batch: Batch, threat: Any, generator: Any) -> StepOutput:
            return made(ce(model(batch.x), batch.y, 1.0), batch.x)

    model, recipe = network(), Recipe()
    optimizer = make_optimizer(model.parameters(), recipe, CPU)
    runner, method = ModelRunner(model, Execution()), Careless(None)
    update = Update(model, runner, method, THREAT, optimizer, recipe, None)
    with pytest.raises(UserError, match=f"the step of careless returns .*{said}"):
        update(batches()[0], torch.Generator())
