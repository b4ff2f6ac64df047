"""The folded copy is the same function as its model, and follows it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.models import ARCHS, build_model
from regmix_bench.models.fusion import TOLERANCE, FusedModel


def trained_a_little(arch: str) -> tuple[nn.Module, Tensor]:
    """A model whose batch norms have statistics, scales and shifts of their own; its images."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build_model(arch, (3, 16, 16), 10, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
        x = torch.rand(6, 3, 16, 16)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
        with torch.no_grad():
            model(x), model(x.flip(3))
    return model.eval(), x


def assert_same(folded: nn.Module, model: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        expected = model(x)
        found = folded(x)
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
    assert torch.equal(found.argmax(1), expected.argmax(1))


@pytest.mark.parametrize("arch", ARCHS.names())
def test_the_copy_is_the_same_function_in_fewer_layers(arch: str) -> None:
    model, x = trained_a_little(arch)
    folded = FusedModel(model)
    assert_same(folded, model, x)

    def norms(module: nn.Module) -> int:
        return sum(isinstance(layer, nn.BatchNorm2d) for layer in module.modules())

    assert norms(folded) < norms(model)
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("arch", ["smallcnn", "resnet8"])
def test_refresh_takes_over_an_update(arch: str) -> None:
    model, x = trained_a_little(arch)
    folded = FusedModel(model)
    with torch.no_grad():
        before = model(x)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    nn.functional.cross_entropy(model(x), torch.arange(6)).backward()
    optimizer.step()
    model.eval()

    torch.testing.assert_close(folded(x), before, rtol=1e-3, atol=1e-3)
    folded.refresh(model)
    assert_same(folded, model, x)
    assert (folded(x) - before).abs().max() > 1e-2


def test_the_copy_stays_in_evaluation_mode() -> None:
    model, x = trained_a_little("smallcnn")
    folded = FusedModel(model).train()
    assert not any(module.training for module in folded.copy.modules())
    assert_same(folded, model, x)
