"""Training steps as the papers' pseudo-code has them, to measure ours against.

Float32, NCHW, parameters that require gradients throughout, input gradients by
``torch.autograd.grad``, and what is constant in an attack computed in every step of it where the
pseudo-code says so. Starting points and projections are the package's own, so that both sides do
the same work around the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regmix_bench.attacks.ball import ascend
from regmix_bench.attacks.noise import gaussian_start, uniform_start
from regmix_bench.losses import cross_entropy, kl_divergence
from regmix_bench.types import Batch, ThreatModel

#: (model, batch, threat, generator, method for its weights and prior) → the loss.
Step = Callable[[nn.Module, Batch, ThreatModel, torch.Generator, Any], Tensor]


def _pgd(
    objective: Callable[[Tensor], Tensor],
    batch: Batch,
    threat: ThreatModel,
    delta: Tensor,
    config: Any,
) -> Tensor:
    for _ in range(config.steps):
        x_adv = (batch.x + delta).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(x_adv), x_adv)
        delta = ascend(delta, batch.x, gradient, threat, config.step_ratio * float(threat.epsilon))
    return batch.x + delta


def pgd_at(
    model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator, method: Any
) -> Tensor:
    """Madry et al. 2018."""
    start = uniform_start(batch.x, threat, generator)
    x_adv = _pgd(lambda x: F.cross_entropy(model(x), batch.y), batch, threat, start, method.config)
    return F.cross_entropy(model(x_adv), batch.y)


def trades(
    model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator, method: Any
) -> Tensor:
    """Zhang et al. 2019, algorithm 1: f(x) stands inside the inner loop."""
    model.eval()
    start = gaussian_start(batch.x, threat, generator)
    x_adv = _pgd(
        lambda x: kl_divergence(model(batch.x), model(x), "sum"),
        batch,
        threat,
        start,
        method.config,
    )
    model.train()
    logits = model(batch.x)
    return F.cross_entropy(logits, batch.y) + method.config.beta * kl_divergence(
        logits, model(x_adv)
    )


def mart(
    model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator, method: Any
) -> Tensor:
    """Wang et al. 2020, algorithm 1."""
    model.eval()
    start = gaussian_start(batch.x, threat, generator)
    x_adv = _pgd(lambda x: F.cross_entropy(model(x), batch.y), batch, threat, start, method.config)
    model.train()
    logits, adv_logits = model(batch.x), model(x_adv)
    probabilities = adv_logits.softmax(1)
    wrong = probabilities.scatter(1, batch.y[:, None], -1.0).argmax(1)
    boosted = F.cross_entropy(adv_logits, batch.y) + F.nll_loss(
        (1.0001 - probabilities + 1e-12).log(), wrong
    )
    true = logits.softmax(1).gather(1, batch.y[:, None]).squeeze(1)
    weighted = kl_divergence(logits, adv_logits, "none") * (1.0000001 - true)
    return boosted + method.config.beta * weighted.mean()


def fgsm_rs(
    model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator, method: Any
) -> Tensor:
    """Wong et al. 2020, algorithm 3."""
    delta = uniform_start(batch.x, threat, generator)
    x_adv = (batch.x + delta).requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x_adv), batch.y), x_adv)
    step = method.config.step_ratio * float(threat.epsilon)
    delta = ascend(delta, batch.x, gradient, threat, step)
    return F.cross_entropy(model(batch.x + delta), batch.y)


def _prior_guided(
    model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator, method: Any
) -> tuple[Tensor, Tensor]:
    """Logits at the stored prior and one step of ε from it (Jia et al. 2022, algorithm 1)."""
    mass = method.true_class_mass
    initial = method.prior.initial(batch, threat, generator)
    x_initial = (batch.x + initial).requires_grad_()
    before = model(x_initial)
    loss = cross_entropy(before, batch.y, mass)
    (gradient,) = torch.autograd.grad(loss, x_initial, retain_graph=True)
    delta = ascend(initial, batch.x, gradient, threat, float(threat.epsilon))
    method.prior.update(batch, initial, gradient, threat)
    return before, model(batch.x + delta)


def fgsm_pgi(
    model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator, method: Any
) -> Tensor:
    """Jia et al. 2022, FGSM-MEP."""
    before, after = _prior_guided(model, batch, threat, generator, method)
    ce = cross_entropy(after, batch.y, method.true_class_mass)
    return ce + method.config.lambda_ * F.mse_loss(after, before)


def regmix(
    model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator, method: Any
) -> Tensor:
    """Liu and Ojha 2025: mutual and generalisation regularisation on the prior-guided step."""
    before, after = _prior_guided(model, batch, threat, generator, method)
    config = method.config
    return (
        cross_entropy(after, batch.y, method.true_class_mass)
        + config.alpha * kl_divergence(after, before)
        + config.beta * kl_divergence(before, after)
        + config.gamma * kl_divergence(model(batch.x), after)
    )


STEPS: dict[str, Step] = {
    "pgd-at": pgd_at,
    "trades": trades,
    "mart": mart,
    "fgsm-rs": fgsm_rs,
    "fgsm-pgi": fgsm_pgi,
    "regmix": regmix,
}
