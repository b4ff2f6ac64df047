"""What the states of a training cost it: written at the end of each epoch, and kept as runs do.

Matrices are multiplied on the device in the place of training, and after each epoch there is a
state with the prior of CIFAR-10. The one way hashes and writes it before the next epoch begins; the
other copies it and lets a thread write what is worth it (``regmix_bench/training/keeper.py``). What
training pays are the ends of epochs, and the time by which a product takes longer while the thread
writes, of which the median is compared with that of all others.

    python benchmarks/states.py [--images 43000] [--seconds 3.5] [--epochs 15]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from regmix_bench.models import build_model
from regmix_bench.models.weights import Description
from regmix_bench.training.keeper import StateKeeper
from regmix_bench.training.states import States

ABOUT = Description(arch="smallcnn", image_shape=(3, 32, 32), num_classes=10)


@dataclass
class Training:
    """What a training took, in seconds: its products, alone and beside a writing, and its ends."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)

    def share(self) -> float:
        """The share of the time that states took of it."""
        slower = 0.0
        if self.beside:
            slower = max(0.0, 1 - median(self.alone) / median(self.beside)) * sum(self.beside)
        paid = sum(self.ends) + slower
        return paid / (sum(self.ends) + sum(self.alone) + sum(self.beside))


def content(images: int, device: torch.device) -> dict[str, Any]:
    """A state with δ and momentum of so many images, in bfloat16."""
    rows = [torch.randn(images, 3, 32, 32, device=device).bfloat16() for _ in range(2)]
    model = build_model(ABOUT.arch, ABOUT.image_shape, ABOUT.num_classes).to(device)
    return {"model": model.state_dict(), "method": {"delta": rows[0], "momentum": rows[1]}}


def train(
    epochs: int, seconds: float, work: Callable[[], object], end: Callable[[int], object]
) -> Training:
    """Work for so many seconds an epoch, and call ``end`` after each."""
    took = Training()
    for epoch in range(1, epochs + 1):
        ended = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < ended:
            work()
            writing = any(thread.name == "states" for thread in threading.enumerate())
            (took.beside if writing else took.alone).append(time.perf_counter() - begun)
        begun = time.perf_counter()
        end(epoch)
        took.ends.append(time.perf_counter() - begun)
    return took


def main() -> None:
    """Measure both ways, and compare them."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--images", type=int, default=43_000)
    arguments.add_argument("--seconds", type=float, default=3.5)
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = arguments.parse_args()
    device = torch.device(options.device)
    state, matrix = content(options.images, device), torch.randn(1024, 1024, device=device)

    def work() -> float:
        return (matrix @ matrix).sum().item()

    with tempfile.TemporaryDirectory() as folder:
        states = States(Path(folder, "each"), "each")
        keeper = StateKeeper(States(Path(folder, "kept"), "kept"), ABOUT, 0, {})

        def keep(epoch: int) -> None:
            if keeper.due():
                keeper.keep(epoch, lambda: state)

        train(1, 0.5, work, lambda epoch: None)
        each = train(
            options.epochs, options.seconds, work, lambda epoch: states.save(epoch, state, {})
        )
        kept = train(options.epochs, options.seconds, work, keep)
    print(f"{device}, {options.images:,} images, {options.epochs} epochs of {options.seconds} s")
    for name, took in (("written each", each), ("kept", kept)):
        print(
            f"{name}: end of an epoch {median(took.ends):.3f} s (at most {max(took.ends):.3f}),"
            f" {took.share():.1%} of the time"
        )
    if kept.beside:
        print(f"a product beside a writing ÷ alone: {median(kept.beside) / median(kept.alone):.2f}")
    print(f"ends of epochs, written each ÷ kept: {sum(each.ends) / sum(kept.ends):.1f}")


if __name__ == "__main__":
    main()
