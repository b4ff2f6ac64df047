"""The loss of RegMix, against its formula."""

from __future__ import annotations

import pytest
import torch
from support.formulas import EXACT, LABELS, ce, kl, log_p, logits, network, sce, wmse
from support.steps import EPSILON, batch, drawing, made, same_loss, stepped
from torch import Tensor, nn

from regmix_bench.losses import soft_cross_entropy, weighted_squared_error
from regmix_bench.methods.regmix import Weights, mutual, regmix_terms
from regmix_bench.types import Batch


def written(logits: tuple[Tensor, Tensor, Tensor], **choices: object) -> Tensor:
    """AMR and AGR of the clean, the initial and the final logits, as the choices have them."""
    clean, initial, adv = logits

    def side(p: Tensor, q: Tensor) -> Tensor:
        if choices.get("form") == "mse":
            return (p - q).square().sum(1)
        if choices.get("form") == "ikl":
            w = log_p(p).exp().detach()
            return wmse(p, q, w) + sce(p, q)
        return kl(p, q)

    target = clean.detach() if choices.get("detach_clean") else clean
    agr = kl(adv, target) if choices.get("agr") == "reverse" else kl(target, adv)
    total = (3 * side(adv, initial) + 0.5 * side(initial, adv) + 1.5 * agr).mean()
    return total / 4 if choices.get("reduction") == "mean" else total


@pytest.mark.parametrize(
    "choices",
    [
        {"reduction": "mean"},
        {"detach_clean": True},
        {"agr": "reverse"},
        {"agr": "reverse", "detach_clean": True, "reduction": "mean"},
        {"form": "ikl"},
        {"form": "mse"},
        {"form": "mse", "reduction": "mean"},  # FGSM-PGI's own, which is a mean over classes
    ],
)
def test_what_the_paper_leaves_open_is_a_choice(choices: dict[str, object]) -> None:
    outputs = logits(4), logits(5), logits(6)
    clean, initial, adv = outputs
    data = Batch(clean, LABELS, torch.arange(5))
    used = Weights(alpha=3, beta=0.5, gamma=1.5, **choices)
    terms = regmix_terms(nn.Identity(), data, initial, adv, used, 0.6)
    found, expected = terms["amr"] + terms["agr"], written(outputs, **choices)
    torch.testing.assert_close(found, expected, **EXACT)
    mine, theirs = (
        torch.autograd.grad(of, outputs, allow_unused=True, materialize_grads=True)
        for of in (found, expected)
    )
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    assert bool(mine[0].any()) == (not choices.get("detach_clean"))


def test_a_divergence_has_the_gradients_of_a_squared_error_and_a_soft_cross_entropy() -> None:
    p, q = logits(4), logits(5)
    halves = weighted_squared_error(p, q.detach()) + soft_cross_entropy(p, q)
    mine, theirs = (torch.autograd.grad(of, (p, q)) for of in (mutual(p, q, "kl"), halves))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)
    improved = torch.autograd.grad(mutual(p, q, "ikl"), (p, q))
    torch.testing.assert_close(improved[0], mine[0], rtol=0, atol=1e-10)
    assert not torch.allclose(improved[1], mine[1]), "the squared error moves q too"


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


@pytest.mark.parametrize("name", ["regmix", "regmix-amr", "regmix-agr"])
def test_a_random_start_is_drawn_at_each_visit_and_nothing_is_stored(name: str) -> None:
    data, model, reference = batch(), network(), network()
    method = made(name, start="random")
    method.true_class_mass = 0.7
    drawn = torch.rand(data.x.shape, generator=drawing(), dtype=data.x.dtype)
    for epoch in (1, 2):  # a stored start would have moved on
        output = stepped(method, model, data, epoch)
        start = (data.x + (2 * drawn - 1) * EPSILON).clamp(0, 1).requires_grad_()
        initial = reference(start)
        (g,) = torch.autograd.grad(ce(initial, data.y, 0.7).sum(), start, retain_graph=True)
        delta = (start - data.x + EPSILON * g.sign()).clamp(-EPSILON, EPSILON)
        x_adv = (data.x + delta).clamp(0, 1).detach()
        torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
        clean, adv = reference(data.x), reference(output.x_adv)
        config = method.config
        expected = ce(adv, data.y, 0.7) + config.gamma * kl(clean, adv)
        expected += config.alpha * kl(adv, initial) + config.beta * kl(initial, adv)
        same_loss(output, model, expected.mean(), reference)
    assert not any(state.numel() for state in method.state_dict().values())
