"""Free-AT: one backward pass for weights and perturbation, which is carried from step to step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.formulas import EXACT, ce, network
from support.steps import EPSILON, batch, made, modes, stepped
from torch import Tensor, nn

from regmix_bench.data import prepare
from regmix_bench.grid.plan import plan
from regmix_bench.methods import load_method
from regmix_bench.methods.protocol import Method
from regmix_bench.models import build_model
from regmix_bench.models.predictions import PassCounter
from regmix_bench.system.machine import Execution
from regmix_bench.training.trainer import Trainer
from regmix_bench.types import Batch, StepOutput

CPU = torch.device("cpu")


def trained(method: Method, model: nn.Module, data: Batch, rate: float = 0.0) -> StepOutput:
    """What one step returned, after plain gradient descent at ``rate``."""
    output = stepped(method, model, data)
    model.zero_grad()
    output.loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(rate * parameter.grad)
    method.after_update(model)
    return output


def by_hand(model: nn.Module, data: Batch, delta: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """The loss of a step, whose gradients move ``delta`` and the weights."""
    variable = delta[: len(data.x)].clone().requires_grad_()
    x_adv = (data.x + variable).clamp(0, 1)
    loss = ce(model(x_adv), data.y, 0.7).mean()
    g, *gradients = torch.autograd.grad(loss, [variable, *model.parameters()])
    with torch.no_grad():
        moved = (variable + 0.5 * EPSILON * g.sign()).clamp(-EPSILON, EPSILON)
        delta[: len(data.x)] = moved
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.sub_(rate * gradient)
    return x_adv.detach(), loss.detach()


def test_the_perturbation_is_carried_over_steps_and_batches_by_place() -> None:
    """Over three steps on each of three batches, the second smaller: its first rows move."""
    model, reference = network(), network()
    method = made("free-at", step_ratio=0.5, steps=3)
    method.true_class_mass = 0.7
    delta = torch.zeros(6, 1, 4, 4, dtype=torch.float64)
    for number, count in enumerate((6, 4, 6)):
        data = batch(number, count)
        untouched = delta[count:].clone()
        for _ in range(3):
            x_adv, loss = by_hand(reference, data, delta, rate=0.05)
            output = trained(method, model, data, rate=0.05)
            torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
            torch.testing.assert_close(output.loss.detach(), loss, **EXACT)
        assert torch.equal(delta[count:], untouched)
        # Kept in float32, of which an eighth and its halves take nothing away.
        assert torch.equal(method.delta.rows[:6].double(), delta)
    assert delta.abs().max() == EPSILON
    mine, theirs = ([*of.parameters()] for of in (model, reference))
    torch.testing.assert_close(mine, theirs, **EXACT)


def test_a_pixel_that_is_clipped_gives_no_gradient_and_is_clipped_at_use_alone() -> None:
    data, model = batch(), network()
    data = Batch(torch.ones_like(data.x), data.y, data.index)
    method = made("free-at")
    method.delta.rows.fill_(EPSILON)
    output = trained(method, model, data)
    assert torch.equal(output.x_adv, data.x)
    assert (method.delta.rows == EPSILON).all(), "the stored perturbation leaves valid pixels"


def test_a_step_costs_one_pass_each_way() -> None:
    model = network()
    seen = modes(model)
    with PassCounter(model) as passes:
        trained(made("free-at"), model, batch())
    assert seen == [True]
    assert (passes.forward_images, passes.backward_images) == (6, 6)


def test_an_epoch_is_as_many_steps_of_fewer_images(tmp_path: Path) -> None:
    recipe = {"epochs": 2, "batch_size": 10, "schedule": "cosine"}
    grid = {"methods": ["free-at[steps=4]"], "eps": ["8/255"], "train_examples": 100}
    spec = plan([{**grid, "recipe": recipe}])[0]
    data = prepare(spec, CPU)
    model = build_model(spec.arch, data.test.image_shape, data.test.num_classes)
    method = load_method("free-at", steps=4)
    seen: list[list[int]] = []
    ordinary = method.step

    def step(model, batch, threat, generator) -> StepOutput:
        seen.append(batch.index.tolist())
        return ordinary(model, batch, threat, generator)

    method.step = step
    trainer = Trainer(spec, data, model, method, tmp_path, CPU, Execution())
    trainer.run()
    assert len(data.train) == 9 and len(seen) == 18
    for epoch in (seen[:9], seen[9:]):
        assert [sum(other == one for other in epoch) for one in epoch] == [4] * 8 + [1]
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0)
    cost = trainer.progress.cost
    assert cost.forward_images == cost.backward_images == 18 * 10


def test_it_refuses_to_be_perturbed_in_its_weights() -> None:
    with pytest.raises(Exception, match="awp_gamma") as refused:
        plan([{"methods": ["free-at"], "eps": ["8/255"], "recipe": {"awp_gamma": 0.01}}])
    assert "another" in str(refused.value) and "\n" not in str(refused.value)
