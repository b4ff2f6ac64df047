"""A small training whose steps are recorded, and the results of recorded and of ordinary steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from regmix_bench.replay.protocol import Recorder
from regmix_bench.replay.tape import TapeRecorder

CPU = torch.device("cpu")
STEPS = 6


class Training:
    """A network, what is trained with it, and buffers that a step reads and fills."""

    def __init__(
        self, optimizer: str = "sgd", dropout: float = 0.0, device: torch.device = CPU
    ) -> None:
        torch.manual_seed(0)
        self.device = device
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(64, 10),
        ).to(device)
        self.lr = torch.tensor(0.1, device=device)
        of = {"params": self.net.parameters(), "lr": self.lr, "weight_decay": 0.01, "fused": True}
        make: dict[str, Callable[..., torch.optim.Optimizer]] = {
            "sgd": lambda **of: torch.optim.SGD(momentum=0.9, nesterov=True, **of),
            "adamw": partial(torch.optim.AdamW, capturable=device.type == "cuda"),
        }
        self.optimizer = make[optimizer](**of)
        self.average = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.prior = torch.zeros(16, 1, 8, 8, device=device)
        self.generator = torch.Generator(device)
        self.x = torch.zeros(8, 1, 8, 8, device=device)
        self.y, self.index = torch.zeros(2, 8, dtype=torch.int64, device=device)

    def fill(self, number: int) -> None:
        """Make the batch of a step, its learning rate and its seeds."""
        batches = torch.Generator().manual_seed(number)
        self.x.copy_(torch.rand(self.x.shape, generator=batches))
        self.y.copy_(torch.randint(10, self.y.shape, generator=batches))
        self.index.copy_(torch.randperm(16, generator=batches)[:8])
        self.lr.fill_(0.1 / number)
        self.generator.manual_seed(number)
        torch.manual_seed(number)

    def step(self) -> Tensor:
        self.optimizer.zero_grad()
        x, y = self.x, self.y
        start = self.prior[self.index] + 0.1 * torch.rand(
            x.shape, generator=self.generator, device=self.device
        )
        x_prior = (x + start).requires_grad_()
        logits = self.net(x_prior)
        loss = nn.functional.cross_entropy(logits, y)
        (gradient,) = torch.autograd.grad(loss, x_prior, retain_graph=True)
        self.prior[self.index] = 0.3 * self.prior[self.index] + gradient.sign()
        with torch.autocast(self.device.type, torch.bfloat16):
            adversarial = self.net((x + 0.1 * gradient.sign()).clamp(0, 1))
        loss = loss + nn.functional.cross_entropy(adversarial.float(), y)
        (loss + (logits - adversarial.float()).square().mean()).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 0.5)
        self.optimizer.step()
        with torch.no_grad():
            for name, value in self.net.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 0.1)
        return loss.detach()

    def state(self) -> dict[str, Tensor]:
        found = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        found |= {f"average.{name}": value for name, value in self.average.items()}
        for number, kept in enumerate(self.optimizer.state_dict()["state"].values()):
            found |= {f"optimizer.{number}.{name}": value for name, value in kept.items()}
        return {name: value.clone() for name, value in found.items()} | {"prior": self.prior}


def replayed(
    training: Any,
    step: Callable[[], Tensor],
    recorder: Recorder | None = None,
    rehearsals: int = 2,
) -> list[Tensor]:
    """Return the results of rehearsed, and from then on of replayed steps."""
    recorder, results, recording = recorder or TapeRecorder(), [], None
    for number in range(1, STEPS + 1):
        training.fill(number)
        if number <= rehearsals:
            results.append(recorder.rehearse(step).clone())
            continue
        if recording is None:
            recording = recorder.record(step, [training.generator])
        recording.replay()
        results.append(recording.result.clone())
    assert recorder.seconds > 0
    return results


def eager(training: Any, step: Callable[[], Tensor]) -> list[Tensor]:
    """Return the results of ordinary steps."""
    results = []
    for number in range(1, STEPS + 1):
        training.fill(number)
        results.append(step().clone())
    return results
