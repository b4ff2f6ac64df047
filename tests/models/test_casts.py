"""Weights cast once a step give what casts in every pass give."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from regmix_bench.attacks.pgd import frozen, input_gradient
from regmix_bench.methods import METHODS, load_method
from regmix_bench.models import build_model
from regmix_bench.models.casts import WeightCasts
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.execution import ModelRunner
from regmix_bench.system.machine import Execution
from regmix_bench.types import Batch, ThreatModel

LINF = ThreatModel("Linf", "8/255")
SHAPE = (3, 16, 16)
LAST = Execution(channels_last=True)


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build_model("resnet8", SHAPE, 10).train()


@pytest.fixture
def x() -> Tensor:
    return torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(1))


def branches(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A loss of three passes, as RegMix has them."""
    first, second, third = run(x), run(1 - x), run(x.flip(3))
    return (first * second).mean() + nn.functional.cross_entropy(third, torch.arange(len(x)))


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def stepped(model: nn.Module, loss: Callable[[ModelRunner], Tensor]) -> ModelRunner:
    runner = ModelRunner(model, LAST, "bf16")
    with runner.step():
        loss(runner).backward()
    return runner


def test_gradients_of_several_branches_are_exact_to_bfloat16(model: nn.Module, x: Tensor) -> None:
    exact, each_pass = copy.deepcopy(model).double(), copy.deepcopy(model)
    branches(exact, x.double()).backward()
    branches(ModelRunner(each_pass, LAST, "bf16"), x).backward()
    stepped(model, lambda runner: branches(runner, x))
    expected, before, found = gradients(exact), gradients(each_pass), gradients(model)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        assert gradient.stride() == dict(model.named_parameters())[name].stride()
        length = expected[name].norm()
        error = (gradient - expected[name]).norm() / length
        # As far off as with a cast in each pass, and two roundings of a sum.
        assert error <= (before[name] - expected[name]).norm() / length + 2 * 2**-9, name


def test_a_single_branch_has_the_very_gradient_of_casts_in_each_pass(
    model: nn.Module, x: Tensor
) -> None:
    other = copy.deepcopy(model)
    ModelRunner(other, LAST, "bf16")(x).square().sum().backward()
    stepped(model, lambda runner: runner(x).square().sum())
    found, expected = gradients(model), gradients(other)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_step_sees_the_weights_as_it_begins(model: nn.Module, x: Tensor) -> None:
    runner = stepped(model, lambda runner: branches(runner, x))
    names = list(model.state_dict())
    for _ in range(2):
        torch.optim.SGD(model.parameters(), 0.5).step()
        with runner.step():
            found = runner(x)
        assert torch.equal(found, ModelRunner(copy.deepcopy(model), LAST, "bf16")(x))
    assert list(model.state_dict()) == names
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_outside_of_a_step_no_copy_is_used(model: nn.Module, x: Tensor) -> None:
    runner = stepped(model, lambda runner: branches(runner, x))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    assert torch.equal(runner(x), ModelRunner(copy.deepcopy(model), LAST, "bf16")(x))
    model.zero_grad()
    runner(x).sum().backward()
    assert len(gradients(model)) == len(list(model.parameters()))


def test_a_weight_that_a_step_changes_is_used_as_it_is(model: nn.Module, x: Tensor) -> None:
    """As by methods that perturb weights."""
    runner = ModelRunner(model, LAST, "bf16")
    weight = model.get_submodule("trunk.0").weight
    with runner.step():
        (gradient,) = torch.autograd.grad(runner(x).square().sum(), [weight])
        with torch.no_grad():
            weight.add_(gradient, alpha=1e-3)
        found = runner(x)
    assert torch.equal(found, ModelRunner(copy.deepcopy(model), LAST, "bf16")(x))


def test_second_derivatives_pass_the_cast(model: nn.Module, x: Tensor) -> None:
    found = []
    for whole_step in (False, True):
        runner = ModelRunner(copy.deepcopy(model), LAST, "bf16")
        weight = runner.model.get_submodule("trunk.0").weight
        with runner.step() if whole_step else contextlib.nullcontext():
            loss = runner(x).square().sum()
            (gradient,) = torch.autograd.grad(loss, [weight], create_graph=True)
            gradient.square().sum().backward()
        found.append(weight.grad)
    torch.testing.assert_close(found[1], found[0], rtol=2**-6, atol=2**-6 * found[0].abs().max())


def test_gradients_add_up_over_backward_passes(model: nn.Module, x: Tensor) -> None:
    expected = copy.deepcopy(model)
    stepped(expected, lambda runner: runner(x).sum() + runner(1 - x).square().sum())
    runner = ModelRunner(model, LAST, "bf16")
    with runner.step():
        runner(x).sum().backward()
        runner(1 - x).square().sum().backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, gradients(expected)[name], rtol=0.02, atol=0.02)


def test_attacks_on_frozen_weights_leave_no_gradient(model: nn.Module, x: Tensor) -> None:
    runner = ModelRunner(model, LAST, "bf16")
    with runner.step():
        logits = runner(x)
        with frozen(runner):
            found = input_gradient(lambda z: runner(z).square().sum(), x)
            z = x.clone().requires_grad_()
            runner(z).sum().backward()
        assert found.abs().sum() > 0
        assert not gradients(model)
        logits.sum().backward()  # through what was computed before
    assert len(gradients(model)) == len(list(model.parameters()))


def test_what_fails_gives_the_weights_back(model: nn.Module, x: Tensor) -> None:
    runner = ModelRunner(model, LAST, "bf16")
    with pytest.raises(RuntimeError), runner.step():
        runner(x[:, :1].expand(-1, 5, -1, -1))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    with torch.no_grad():
        model.get_submodule("trunk.0").weight.mul_(2)
    assert torch.equal(runner(x), ModelRunner(copy.deepcopy(model), LAST, "bf16")(x))


def test_in_float32_nothing_is_cast(model: nn.Module, x: Tensor) -> None:
    runner = ModelRunner(model, LAST, "fp32")
    with runner.step():
        branches(runner, x).backward()
    expected = copy.deepcopy(model)
    expected.zero_grad()
    branches(expected, x).backward()
    for name, gradient in gradients(expected).items():
        torch.testing.assert_close(gradients(model)[name], gradient, rtol=1e-4, atol=1e-5)


def test_the_copy_for_attacks_is_cast_as_it_is_refreshed(model: nn.Module, x: Tensor) -> None:
    runner = ModelRunner(model, LAST, "bf16")
    with torch.no_grad():
        for _ in range(2):
            with runner.attack_mode(), CastsSeen() as casts:
                found = runner(x)
            expected = ModelRunner(copy.deepcopy(model).eval(), LAST, "fp32")(x)
            torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
            model.get_submodule("trunk.0").weight.mul_(1.5)
        assert not casts.shapes & {p.shape for p in model.parameters() if p.dim() > 1}


class CastsSeen(TorchDispatchMode):
    """Notes the ``shapes`` of what is cast to bfloat16 by autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[torch.Size] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and kwargs.get("dtype") == torch.bfloat16:
            self.shapes.add(args[0].shape)
        return func(*args, **kwargs)


class Tied(nn.Module):
    """A linear layer whose weight is an embedding too, and two layers that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embedding.weight
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.special = type("Special", (nn.Linear,), {})(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.special(self.second(self.first(x @ self.embedding.weight)))
        found: Tensor = self.head(hidden)
        return found


def test_shared_weights_stay_shared() -> None:
    torch.manual_seed(0)
    model, x = Tied(), torch.rand(3, 6)
    other = copy.deepcopy(model)
    with torch.autocast("cpu", torch.bfloat16):
        other(x).sum().backward()
    casts = WeightCasts(model)
    with casts.step(), torch.autocast("cpu", torch.bfloat16), casts.placed(), CastsSeen() as seen:
        assert model.first.weight is model.second.weight
        assert model.head.weight is model.embedding.weight
        model(x).sum().backward()
    assert (6, 4) in seen.shapes  # the embedding, which the model reads itself
    assert model.first.weight is model.second.weight
    for name, gradient in gradients(other).items():
        torch.testing.assert_close(gradients(model)[name], gradient, rtol=2**-6, atol=2**-6)


class Exact(nn.Module):
    """A layer that is computed in float32 under autocast, as some heads and gates are."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            found: Tensor = self.layer(x.float())
        assert found.dtype == torch.float32
        return found


class TwoWays(Exact):
    """A layer that is computed in float32 once and in bfloat16 once."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + cast(Tensor, self.layer(x))


EXACT = {
    "convolution": lambda: nn.Sequential(Exact(nn.Conv2d(3, 8, 3)), nn.Conv2d(8, 4, 14)),
    "linear": lambda: nn.Sequential(nn.Conv2d(3, 6, 16), nn.Flatten(), Exact(nn.Linear(6, 4))),
    "both ways": lambda: nn.Sequential(TwoWays(nn.Conv2d(3, 8, 3)), nn.Conv2d(8, 4, 14)),
}


@pytest.mark.parametrize("trunk", EXACT)
def test_a_part_that_switches_autocast_off_has_its_weights(x: Tensor, trunk: str) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(EXACT[trunk](), nn.Flatten())
    model = ImageClassifier(layers, 4, 3, 10, (0.5,) * 3, (0.5,) * 3)
    other = copy.deepcopy(model)
    runner, each_pass = ModelRunner(model, LAST, "bf16"), ModelRunner(other, LAST, "bf16")
    with runner.step(), CastsSeen() as seen:
        found = runner(x)
        found.square().sum().backward()
    assert not seen.shapes & {p.shape for p in model.trunk.parameters() if p.dim() > 1}
    expected = each_pass(x)
    expected.square().sum().backward()
    assert torch.equal(found, expected)
    for name, gradient in gradients(other).items():
        torch.testing.assert_close(gradients(model)[name], gradient, rtol=2**-6, atol=2**-6)
    with torch.no_grad(), runner.attack_mode():  # and so on the copy for attacks
        torch.testing.assert_close(runner(x), expected)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_steps_as_with_casts_in_each_pass(model: nn.Module, x: Tensor, name: str) -> None:
    found = []
    for whole_step in (False, True):
        method = load_method(name)
        method.setup(8, SHAPE, torch.device("cpu"))
        method.on_epoch_start(1)
        trained = copy.deepcopy(model)
        runner = ModelRunner(trained, LAST, "bf16")
        batch = Batch(x, torch.arange(8), torch.arange(8))
        with runner.step() if whole_step else contextlib.nullcontext():
            output = method.step(runner, batch, LINF, torch.Generator().manual_seed(2))
            output.loss.backward()
        flat = [gradient.flatten() for gradient in gradients(trained).values()]
        found.append((output.loss.detach(), torch.cat(flat)))
    (loss, gradient), (expected_loss, expected) = found
    assert torch.equal(loss, expected_loss)
    assert (gradient - expected).norm() <= 2**-7 * expected.norm()
