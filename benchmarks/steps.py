"""One training step of a method, ready to be timed: the package's, and its paper's plain loop."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import plain
import torch
from torch import Tensor, nn
from torch.optim import SGD

from regmix_bench.methods import load_method
from regmix_bench.methods.protocol import Method
from regmix_bench.models import build_model
from regmix_bench.models.execution import ModelRunner
from regmix_bench.replay.protocol import REHEARSALS
from regmix_bench.specs import Recipe
from regmix_bench.system.machine import (
    Execution,
    choose_device,
    choose_execution,
    default_precision,
)
from regmix_bench.training.steps import make_steps
from regmix_bench.training.update import Update
from regmix_bench.types import Batch, ThreatModel

THREAT = ThreatModel("Linf", "8/255")
SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Setting:
    """What is measured: where, on what, and how fast the package may go."""

    arch: str
    batch_size: int
    device: torch.device
    precision: Literal["fp32", "bf16"]
    execution: Execution
    shape: tuple[int, int, int] = SHAPE

    def __str__(self) -> str:
        words = [self.arch, f"batch {self.batch_size}", self.precision]
        words += ["channels-last"] * self.execution.channels_last
        words += ["compiled"] * self.execution.compile
        words += ["replayed"] * self.execution.graphs
        return ", ".join(words)


def parser(doc: str | None, methods: str) -> argparse.ArgumentParser:
    """The options that both measurements of training have."""
    arguments = argparse.ArgumentParser(description=doc)
    arguments.add_argument("--arch", default="resnet8")
    arguments.add_argument("--methods", default=methods)
    arguments.add_argument("--batch-size", type=int, default=128)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    arguments.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    for switch in ("--compile", "--channels-last", "--graphs"):
        arguments.add_argument(switch, choices=("auto", "on", "off"), default="auto")
    return arguments


def setting(options: argparse.Namespace) -> Setting:
    """What the options ask for; says what machine this is."""
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    print(f"{name}, {options.threads} threads, torch {torch.__version__}")
    return Setting(
        options.arch,
        options.batch_size,
        device,
        default_precision(options.device) if options.precision == "auto" else options.precision,
        choose_execution(
            device, SHAPE[1], options.channels_last, options.compile, graphs=options.graphs
        ),
    )


class Training:
    """A model, its optimiser and a batch of made-up images."""

    def __init__(self, name: str, where: Setting) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = build_model(where.arch, where.shape, 10).to(where.device)
        self.method: Method = load_method(name)
        self.method.compact_state = where.precision == "bf16"
        self.method.setup(where.batch_size, where.shape, where.device)
        self.method.on_epoch_start(1)
        self.method.on_epoch_start(2)  # from now on the prior is read, not drawn
        self.optimizer = SGD(self.model.parameters(), 1e-4, 0.9, fused=where.device.type == "cuda")
        self.generator = torch.Generator(where.device).manual_seed(0)
        x = torch.rand(where.batch_size, *where.shape, device=where.device)
        y = torch.randint(10, (where.batch_size,), device=where.device)
        self.batch = Batch(x, y, torch.arange(where.batch_size, device=where.device))
        self.model.train()

    def loss(self, model: nn.Module) -> Tensor:
        """Return the loss of the method's step, for which ``model`` is called."""
        return self.method.step(model, self.batch, THREAT, self.generator).loss


def prepared(name: str, where: Setting) -> tuple[Training, ModelRunner]:
    """What the package's step is made of."""
    training = Training(name, where)
    executed = ModelRunner(training.model, where.execution, where.precision)
    executed.choose_kernels(training.batch.x, lambda line: print(line, flush=True))
    if where.execution.compile:
        executed.warm_up([lambda: training.loss(executed)])
    return training, executed


def ours(name: str, where: Setting) -> Callable[[], object]:
    """The package's step."""
    training, executed = prepared(name, where)
    recipe = Recipe(batch_size=where.batch_size, precision=where.precision)
    update = Update(
        training.model, executed, training.method, THREAT, training.optimizer, recipe, None
    )
    steps = make_steps(update, where.device, where.execution, lambda line: print(line, flush=True))
    steps.start_epoch(1, seed=0)
    for _ in range(2 * REHEARSALS):  # of which the last are replayed, where any are
        steps(training.batch)
    return lambda: steps(training.batch)


def theirs(name: str, where: Setting) -> Callable[[], None]:
    """The plain loop's step."""
    training = Training(name, where)
    loss = plain.STEPS[name]

    def step() -> None:
        found = loss(training.model, training.batch, THREAT, training.generator, training.method)
        training.optimizer.zero_grad(set_to_none=True)
        found.backward()
        training.optimizer.step()

    return step


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, to the end of what it started on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
