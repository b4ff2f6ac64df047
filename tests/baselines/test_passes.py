"""What a step costs: images through the network, forwards and backwards, for each of the batch."""

from __future__ import annotations

import pytest
from support.formulas import network
from support.steps import batch, made, stepped

from regmix_bench.models.predictions import PassCounter


@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        ("gat", 4, 3),
        ("nuat", 4, 3),
        ("fgsm-pco", 3, 4),
        ("fgsm-uap", 2, 3),
        ("liet", 2, 3),  # and one image of each class, both ways, in one batch of 20
        ("ikl-at", 8, 7),
    ],
)
def test_the_passes_of_a_step(name: str, forward: int, backward: int) -> None:
    model, data = network(), batch()
    with PassCounter(model) as passes:
        stepped(made(name), model, data, number=1).loss.backward()
    assert passes.forward_images == forward * len(data.x)
    assert passes.backward_images == backward * len(data.x)
