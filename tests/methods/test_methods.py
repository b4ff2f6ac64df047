"""Every method keeps the contract, and its step is its formula, written out here in float64."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.formulas import EXACT, ce, kl, log_p, mart_bce, network
from support.tricks import smoothed_method
from torch import Tensor, nn

from regmix_bench.methods import METHODS, load_method
from regmix_bench.models import build_model
from regmix_bench.testing import check_method
from regmix_bench.types import Batch, StepOutput, ThreatModel

EPSILON = 0.125
STEPS = 3


@pytest.mark.parametrize("name", METHODS.names())
def test_a_registered_method_keeps_the_contract(name: str) -> None:
    assert check_method(name) == []


@pytest.mark.parametrize("name", METHODS.names())
def test_a_certain_class_is_the_label_itself(name: str) -> None:
    """Mixed images have class probabilities for labels, and every method here takes them."""
    shape = (1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(16, *shape, generator=generator, dtype=torch.float64)
    y = torch.randint(10, (16,), generator=generator)
    hard = Batch(x, y, torch.arange(16))
    certain = replace(hard, y=torch.eye(10, dtype=x.dtype)[y])

    def stepped(data: Batch) -> StepOutput:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            model = build_model("smallcnn", shape, 10).double().train()
        method = load_method(name)
        method.setup(16, shape, torch.device("cpu"))
        method.on_epoch_start(1)
        threat = ThreatModel("Linf", "8/255")
        output = method.step(model, data, threat, torch.Generator().manual_seed(1))
        method.after_update(model)
        return output

    one, other = stepped(hard), stepped(certain)
    torch.testing.assert_close(other.loss, one.loss)
    torch.testing.assert_close(other.x_adv, one.x_adv)


def batch(seed: int = 0, index: tuple[int, ...] = (0, 1, 2, 3, 4, 5)) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 65, (len(index), 1, 4, 4), generator=generator).double() / 64
    # The network's own answers, so that "correct" is neither all nor none under attack.
    y = copy.deepcopy(network())(x).argmax(1)
    y[0] = (y[0] + 1) % 4
    return Batch(x, y, torch.tensor(index))


def step(method: Any, model: nn.Module, data: Batch, norm: str = "Linf") -> StepOutput:
    return method.step(model, data, ThreatModel(norm, EPSILON), torch.Generator().manual_seed(7))


def gradients(loss: Tensor, model: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def feasible(delta: Tensor, x: Tensor, norm: str = "Linf") -> Tensor:
    if norm == "Linf":
        delta = delta.clamp(-EPSILON, EPSILON)
    else:
        length = delta.square().sum((1, 2, 3), keepdim=True).sqrt()
        delta = torch.where(length > EPSILON, delta * EPSILON / length, delta)
    return (x + delta).clamp(0, 1) - x


def climb(per_image, x: Tensor, delta: Tensor, norm: str, steps: int, size: float) -> Tensor:
    for _ in range(steps):
        z = (x + delta).detach().requires_grad_()
        (g,) = torch.autograd.grad(per_image(z).sum(), z)
        unit = g.sign() if norm == "Linf" else g / g.square().sum((1, 2, 3), keepdim=True).sqrt()
        delta = feasible(delta + size * unit, x, norm)
    return delta


def uniform(x: Tensor, norm: str) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    if norm == "Linf":
        uniform = torch.rand(x.shape, generator=generator, dtype=x.dtype)
        return feasible((2 * uniform - 1) * EPSILON, x)
    direction = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    direction /= direction.square().sum((1, 2, 3), keepdim=True).sqrt()
    radius = torch.rand(len(x), 1, 1, 1, generator=generator, dtype=x.dtype) ** (1 / 16)
    return feasible(EPSILON * radius * direction, x, norm)


def radial(x: Tensor, norm: str) -> Tensor:
    """Rice et al.: a Gaussian's direction, and a length of its own, uniform up to ε."""
    generator = torch.Generator().manual_seed(7)
    direction = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    direction /= direction.square().sum((1, 2, 3), keepdim=True).sqrt()
    torch.rand(len(x), generator=generator, dtype=x.dtype)  # of the ball, whose length is not used
    length = torch.rand(len(x), 1, 1, 1, generator=generator, dtype=x.dtype)
    return feasible(EPSILON * length * direction, x, norm)


def gaussian(x: Tensor, norm: str) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return feasible(0.001 * torch.randn(x.shape, generator=generator, dtype=x.dtype), x, norm)


# Attack (batch-norm mode, start, loss to maximise, step size) and total loss of each method.


def attacked(name: str, model: nn.Module, data: Batch, norm: str, mode: str) -> Tensor:
    """The images x' by the method's definition; ``model`` ends in training mode."""
    x, y = data.x, data.y
    model.train(mode == "train")
    clean = model(x).detach()
    if name == "standard":
        delta = torch.zeros_like(x)
    elif name == "fgsm-rs":
        delta = climb(lambda z: ce(model(z), y, 0.7), x, uniform(x, norm), norm, 1, 1.25 * EPSILON)
    elif name == "trades":
        size = EPSILON / 4
        delta = climb(lambda z: kl(clean, model(z)), x, gaussian(x, norm), norm, STEPS, size)
    else:
        mass = 1.0 if name == "mart" else MASS
        start = gaussian(x, norm) if name == "mart" else uniform(x, norm)
        delta = climb(lambda z: ce(model(z), y, mass), x, start, norm, STEPS, EPSILON / 4)
    model.train()
    return x + delta


def total(name: str, model: nn.Module, data: Batch, x_adv: Tensor, norm: str) -> Tensor:
    x, y = data.x, data.y
    clean, adv = model(x), model(x_adv)
    if name == "standard":
        return ce(clean, y, 0.7).mean()
    if name == "trades":
        return ce(clean, y, 0.7).mean() + 2.5 * kl(clean, adv).mean()
    if name == "mart":
        true = log_p(clean).exp()[range(len(y)), y]
        return mart_bce(adv, y, MASS).mean() + 2.5 * (kl(clean, adv) * (1.0000001 - true)).mean()
    loss = ce(adv, y, 0.7).mean()
    if name == "regmix-pgd":
        initial = model(x + uniform(x, norm))
        loss = loss + 3 * kl(adv, initial).mean() + 0.5 * kl(initial, adv).mean()
        loss = loss + 1.5 * kl(clean, adv).mean()
    return loss


MASS = 0.7
CASES: dict[str, dict[str, Any]] = {
    "standard": {},
    "fgsm-rs": {},
    "pgd-at": {"steps": STEPS},
    "trades": {"steps": STEPS, "beta": 2.5},
    "mart": {"steps": STEPS, "beta": 2.5},
    "regmix-pgd": {"steps": STEPS, "alpha": 3, "beta": 0.5, "gamma": 1.5},
}
MODES = {"trades": "eval", "mart": "eval"}


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        (name, norm)
        for name in CASES
        for norm in ("Linf", "L2")
        if (name, norm) != ("fgsm-rs", "L2")
    ],
)
def test_a_step_is_its_formula(name: str, norm: str) -> None:
    data, model, reference = batch(), network(), network()
    output = step(smoothed_method(name, MASS, **CASES[name]), model, data, norm)
    x_adv = attacked(name, reference, data, norm, MODES.get(name, "train"))
    torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
    expected = total(name, reference, data, output.x_adv, norm)
    torch.testing.assert_close(output.loss, expected, **EXACT)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    # Equal gradients: both outputs of a divergence reach the weights, as in the formula.
    torch.testing.assert_close(
        gradients(output.loss, model), gradients(expected, reference), **EXACT
    )


def test_pgd_at_starts_with_a_uniform_length_where_asked() -> None:
    data, model, reference = batch(), network(), network()
    output = step(
        smoothed_method("pgd-at", MASS, **CASES["pgd-at"], start="radial"), model, data, "L2"
    )
    loss, start = lambda z: ce(reference(z), data.y, 0.7), radial(data.x, "L2")
    delta = climb(loss, data.x, start, "L2", STEPS, EPSILON / 4)
    torch.testing.assert_close(output.x_adv, data.x + delta, rtol=0, atol=1e-12)


def test_trades_clips_to_pixels_before_it_projects_where_asked() -> None:
    data, model, reference = batch(), network(), network()
    data = replace(data, x=data.x.round())  # black and white, so that every step leaves a pixel
    config = CASES["trades"] | {"step_ratio": 0.8, "pixels_first": True}
    output = step(load_method("trades", **config), model, data, "L2")
    x, delta = data.x, gaussian(data.x, "L2")
    clean = reference.eval()(x).detach()
    for _ in range(STEPS):
        z = (x + delta).detach().requires_grad_()
        (g,) = torch.autograd.grad(kl(clean, reference(z)).sum(), z)
        delta = delta + 0.8 * EPSILON * g / g.square().sum((1, 2, 3), keepdim=True).sqrt()
        delta = (x + delta).clamp(0, 1) - x
        length = delta.square().sum((1, 2, 3), keepdim=True).sqrt()
        delta = torch.where(length > EPSILON, delta * EPSILON / length, delta)
    torch.testing.assert_close(output.x_adv, x + delta, rtol=0, atol=1e-12)
    other = step(load_method("trades", **config | {"pixels_first": False}), network(), data, "L2")
    assert not torch.equal(other.x_adv, output.x_adv)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", ["pgd-at", "trades", "mart", "regmix-pgd"])
def test_the_attack_runs_in_the_chosen_batch_norm_mode(name: str, mode: str) -> None:
    data, model, reference = batch(), network(), network()
    output = step(smoothed_method(name, MASS, **CASES[name], attack_bn=mode), model, data)
    x_adv = attacked(name, reference, data, "Linf", mode)
    torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)


# True is a forward pass in training mode: the one that moves the running statistics.
PASSES = {
    "standard": [True],
    "fgsm-rs": [True, True],
    "pgd-at": [True] * STEPS + [True],
    "trades": [False] + [False] * STEPS + [True, True],  # p(x) of the attack is computed once
    "mart": [False] * STEPS + [True, True],
    "regmix-pgd": [True] * STEPS + [True, True, True],
    "fgsm-pgi": [True, True],
    "fgsm-pgk": [True, True],
    "regmix": [True, True, True],
    "regmix-amr": [True, True],
    "regmix-agr": [True, True, True],
}


@pytest.mark.parametrize("name", PASSES)
def test_forward_passes_and_the_mode_of_each(name: str) -> None:
    model = network()
    method = load_method(name, **CASES.get(name, {}))
    method.setup(6, (1, 4, 4), torch.device("cpu"))
    method.on_epoch_start(1)
    seen: list[bool] = []
    model.register_forward_hook(lambda module, *_: seen.append(module.training))
    before = int(model[1].num_batches_tracked)
    step(method, model, batch())
    assert seen == PASSES[name]
    assert int(model[1].num_batches_tracked) - before == sum(seen)
    assert model.training


@pytest.mark.parametrize(
    ("name", "steps", "step_ratio", "beta"),
    [("pgd-at", 10, 0.25, None), ("trades", 10, 0.25, 6.0), ("mart", 10, 0.25, 5.0)],
)
def test_published_defaults_of_the_multi_step_methods(name, steps, step_ratio, beta) -> None:
    config = load_method(name).config
    assert (config.steps, config.step_ratio) == (steps, step_ratio)
    assert getattr(config, "beta", None) == beta


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fgsm-rs", {"step_ratio": 1.25}),
        ("fgsm-pgi", {"lambda_": 10.0, "reset": 40}),
        ("regmix", {"alpha": 2.0, "beta": 1.0, "gamma": 1.0, "reset": 40}),
        ("regmix-amr", {"alpha": 2.0, "beta": 1.0, "gamma": 0.0}),
        ("regmix-agr", {"alpha": 0.0, "beta": 0.0, "gamma": 1.0}),
        ("fgsm-pgk", {"lambda_": 5.6, "reset": 10}),
        ("fgsm-pgk", {"ema_decay": 0.999, "ratio_threshold": 0.82}),
    ],
)
def test_published_defaults_of_the_single_step_methods(name, expected) -> None:
    assert load_method(name).config.model_dump().items() >= expected.items()


# Prior-guided single-step methods, over visits under changing images


SINGLE: dict[str, dict[str, Any]] = {
    "fgsm-pgi": {"lambda_": 4.0},
    "fgsm-pgk": {"lambda_": 4.0},
    "regmix": {"alpha": 3, "beta": 0.5, "gamma": 1.5},
    "regmix-amr": {"alpha": 3, "beta": 0.5},
    "regmix-agr": {"gamma": 1.5},
}


def single_total(name: str, model: nn.Module, data: Batch, initial: Tensor, x_adv: Tensor):
    first, adv, clean = model(data.x + initial), model(x_adv), model(data.x)
    loss = ce(adv, data.y, 0.7).mean()
    if name in ("fgsm-pgi", "fgsm-pgk"):
        return loss + 4 * (adv - first).square().sum() / adv.numel()
    if name != "regmix-agr":
        loss = loss + 3 * kl(adv, first).mean() + 0.5 * kl(first, adv).mean()
    if name != "regmix-amr":
        loss = loss + 1.5 * kl(clean, adv).mean()
    return loss


@pytest.mark.parametrize("clip_start", [False, True])
@pytest.mark.parametrize("name", SINGLE)
def test_prior_guided_steps_are_their_formula_over_epochs(name: str, clip_start: bool) -> None:
    model, reference = network(), network()
    method = smoothed_method(name, MASS, **SINGLE[name], reset=3, clip_start=clip_start)
    method.setup(9, (1, 4, 4), torch.device("cpu"))
    index = (3, 8, 0, 5, 1, 6)
    delta = momentum = torch.zeros(6, 1, 4, 4, dtype=torch.float64)
    ratios = set()
    for epoch in range(1, 6):
        method.on_epoch_start(epoch)
        data = batch(epoch, index)  # other pixels at each visit, as augmentation gives
        output = step(method, model, data)
        if epoch in (1, 4):
            noise = torch.rand(data.x.shape, generator=torch.Generator().manual_seed(7))
            delta, momentum = EPSILON * (noise.double() - 0.5).sign(), torch.zeros_like(momentum)
        initial = feasible(delta, data.x) if clip_start else delta
        z = (data.x + initial).requires_grad_()
        (g,) = torch.autograd.grad(ce(reference(z), data.y, 0.7).sum(), z)
        x_adv = data.x + feasible(initial + EPSILON * g.sign(), data.x)
        torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
        expected = single_total(name, reference, data, initial, output.x_adv)
        torch.testing.assert_close(output.loss, expected, **EXACT)
        assert all(parameter.grad is None for parameter in model.parameters())
        torch.testing.assert_close(
            gradients(output.loss, model), gradients(expected, reference), **EXACT
        )
        weight = 1.0
        if name == "fgsm-pgk":
            right = (reference(x_adv).argmax(1) == data.y).sum().item()
            weight = 2 - right / (reference(z).argmax(1) == data.y).sum().item()
            ratios.add(weight)
        momentum = weight * g / g.abs().sum() + 0.3 * momentum
        delta = feasible(initial + EPSILON * momentum.sign(), data.x)
        # The prior is kept in float32; momentum sums to 1 in size, so 1e-9 is its rounding.
        stored = method.prior.momentum[list(index)].double()
        torch.testing.assert_close(stored, momentum, rtol=1e-6, atol=1e-9)
        assert torch.equal(method.prior.delta[list(index)].double(), delta)
    if name == "fgsm-pgk":
        assert len(ratios) > 1, "the weight was never put to the test"


@pytest.mark.parametrize("threshold", [0.82, 0.001, 100.0])
@pytest.mark.parametrize("updates", [0, 1, 90_000])
def test_the_average_of_fgsm_pgk(threshold: float, updates: int) -> None:
    model = network()
    method = load_method("fgsm-pgk", ratio_threshold=threshold)
    method.setup(6, (1, 4, 4), torch.device("cpu"))
    method.on_epoch_start(1)
    old = {name: value.clone() + 1 for name, value in model.state_dict().items()}
    method.load_state_dict({**method.state_dict(), "average": old, "updates": updates})
    data = batch()
    delta = feasible(
        EPSILON
        * (torch.rand(data.x.shape, generator=torch.Generator().manual_seed(7)) - 0.5)
        .double()
        .sign(),
        data.x,
    )
    twin = network()
    prior_right = (twin(data.x + delta).argmax(1) == data.y).sum().item()
    output = step(method, model, data)
    ratio = (twin(output.x_adv).argmax(1) == data.y).sum().item() / prior_right
    method.after_update(model)
    bound = 0.999 if ratio < threshold else min(1, 0.99999 * ratio / threshold)
    decay = min(bound, (updates + 1) / (updates + 10))
    averaged = method.evaluated_model(model).state_dict()
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            expected = decay * old[name] + (1 - decay) * value
            torch.testing.assert_close(averaged[name], expected, rtol=1e-9, atol=1e-12)
        else:
            assert torch.equal(averaged[name], value)
