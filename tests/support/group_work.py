"""What tests let a group of processes do: each imports this module, which has to be importable."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.attacks.noise import batch_sum, epoch_generator, gaussian_start, uniform_start
from regmix_bench.attacks.protocol import Attack
from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import prepare
from regmix_bench.distributed.collectives import (
    Sharding,
    all_sum,
    average,
    gathered,
    on_first,
    rank,
    share,
    size,
    whole_batch,
)
from regmix_bench.distributed.group import finished_first
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.stage import Stage, run_stage
from regmix_bench.grid.plan import plan
from regmix_bench.methods import load_method
from regmix_bench.models import build_model
from regmix_bench.models.predictions import correct
from regmix_bench.records.progress import ProgressMeter
from regmix_bench.records.schema import EpochLog
from regmix_bench.specs import RunSpec
from regmix_bench.system.files import CannotWrite
from regmix_bench.system.machine import Execution
from regmix_bench.training.trainer import Trainer
from regmix_bench.types import ThreatModel

CPU = torch.device("cpu")
EPOCHS = 6
SEEDS = (0, 1, 2)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "priors, and images left out": ("regmix", {"augmentation": "crop", "batches": "equal"}),
    "a ratio over the batch, and averaged weights": ("fgsm-pgk", {}),
    "several passes, on a folded copy": ("trades[steps=3]", {"ema_decay": 0.5}),
    "sets of images over the batch": ("rs-aaer", {"lr": 0.3}),
    "a weight by the batch's error": ("elle-a[deviations=0.1,lambda_=10]", {}),
    "a perturbation by the place in the batch": ("free-at[steps=3]", {}),
    "second derivatives": ("grad-align[lambda_=5]", {}),
    "a random start and a clipped gradient": ("fgsm-rs", {"gradient_clip": 0.5}),
    "a norm of the whole batch": ("nuat", {}),
    "priors without a momentum": ("fgsm-pco", {}),
    "patterns that images of a class share": ("fgsm-uap[patterns=class]", {}),
    "means over the images of a class": ("ikl-at[steps=2]", {}),
    "weights perturbed, and an average that starts late": (
        "fgsm-pgi",
        {"awp_gamma": 0.01, "awp_warmup": 1, "ema_decay": 0.5, "ema_start": 3},
    ),
    "images without a label, and visits that are counted": (
        "regmix[reset=2]",
        {"unlabelled": "consistency"},
    ),
}


def make_spec(method: str, seed: int = 0, **recipe: Any) -> RunSpec:
    """541 images in batches of 90 and 91, or 91 alone, which two processes share unevenly."""
    shared = {"epochs": EPOCHS, "batch_size": 91, "schedule": "cosine", "augmentation": "none"}
    grid = {"methods": [method], "seeds": [seed], "eps": ["16/255"], "train_examples": 601}
    data = {"labelled": 300} if "unlabelled" in recipe else {}
    return plan([grid | {"recipe": shared | recipe, "data": data}])[0]


class Plain(nn.Sequential):
    """A network without batch norm, in ``dtype``."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(16 * 4 * 4, 10),
        )
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self[0].weight.dtype))


def plain(method: str) -> nn.Module:
    # What TRADES and IKL-AT climb is all but flat where they start: in float32 the signs of its
    # gradient hang on the rounding, which hangs on the size of a batch, in one process too.
    return Plain(torch.float64 if method in ("trades", "ikl-at") else torch.float32)


def make_trainer(
    spec: RunSpec, directory: Path, build: Callable[[str], nn.Module] = plain
) -> Trainer:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build(spec.method.name)
    method = load_method(spec.method.name, **spec.method.params)
    return Trainer(spec, prepare(spec, CPU), model, method, directory, CPU, Execution())


class Stopped(Exception):
    pass


def train(trainer: Trainer, epochs: int = EPOCHS) -> Trainer:
    def stop(log: EpochLog) -> None:
        if log.epoch == epochs < EPOCHS:
            raise Stopped

    try:
        trainer.run(stop)
    except Stopped:
        gathered(None)
    return trainer


def left_by(trainer: Trainer) -> dict[str, Any]:
    """What a training leaves behind, without the clock."""
    model = trainer.evaluated_model().state_dict()
    clocked: Any = {"seconds": True, "work": {"product", "processor_seconds"}}
    history = [log.model_dump(exclude=clocked) for log in trainer.progress.history]
    cost = trainer.progress.cost.model_dump(exclude={"seconds"})
    return {"model": {k: v.numpy() for k, v in model.items()}, "history": history, "cost": cost}


def furthest(one: dict[str, Any], two: dict[str, Any]) -> float:
    """The largest difference of two models' parameters."""
    assert one["model"].keys() == two["model"].keys()
    return max(abs(one["model"][name] - two["model"][name]).max() for name in one["model"])


def assert_same(two: dict[str, Any], one: dict[str, Any]) -> None:
    assert furthest(one, two) < 1e-5
    assert two["cost"] == one["cost"]
    for ours, theirs in zip(two["history"], one["history"], strict=True):
        assert ours["metrics"] == pytest.approx(theirs["metrics"], rel=1e-3)
        for value in ("loss", "lr", "val_clean_acc", "val_fgsm_acc", "val_pgd_acc"):
            assert ours[value] == pytest.approx(theirs[value], rel=1e-4), value
    assert one["history"][-1]["val_pgd_acc"] > 0.3  # of something that has been learnt


TABLE = torch.arange(7 * 3, dtype=torch.float32).view(7, 3)


def exchanged() -> dict[str, Any]:
    """What the helpers make of two processes."""
    assert (size(), rank()) == (2, rank())
    shards, total = Sharding(7), 5
    rows = shards.zeros((3,), CPU, torch.float32)
    shards.load(rows, TABLE)
    index = torch.tensor([6, 0, 3, 4, 1])
    mine = index[share(total)]
    taken = shards.take(rows, mine, total, torch.float64)
    assert taken.dtype == torch.float64
    shards.put(rows, mine, total, -TABLE[mine])
    statistics = [torch.full((2,), float(rank())), torch.full((1, 2), 4.0 * rank())]
    average(statistics)
    generator = epoch_generator(CPU, 0, 1, "attack")
    x = torch.full((total, 1, 2, 2), 0.5)[share(total)]
    threats = (ThreatModel("Linf", "8/255"), ThreatModel("L2", "128/255"))
    with whole_batch(total):
        starts = [uniform_start(x, threat, generator) for threat in threats]
        starts.append(gaussian_start(x, threats[0], generator))
    return {
        "taken": torch.equal(taken, TABLE[mine].double()),
        "table": shards.gather(rows),
        "sum": batch_sum(torch.tensor(1.0 + rank())),
        "average": statistics,
        "first": on_first(rank),
        "gathered": gathered(rank()),
        "starts": torch.cat(starts, 1),
    }


class FailsOnTheSecond(Attack):
    """Raises for the brighter half of four images, which the second process has."""

    name = "fails-on-the-second"

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int
    ) -> Tensor:
        if x.min() > 0.5:
            raise ValueError("too bright")
        return x


def failure_of_a_stage(folder: Path) -> str | None:
    """Why an attack that fails in one process has failed, as this process knows."""
    torch.manual_seed(0)
    model = AttackedModel(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval())
    x = torch.tensor([0.1, 0.2, 0.8, 0.9]).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    y = torch.zeros(4, dtype=torch.int64)
    stage = Stage("fails", FailsOnTheSecond(), batch_size=2)
    threat = ThreatModel("Linf", "8/255")
    journal = Journal(folder / "failing", {})
    meter = ProgressMeter(lambda progress: None)
    standing = right = torch.ones(4, dtype=torch.bool)
    return run_stage(stage, model, x, y, right, standing, threat, journal, meter).failure


def in_two(folder: Path, device: torch.device, send: Callable[[Any], None]) -> dict[str, Any]:
    """All that two processes are asked for: they take long to start."""
    found: dict[str, Any] = {"helpers": exchanged()}
    found["failures"] = gathered(failure_of_a_stage(folder))
    starts = [torch.empty(3 - n, 3, 2, 2) for n in range(2)]
    torch.distributed.all_gather_object(starts, found["helpers"]["starts"])
    found["helpers"]["starts"] = torch.cat(starts)
    for name, (method, recipe) in CASES.items():
        spec = make_spec(method, **recipe)
        found[name] = left_by(train(make_trainer(spec, folder / "two" / method)))
    found["liet"] = left_by(train(make_trainer(make_spec("liet"), folder / "two" / "liet")))
    spec = make_spec("fgsm-pgk")
    found["resumed"] = left_by(train(make_trainer(spec, folder / "begun by one")))
    train(make_trainer(spec, folder / "begun by two"), epochs=3)
    found["with norm"] = [right_of(folder / "two", seed) for seed in SEEDS]
    with_norm = make_trainer(make_spec("mart[steps=2]", epochs=1), folder / "norm", normed)
    state = left_by(train(with_norm))["model"]
    digest = sum(float(abs(value).sum()) for value in state.values())
    both = all_sum(torch.tensor([digest], dtype=torch.float64))
    found["norm"] = (digest, both.item() / 2, sorted(state))
    send("done")
    return found


def normed(method: str) -> nn.Module:
    return build_model("smallcnn", (1, 8, 8), 10)


def right_of(folder: Path, seed: int) -> list[bool]:
    """Which test images a network with batch norm holds under PGD, trained with ``seed``."""

    def build(method: str) -> nn.Module:
        torch.manual_seed(seed)
        return normed(method)

    spec = make_spec("fgsm-rs", seed)
    trainer = train(make_trainer(spec, folder / f"norm {seed}", build))
    x, y = trainer.data.test.x, trainer.data.test.y
    model = trainer.model.eval()
    return correct(model, PGD.of(steps=20).perturb(model, x, y, spec.train_threat), y).tolist()


def member(how: str, device: torch.device, send: Callable[[Any], None]) -> float:
    """Fails, or dies, in the second of two processes while the first waits for it."""
    send(how)
    all_sum(torch.ones(1))
    if rank() == 1 and how == "user error":
        raise CannotWrite("the disk\nis full")
    if rank() == 1 and how == "bug":
        raise ZeroDivisionError("out of luck")
    if rank() == 1 and how == "exit":
        os._exit(3)
    return all_sum(torch.ones(1)).item()


def unfinished(folder: Path, device: torch.device, send: Callable[[Any], None]) -> None:
    """Works until it is ended, and has something left to do then."""

    def finish() -> None:
        time.sleep(0.3)  # longer than the others need for their end
        (folder / str(rank())).touch()

    with finished_first(finish):
        all_sum(torch.ones(1))
        send("ready")
        threading.Event().wait()
