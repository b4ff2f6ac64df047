"""Replayed steps train what ordinary ones do, and what cannot be replayed is found and named."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from regmix_bench.data import prepare
from regmix_bench.grid.plan import plan
from regmix_bench.methods import METHODS, load_method
from regmix_bench.methods.protocol import Method
from regmix_bench.models import build_model
from regmix_bench.replay.protocol import CannotRecord
from regmix_bench.system.machine import Execution
from regmix_bench.training.steps import ReplayedSteps
from regmix_bench.training.trainer import Trainer
from regmix_bench.types import Frozen, StepOutput

CPU = torch.device("cpu")
NAMES = [name for name in METHODS.names() if not name.startswith(("fgsm-pg", "regmix"))]
RESET = ["fgsm-pgi[reset=2]", "fgsm-pgk[reset=2]", "regmix[reset=2]"]
BROKEN = CannotRecord("the recorder is broken")
STILL = "fgsm-pgk[ema_below_threshold=false]"


def trained(
    folder: Path, method: str, graphs: bool = True, broken: Exception | None = None, **recipe: Any
) -> tuple[Trainer, list[str]]:
    grid = {"methods": [method], "eps": ["8/255"], "train_examples": 163, "eval_examples": 10}
    (spec,) = plan([{**grid, "recipe": {"epochs": 2, "batch_size": 15} | recipe}])
    data, said = prepare(spec, CPU), list[str]()
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build_model(spec.arch, data.test.image_shape, data.test.num_classes)
    made = load_method(spec.method.name, **spec.method.params)
    execution = Execution(graphs=graphs)
    trainer = Trainer(spec, data, model, made, folder, CPU, execution, said.append)
    if broken is not None:
        assert isinstance(trainer.steps, ReplayedSteps)

        def refuse(*_: Any) -> Any:
            raise broken

        trainer.steps.recorder.record = refuse  # type: ignore[method-assign]
    trainer.run()
    return trainer, said


def numbers(trainer: Trainer) -> tuple[Any, ...]:
    history = [log.model_dump(exclude={"seconds", "work"}) for log in trainer.progress.history]
    files = {name: file.sha256 for name, file in trainer.progress.checkpoints.items()}
    cost = trainer.progress.cost
    return history, files, cost.forward_images, cost.backward_images


@pytest.mark.parametrize("method", [*NAMES, *RESET, STILL])
def test_replayed_training_is_ordinary_training_bit_for_bit(tmp_path: Path, method: str) -> None:
    ordinary, _ = trained(tmp_path / "a", method, graphs=False)
    replayed, said = trained(tmp_path / "b", method)
    assert said == [] and replayed.steps.described()["recordings"] >= 2
    assert numbers(replayed) == numbers(ordinary)


@pytest.mark.parametrize(
    "recipe",
    [
        {"gradient_clip": 0.1, "schedule": "cosine"},
        {"ema_decay": 0.9, "schedule": "onecycle", "augmentation": "crop"},
        {"schedule": "multistep", "milestones": [0.5], "precision": "bf16"},
        {"optimizer": "adamw", "lr": 0.001, "schedule": "cosine"},
    ],
)
def test_no_part_of_a_recipe_is_frozen_in(tmp_path: Path, recipe: dict[str, Any]) -> None:
    ordinary, said = trained(tmp_path / "a", "regmix", broken=BROKEN, **recipe)
    assert said == ["steps are not replayed: the recorder is broken"]
    replayed, _ = trained(tmp_path / "b", "regmix", **recipe)
    assert replayed.steps.described()["recordings"] == 2
    assert numbers(replayed) == numbers(ordinary)


class Plain(Method):
    name = "plain"
    Config = type("Config", (Frozen,), {})
    count, weight = 0, 1.0

    def change(self, loss: torch.Tensor) -> torch.Tensor:
        return loss

    def step(self, model, batch, threat, generator) -> StepOutput:
        loss = nn.functional.cross_entropy(model(batch.x), batch.y)
        return StepOutput(self.change(loss), batch.x)


class Reads(Plain):
    def change(self, loss: torch.Tensor) -> torch.Tensor:
        return loss * (2 if loss.item() > 1 else 1)


class Counts(Plain):
    def change(self, loss: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return loss * (1 + self.count / 100)


class ByEpoch(Plain):
    def on_epoch_start(self, epoch: int) -> None:
        self.weight = 1 / epoch

    def change(self, loss: torch.Tensor) -> torch.Tensor:
        return loss * self.weight


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (Reads, r"steps are not replayed: .*host wait.*test_steps.py:\d+"),
        (Counts, r"steps are not replayed: .*test_steps.py:\d+"),
        (ByEpoch, r"recorded anew: .*test_steps.py:\d+"),
    ],
)
def test_what_a_recording_would_get_wrong_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: type[Method], told: str
) -> None:
    monkeypatch.setitem(METHODS.registered, "plain", method)
    ordinary, _ = trained(tmp_path / "a", "plain", graphs=False, epochs=3)
    replayed, said = trained(tmp_path / "b", "plain", epochs=3)
    (line,) = said
    assert re.search(told, line)
    assert numbers(replayed) == numbers(ordinary)


def test_training_goes_on_where_memory_runs_out_in_recording(tmp_path: Path) -> None:
    memory = torch.OutOfMemoryError("CUDA out of memory")
    ordinary, _ = trained(tmp_path / "a", "fgsm-rs", graphs=False)
    refused, said = trained(tmp_path / "b", "fgsm-rs", broken=memory)
    assert said == ["steps are not replayed: memory ran out"]
    assert refused.steps.described() == {"recordings": 0, "not_replayed": "memory ran out"}
    assert numbers(refused) == numbers(ordinary)


FACTORS = itertools.cycle([1 + 0.3 * step for step in range(16)])


@torch.library.custom_op("tests::unsettled", mutates_args=())
def unsettled(x: torch.Tensor) -> torch.Tensor:
    return x * next(FACTORS)


class Unsettled(Plain):
    def change(self, loss: torch.Tensor) -> torch.Tensor:
        return loss * unsettled(loss.detach())


def test_ordinary_steps_that_differ_excuse_a_replayed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS.registered, "plain", Unsettled)
    replayed, said = trained(tmp_path, "plain")
    assert said == [] and replayed.steps.described() == {"recordings": 1}
