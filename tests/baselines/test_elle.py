"""ELLE-A: the error of a linear model of the loss, and a weight that leaps where it stands out."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import torch
from support.formulas import ce, network
from support.steps import EPSILON, batch, drawing, made, modes, same_loss, stepped
from torch import Tensor, nn

from regmix_baselines.elle import LinearityWeight
from regmix_bench.types import Batch

CPU = torch.device("cpu")


def formula(model: nn.Module, data: Batch, noise: float, weight: float) -> tuple[Tensor, Tensor]:
    x, y, draws = data.x, data.y, drawing()

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=draws, dtype=x.dtype)

    start = x + noise * EPSILON * (2 * uniform(*x.shape) - 1) if noise else x
    start = start.clone().requires_grad_()
    (g,) = torch.autograd.grad(ce(model(start), y, 0.7).sum(), start)
    x_adv = (start + EPSILON * g.sign()).detach()
    a, b = (x + EPSILON * (2 * uniform(*x.shape) - 1) for _ in range(2))
    t = uniform(len(x))
    c = torch.stack([(1 - t[i]) * a[i] + t[i] * b[i] for i in range(len(x))])
    at_a, at_b, at_c = ce(model(torch.cat([a, b, c])), y.repeat(3), 0.7).split(len(x))
    error = (at_c - (1 - t) * at_a - t * at_b).square().mean()
    return x_adv, ce(model(x_adv), y, 0.7).mean() + weight * error


@pytest.mark.parametrize("weight", [0.0, 40.0])
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_a_step_is_its_formula(noise: float, weight: float) -> None:
    data, model, reference = batch(), network(), network()
    method = made("elle-a", noise_ratio=noise)
    method.true_class_mass = 0.7
    method.weight.value.fill_(weight)
    output = stepped(method, model, data)
    x_adv, loss = formula(reference, data, noise, weight)
    torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
    same_loss(output, model, loss, reference)


def test_nothing_is_clipped() -> None:
    data, model = batch(), network()
    method = made("elle-a", noise_ratio=2.0)
    output = stepped(method, model, data)
    assert output.x_adv.min() < 0 and output.x_adv.max() > 1 and not method.clips_pixels
    assert (output.x_adv - data.x).abs().max() > 2.5 * EPSILON
    assert method.largest_perturbation == 3 and made("elle-a").largest_perturbation == 1


def spikes(count: int) -> list[float]:
    """Errors near one another, and some that stand out."""
    draws = np.random.default_rng(0)
    return [draws.uniform(1.0, 1.2) + 3 * (n % 17 == 16) for n in range(count)]


def by_list(errors: list[float], deviations: float = 2.0) -> list[float]:
    """The weights after each error, from the list of all of them, as the authors keep it."""
    seen: list[float] = []
    weight, weights = 0.0, []
    for error in errors:
        stands_out = len(seen) > 2 and error > np.mean(seen) + deviations * np.std(seen)
        weight = 4000.0 if stands_out else 0.99 * weight
        seen.append(error)
        weights.append(weight)
    return weights


@pytest.mark.parametrize(
    "errors",
    [
        spikes(60),
        [1.0, 50.0, 1.0, 200.0, 1.0],  # the first three decide nothing
        [1e6 + 1e-4 * n for n in (1, 2, 3, 2, 1, 2, 9, 2)],  # whose squares share all their digits
        [5.0] * 6,
        [0.0] * 4 + [1e-30],
    ],
)
def test_the_weight_is_that_of_the_history_of_errors(errors: list[float]) -> None:
    weight = LinearityWeight(4000.0, 0.99, 2.0, CPU)
    found = []
    for error in errors:
        weight.update(torch.tensor(error, dtype=torch.float64))
        found.append(weight.value.item())
    assert found == pytest.approx(by_list(errors), rel=1e-12)


def test_a_batch_has_the_weight_that_the_batches_before_it_left() -> None:
    method, model = made("elle-a", deviations=0.0), network()
    errors, weights = [], []
    for seed in itertools.islice(itertools.count(), 12):
        weights.append(method.weight.value.item())
        before = method.weight.seen.item(), method.weight.mean.item()
        output = stepped(method, model, batch(seed))
        seen, mean = method.weight.seen.item(), method.weight.mean.item()
        errors.append(seen * mean - before[0] * before[1])
        expected = weights[-1] * errors[-1]
        assert output.metrics["linearity"].item() == pytest.approx(expected, rel=1e-9)
    assert weights[0] == 0 and weights[1:] == pytest.approx(by_list(errors, 0.0)[:-1])
    assert 4000.0 in weights


def test_a_saved_history_goes_on() -> None:
    whole, parts = (LinearityWeight(4000.0, 0.99, 2.0, CPU) for _ in range(2))
    errors = [torch.tensor(error) for error in spikes(40)]
    for error in errors:
        whole.update(error)
    for error in errors[:20]:
        parts.update(error)
    stream = io.BytesIO()
    torch.save(parts.state_dict(), stream)
    stream.seek(0)
    resumed = LinearityWeight(4000.0, 0.99, 2.0, CPU)
    resumed.load_state_dict(torch.load(stream))
    for error in errors[20:]:
        resumed.update(error)
    assert resumed.state_dict() == whole.state_dict()


def test_the_three_losses_come_of_one_pass() -> None:
    model, sizes = network(), []
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    seen = modes(model)
    stepped(made("elle-a"), model, batch())
    assert sorted(sizes) == [6, 6, 18] and all(seen)  # ten passes of an image, both ways
