"""Operations of training steps: as many as the passes through the network need, and no trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regmix_bench.methods import METHODS
from regmix_bench.models import build_model
from regmix_bench.models.execution import ModelRunner
from regmix_bench.training.flops import FlopCounter, count_flop
from regmix_bench.types import Batch, ThreatModel

#: Of a forward pass of one 32×32 image; a gradient of the image is as many, both gradients twice.
RESNET18 = 1.11e9


def loss_of(name: str, shape: tuple[int, int, int], epoch: int = 1):
    def loss(runner: ModelRunner) -> torch.Tensor:
        method = METHODS[name](METHODS[name].Config())
        method.setup(2, shape, torch.device("cpu"))
        method.on_epoch_start(epoch)
        images = Batch(torch.zeros(2, *shape), torch.zeros(2, dtype=torch.int64), torch.arange(2))
        return method.step(runner, images, ThreatModel("Linf", "8/255"), torch.Generator()).loss

    return loss


@pytest.mark.parametrize(
    ("name", "passes"),
    [("standard", 3), ("fgsm-rs", 5), ("fgsm-pgi", 7), ("regmix", 10), ("pgd-at", 23),
     ("mart", 26), ("trades", 27)],
)  # fmt: skip
def test_a_step_takes_its_passes_through_resnet18(name: str, passes: int) -> None:
    """1.11 GFLOP each: FGSM-PGI 7.8, RegMix 11.1, PGD-AT 25.5 an image.

    Attacks run on a folded copy, or hold the weights, which then cost nothing.
    """
    model = build_model("resnet18", (3, 32, 32), 10, [0.5] * 3, [0.25] * 3)
    flop = count_flop(model, "fp32", loss_of(name, (3, 32, 32)))
    assert flop is not None and flop / 2 == pytest.approx(passes * RESNET18, rel=5e-3)


@pytest.mark.parametrize("name", ["regmix", "trades"])
def test_neither_precision_nor_epoch_changes_the_count(name: str) -> None:
    model = build_model("smallcnn", (1, 8, 8), 10, [0.5], [0.25])
    counts = {
        count_flop(model, precision, loss_of(name, (1, 8, 8), epoch))
        for precision in ("fp32", "bf16")
        for epoch in (1, 2)
    }
    assert len(counts) == 1 and None not in counts


def test_a_product_is_counted_by_hand() -> None:
    layer, x = nn.Linear(30, 7), torch.randn(5, 30, requires_grad=True)
    with FlopCounter() as counter:
        layer(x).sum().backward()
    assert counter.flop == 3 * 2 * 5 * 30 * 7


def test_counting_leaves_nothing_behind() -> None:
    model = build_model("resnet8", (3, 16, 16), 10, [0.5] * 3, [0.25] * 3).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()

    def noisy(runner: ModelRunner) -> torch.Tensor:
        return runner(torch.rand(2, 3, 16, 16)).sum()

    assert count_flop(model, "fp32", noisy)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("error", [RuntimeError, TypeError])
def test_a_step_that_cannot_be_rehearsed_is_not_counted(error: type[Exception]) -> None:
    def broken(runner: ModelRunner) -> torch.Tensor:
        raise error("batches of two are too small")

    model = build_model("smallcnn", (1, 8, 8), 10, [0.5], [0.25])
    assert count_flop(model, "fp32", broken) is None
