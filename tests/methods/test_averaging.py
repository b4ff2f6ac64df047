"""An average of weights over training."""

from __future__ import annotations

import torch
from support.formulas import network

from regmix_bench.methods.averaging import WeightAverage


def test_a_weight_average_starts_at_the_model_and_decays() -> None:
    model, average = network(), WeightAverage()
    assert average.apply_to(model) is model
    first = {name: value.clone() for name, value in model.state_dict().items()}
    average.update(model, 0.75)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    average.update(model, 0.75)
    averaged = average.apply_to(model)
    assert averaged is not model
    torch.testing.assert_close(averaged.state_dict()["4.bias"], first["4.bias"] + 0.25)
    torch.testing.assert_close(model.state_dict()["4.bias"], first["4.bias"] + 1)
