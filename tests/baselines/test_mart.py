"""The loss of MART, against its formula."""

from __future__ import annotations

import pytest
import torch
from support.formulas import EXACT, LABELS, logits, mart_bce

from regmix_baselines.mart import boosted_cross_entropy


def test_boosted_cross_entropy_with_its_constants() -> None:
    z = logits(3)
    torch.testing.assert_close(
        boosted_cross_entropy(z, LABELS), mart_bce(z, LABELS).mean(), **EXACT
    )
    assert torch.autograd.gradcheck(lambda z: boosted_cross_entropy(z, LABELS), z)
    sure_and_wrong = torch.tensor([[0.0, 900.0]], dtype=torch.float64)
    expected = 900 - torch.tensor(0.0001 + 1e-12, dtype=torch.float64).log()
    loss = boosted_cross_entropy(sure_and_wrong, torch.tensor([0]))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
