"""Steps as a training does them on a CUDA device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regmix_bench.methods import METHODS, load_method
from regmix_bench.methods.averaging import WeightAverage
from regmix_bench.methods.configured import tell_recipe
from regmix_bench.models import build_model
from regmix_bench.models.execution import ModelRunner
from regmix_bench.specs import Recipe
from regmix_bench.system.machine import Execution, arithmetic
from regmix_bench.training.optim import make_optimizer
from regmix_bench.training.update import Update
from regmix_bench.types import Batch, ThreatModel

SHAPE, N, SIZE = (3, 16, 16), 40, 16
EPOCHS, STEPS = (1, 2), 10


def weights(name: str, recipe: Recipe, graphs: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """The weights before and after twenty steps of a method, in two epochs."""
    from regmix_bench.training.steps import make_steps

    execution = Execution(channels_last=True, graphs=graphs)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model("resnet8", SHAPE, 10).to(device).train()
    trained = ModelRunner(model, execution, recipe.precision)
    method = load_method(name)
    tell_recipe(method, recipe, 10)
    method.setup(N, SHAPE, device)
    optimizer = make_optimizer(model.parameters(), recipe, device, graphs)
    threat, said = ThreatModel("Linf", "8/255"), list[str]()
    average = WeightAverage() if isinstance(recipe.ema_decay, float) else None
    update = Update(model, trained, method, threat, optimizer, recipe, average)
    steps = make_steps(update, device, execution, said.append)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(N, *SHAPE, generator=generator).to(device)
    y = torch.arange(N, device=device) % 10
    before = flat(model)
    for epoch in EPOCHS:
        method.on_epoch_start(epoch)
        steps.start_epoch(epoch, seed=epoch)
        for number in range(STEPS):
            method.on_batch_start(number)
            index = torch.randperm(N, generator=generator)[:SIZE].to(device)
            steps(Batch(x[index], y[index], index, SIZE))
    assert said == [] and bool(steps.described().get("recordings")) == graphs
    return before, flat(model)


def flat(model: torch.nn.Module) -> Tensor:
    return torch.cat([value.detach().double().flatten() for value in model.parameters()])


def compare(name: str, recipe: Recipe) -> None:
    """As near as two eager trainings: sums are in no order, and a sign near zero moves a pixel."""
    device = torch.device("cuda")
    with arithmetic("fp32"):
        before, expected = weights(name, recipe, False, device)
        _, again = weights(name, recipe, False, device)
        _, found = weights(name, recipe, True, device)
    moved, apart = (expected - before).norm(), (expected - again).norm()
    assert (found - expected).norm() < 0.1 * moved + 2 * apart
    assert apart < moved  # or nothing would be shown


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", METHODS.names())
def test_twenty_replayed_steps_are_twenty_eager_ones(name: str, precision: str) -> None:
    compare(name, Recipe(epochs=len(EPOCHS), batch_size=SIZE, lr=0.01, precision=precision))


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["pgd-at", "regmix", "n-fgsm", "fgsm-uap"])
def test_steps_with_tricks_are_replayed_as_others_are(name: str, precision: str) -> None:
    """Also where they set in at an epoch of their own."""
    tricks = {"true_class_mass": 0.8, "gradient_clip": 1.0, "awp_gamma": 0.01, "awp_warmup": 1}
    average = {"ema_decay": 0.9, "ema_start": 2}
    recipe = {"epochs": len(EPOCHS), "batch_size": SIZE, "lr": 0.01, "precision": precision}
    compare(name, Recipe.model_validate({**recipe, **tricks, **average}))
