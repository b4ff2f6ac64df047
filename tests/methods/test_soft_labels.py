"""Mixed images have class probabilities for labels, and every method here takes them as labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from regmix_bench.methods import METHODS, load_method
from regmix_bench.models import build_model
from regmix_bench.types import Batch, StepOutput, ThreatModel

SHAPE = (1, 8, 8)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_certain_class_is_the_label_itself(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(16, *SHAPE, generator=generator, dtype=torch.float64)
    y = torch.randint(10, (16,), generator=generator)
    hard = Batch(x, y, torch.arange(16))
    certain = replace(hard, y=torch.eye(10, dtype=x.dtype)[y])

    def step(batch: Batch) -> StepOutput:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            model = build_model("smallcnn", SHAPE, 10).double().train()
        method = load_method(name)
        method.setup(16, SHAPE, torch.device("cpu"))
        method.on_epoch_start(1)
        threat = ThreatModel("Linf", "8/255")
        output = method.step(model, batch, threat, torch.Generator().manual_seed(1))
        method.after_update(model)
        return output

    one, other = step(hard), step(certain)
    torch.testing.assert_close(other.loss, one.loss)
    torch.testing.assert_close(other.x_adv, one.x_adv)
