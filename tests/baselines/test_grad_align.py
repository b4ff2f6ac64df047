"""GradAlign: the side that is derived again, images without a gradient, and all architectures."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from support.formulas import EXACT, ce, network
from support.steps import EPSILON, batch, drawing, feasible, made, modes, same_loss, stepped
from torch import Tensor, nn

from regmix_baselines.grad_align import misalignment
from regmix_bench.methods import load_method
from regmix_bench.models import ARCHS, build_model
from regmix_bench.models.execution import ModelRunner
from regmix_bench.models.predictions import PassCounter
from regmix_bench.system.machine import Execution
from regmix_bench.types import Batch, ThreatModel


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    loss = ce(model(x), y, 0.7).sum()
    return torch.autograd.grad(loss, x, create_graph=True)[0]


def cosines(g: Tensor, h: Tensor) -> Tensor:
    kept = [i for i in range(len(g)) if g[i].any() and h[i].any()]
    return torch.stack(
        [(g[i] * h[i]).sum() / (g[i].square().sum() * h[i].square().sum()).sqrt() for i in kept]
    )


def expected(model: nn.Module, data: Batch, constant: bool = True) -> tuple[Tensor, Tensor]:
    x, y = data.x, data.y
    g = gradient(model, x, y)
    g = g.detach() if constant else g
    x_adv = (x + feasible(1.25 * EPSILON * g.sign(), x)).detach()
    drawn = torch.rand(x.shape, generator=drawing(), dtype=x.dtype)
    adversarial = ce(model(x_adv), y, 0.7).mean()
    h = gradient(model, x + EPSILON * (2 * drawn - 1), y)  # not clipped to pixels
    return x_adv, adversarial + 3.0 * (1 - cosines(g, h).mean())


def test_a_step_is_its_formula_and_one_side_alone_is_derived_again() -> None:
    data, model, reference = batch(), network(), network()
    method = made("grad-align", lambda_=3.0)
    method.true_class_mass = 0.7
    output = stepped(method, model, data)
    x_adv, loss = expected(reference, data)
    torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
    both = copy.deepcopy(network())
    _, other = expected(both, data, constant=False)
    torch.testing.assert_close(other, loss)
    one, two = (
        torch.autograd.grad(found, list(of.parameters()), retain_graph=True)
        for found, of in ((loss, reference), (other, both))
    )
    assert not torch.allclose(one[0], two[0])
    same_loss(output, model, loss, reference)


def test_images_without_a_gradient_are_left_out_and_leave_none() -> None:
    g = torch.randn(5, 1, 2, 3, generator=drawing(), dtype=torch.float64)
    h = torch.randn(5, 1, 2, 3, generator=drawing(), dtype=torch.float64)
    g, h = g.roll(1, 0), h.clone()
    g[1], h[3] = 0, 0
    h.requires_grad_()
    found = misalignment(g, h)
    torch.testing.assert_close(found, 1 - cosines(g, h).mean(), **EXACT)
    (derived,) = torch.autograd.grad(found, h)
    assert derived.isfinite().all() and not derived[1].any() and not derived[3].any()
    assert derived[0].any()
    nothing = torch.zeros(2, 1, 2, 3, requires_grad=True)
    assert misalignment(nothing.detach(), nothing).item() == 0
    tiny = torch.full((1, 1, 2, 3), 1e-30)  # whose square float32 does not hold
    assert misalignment(tiny, tiny * 5).item() == pytest.approx(0, abs=1e-6)


def test_a_step_leaves_out_an_image_that_no_logit_depends_on() -> None:
    class Blind(nn.Module):
        """Sees nothing of images whose first pixel is black."""

        def __init__(self) -> None:
            super().__init__()
            self.seeing = network()

        def forward(self, x: Tensor) -> Tensor:
            return self.seeing(torch.where(x[:, :, :1, :1] <= EPSILON, 0.5, x))

    data = batch()
    x = data.x.clone()
    x[:, :, 0, 0] = 0.5
    x[2, :, 0, 0] = -EPSILON
    data = replace(data, x=x)
    model, reference = Blind(), Blind()
    method = made("grad-align", lambda_=3.0)
    method.true_class_mass = 0.7
    output = stepped(method, model, data)
    _, loss = expected(reference, data)
    same_loss(output, model, loss, reference)


def test_the_weight_is_the_authors_at_8_255_and_the_step_is_epsilon() -> None:
    method, model = made("grad-align"), network()
    assert (method.config.lambda_, method.config.step_ratio) == (0.2, 1.25)
    data = batch()
    middle = replace(data, x=data.x * 0.5 + 0.25)
    moved = stepped(method, model, middle).x_adv - middle.x
    assert moved.abs().max().item() == pytest.approx(EPSILON)


def test_passes() -> None:
    """Three forward, and four backward, one of which is the derivative of a backward pass."""
    model = network()
    seen = modes(model)
    with PassCounter(model) as passes:
        stepped(made("grad-align"), model, batch()).loss.backward()
    assert seen == [True] * 3
    assert (passes.forward_images, passes.backward_images) == (3 * 6, 4 * 6)


def names() -> list[str]:
    """Every architecture but the wide ones, whose blocks are those of preactresnet18."""
    return [name for name in ARCHS.names() if not name.startswith("wrn")]


EXECUTIONS = {
    "fp32": (Execution(), "fp32"),
    "channels last": (Execution(channels_last=True), "fp32"),
    "bf16": (Execution(channels_last=True), "bf16"),
}


@pytest.mark.parametrize("how", EXECUTIONS)
@pytest.mark.parametrize("arch", names())
def test_every_architecture_is_derived_twice(arch: str, how: str) -> None:
    execution, precision = EXECUTIONS[how]
    torch.manual_seed(0)
    model = build_model(arch, (3, 32, 32), 10)
    x = torch.rand(4, 3, 32, 32, generator=drawing())
    data = Batch(x, torch.arange(4), torch.arange(4))
    found = []
    for way in ((Execution(), "fp32"), (execution, precision)):
        runner = ModelRunner(copy.deepcopy(model).train(), *way)
        # So large that the rounded signs of x' play no part.
        method = load_method("grad-align", lambda_=1e6)
        with runner.step():
            threat = ThreatModel("Linf", "8/255")
            output = method.step(runner, data, threat, torch.Generator().manual_seed(1))
            output.loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in runner.model.parameters()]))
    exact, same = found
    assert same.isfinite().all() and same.any()
    cosine = torch.nn.functional.cosine_similarity(exact, same, dim=0).item()
    assert cosine > (0.6 if precision == "bf16" else 0.999)
