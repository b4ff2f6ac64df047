"""The loss of RegMix, against its formula."""

from __future__ import annotations

import pytest
import torch
from support.formulas import EXACT, LABELS, ce, kl, logits
from torch import Tensor, nn

from regmix_bench.methods.regmix import Weights, regmix_terms
from regmix_bench.types import Batch


@pytest.mark.parametrize("weights", [(3, 0.5, 1.5), (3, 0.5, 0), (0, 0, 1.5), (0, 0, 0)])
def test_regmix_loss_and_its_gradient_in_every_output(weights: tuple[float, ...]) -> None:
    alpha, beta, gamma = weights

    def loss(clean: Tensor, initial: Tensor, adv: Tensor) -> Tensor:
        # With the identity for a network, the images are the logits.
        data = Batch(clean, LABELS, torch.arange(5))
        used = Weights(alpha=alpha, beta=beta, gamma=gamma)
        start = initial if alpha or beta else None
        terms = regmix_terms(nn.Identity(), data, start, adv, used, 0.6)
        assert len(terms) == 1 + bool(alpha or beta) + bool(gamma)
        return torch.stack(list(terms.values())).sum()

    clean, initial, adv = logits(4), logits(5), logits(6)
    expected = (
        ce(adv, LABELS, 0.6)
        + alpha * kl(adv, initial)
        + beta * kl(initial, adv)
        + gamma * kl(clean, adv)
    ).mean()
    torch.testing.assert_close(loss(clean, initial, adv), expected, **EXACT)
    assert torch.autograd.gradcheck(loss, (clean, initial, adv))
    if all(weights):
        assert all(
            g.any() for g in torch.autograd.grad(loss(clean, initial, adv), (clean, initial))
        )
