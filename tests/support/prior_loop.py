"""A training loop of the prior-guided methods, written out from their formulas in float64.

FGSM-PGI is Jia et al. 2022 (FGSM-MEP), FGSM-PGK Jia et al. 2024, RegMix Liu and Ojha 2025. Nothing
here is the package's: network, optimiser, prior, projection, losses and average are written out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from regmix_bench.types import Batch
from support.formulas import ce, kl

CHANNELS, SIDE, CLASSES = 3, 8, 4

#: What the papers' formulas have of numbers on CIFAR-10, and FGSM-PGK's on CIFAR-100.
CIFAR10: dict[str, Any] = {
    "momentum_decay": 0.3,
    "gradient_weight": 2,
    "ratio_offset": 0,
    "ratio_threshold": 0.82,
    "ema_decay": 0.999,
    "weak_ema_decay": 0.99999,
    "ema_warmup": 10,
    "ema_below_threshold": True,
}
CIFAR100: dict[str, Any] = CIFAR10 | {
    "momentum_decay": 0.1,
    "ratio_offset": 1,
    "ratio_threshold": 0.9,
    "ema_below_threshold": False,
}
LR, MOMENTUM, DECAY = 0.05, 0.9, 5e-3


def network() -> nn.Sequential:
    """The network that the package's side trains; :func:`forward` is the same in formulas."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, CHANNELS, 3, padding=1),
        nn.BatchNorm2d(CHANNELS),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(CHANNELS * SIDE * SIDE, CLASSES),
    ).double()


def forward(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Return the logits of a network in training mode, whose running statistics move on."""
    z = functional.conv2d(x, state["0.weight"], state["0.bias"], padding=1)
    n = z.numel() // CHANNELS
    mean = z.mean((0, 2, 3))
    variance = (z - mean[:, None, None]).square().sum((0, 2, 3)) / n
    for name, now in (("mean", mean), ("var", variance * n / (n - 1))):
        state[f"1.running_{name}"] = 0.9 * state[f"1.running_{name}"] + 0.1 * now.detach()
    z = (z - mean[:, None, None]) / (variance + 1e-5).sqrt()[:, None, None]
    z = z * state["1.weight"][:, None, None] + state["1.bias"][:, None, None]
    return torch.tanh(z).flatten(1) @ state["4.weight"].T + state["4.bias"]


@dataclass
class Trained:
    """Where a training ends, and what its steps were like."""

    state: dict[str, Tensor]
    average: dict[str, Tensor]
    delta: Tensor
    losses: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    below: int = 0  # pixels at which a start left the range of pixels


def train(
    name: str,
    given: Mapping[str, Any],
    epochs: Iterable[Iterable[Batch]],
    n: int,
    epsilon: float,
    noise: torch.Generator,
) -> Trained:
    """Train :func:`network` on ``epochs`` of batches, augmented already, of ``n`` images.

    Constants that are not ``given`` are those of :data:`CIFAR10`.
    """
    config = CIFAR10 | dict(given)

    def feasible(delta: Tensor, x: Tensor) -> Tensor:
        return (x + delta.clamp(-epsilon, epsilon)).clamp(0, 1) - x

    state = {key: value.clone() for key, value in network().state_dict().items()}
    del state["1.num_batches_tracked"]
    weights = [key for key in state if "running" not in key]
    velocity = {key: torch.zeros_like(state[key]) for key in weights}
    delta = torch.zeros(n, 1, SIDE, SIDE, dtype=torch.float64)
    momentum = torch.zeros_like(delta)
    found = Trained(state, {}, delta)
    mass, updates = config["true_class_mass"], 0
    for epoch, batches in enumerate(epochs):
        for batch in batches:
            x, y, i = batch.x, batch.y, batch.index
            if epoch % config["reset"] == 0:
                # Uniform from −ε to ε, of which the sign alone is used.
                u = epsilon * (2 * torch.rand(x.shape, generator=noise) - 1)
                delta[i], momentum[i] = epsilon * u.sign().double(), 0.0
            start = feasible(delta[i], x) if config["clip_start"] else delta[i]
            found.below += int(((x + start) < 0).sum())

            for key in weights:
                state[key] = state[key].detach().requires_grad_()
            x_start = (x + start).requires_grad_()
            first = forward(state, x_start)
            (g,) = torch.autograd.grad(ce(first, y, mass).mean(), x_start, retain_graph=True)
            x_adv = x + feasible(start + epsilon * g.sign(), x)
            adv = forward(state, x_adv)
            right, before = ((output.argmax(1) == y).sum().item() for output in (adv, first))
            ratio = right / max(before + config["ratio_offset"], 1)
            weight = config["gradient_weight"] - ratio if name == "fgsm-pgk" else 1.0
            momentum[i] = weight * g / g.abs().sum() + config["momentum_decay"] * momentum[i]
            delta[i] = feasible(start + epsilon * momentum[i].sign(), x)

            loss = ce(adv, y, mass).mean()
            if name.startswith("regmix"):
                loss = loss + config["alpha"] * kl(adv, first).mean()
                loss = loss + config["beta"] * kl(first, adv).mean()
                if config["gamma"]:
                    loss = loss + config["gamma"] * kl(forward(state, x), adv).mean()
            else:
                loss = loss + config["lambda_"] * (adv - first).square().mean()
            gradients = torch.autograd.grad(loss, [state[key] for key in weights])
            for key, gradient in zip(weights, gradients, strict=True):
                velocity[key] = MOMENTUM * velocity[key] + gradient + DECAY * state[key].detach()
                state[key] = state[key].detach() - LR * velocity[key]

            found.losses.append(loss.item())
            found.ratios.append(ratio)
            below = ratio < config["ratio_threshold"]
            if name == "fgsm-pgk" and (config["ema_below_threshold"] or not below):
                weak = min(1.0, config["weak_ema_decay"] * ratio / config["ratio_threshold"])
                a = config["ema_decay"] if below else weak
                a = min(a, (updates + 1) / (updates + config["ema_warmup"]))
                for key, value in state.items():
                    average = found.average.get(key, value)
                    found.average[key] = a * average + (1 - a) * value
                updates += 1
    return found
