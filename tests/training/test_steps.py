"""Replayed steps train what ordinary ones do, and what cannot be replayed is found and named."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
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
from regmix_bench.replay.protocol import CannotRecord, Recorder, Recording
from regmix_bench.replay.tape import TapeRecorder
from regmix_bench.system.machine import Execution
from regmix_bench.training.keeper import Allowance
from regmix_bench.training.steps import ReplayedSteps
from regmix_bench.training.trainer import Trainer
from regmix_bench.types import Batch, Frozen, StepOutput

CPU = torch.device("cpu")
NAMES = [name for name in METHODS.names() if not name.startswith(("fgsm-pg", "regmix"))]
RESET = ["fgsm-pgi[reset=2]", "fgsm-pgk[reset=2]", "regmix[reset=2]"]
STILL = "fgsm-pgk[ema_below_threshold=false]"


GRAPHS = Execution(graphs=True)


def make_trainer(
    folder: Path, method: str, execution: Execution = GRAPHS, **recipe: Any
) -> tuple[Trainer, list[str]]:
    grid = {"methods": [method], "eps": ["8/255"], "train_examples": 163, "eval_examples": 10}
    (spec,) = plan([{**grid, "recipe": {"epochs": 2, "batch_size": 15} | recipe}])
    data, said = prepare(spec, CPU), list[str]()
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build_model(spec.arch, data.test.image_shape, data.test.num_classes)
    made = load_method(spec.method.name, **spec.method.params)
    return Trainer(spec, data, model, made, folder, CPU, execution, said.append), said


def trained(
    folder: Path, method: str, graphs: bool = True, recorder: Recorder | None = None, **recipe: Any
) -> tuple[Trainer, list[str]]:
    trainer, said = make_trainer(folder, method, Execution(graphs=graphs), **recipe)
    if recorder is not None:
        assert isinstance(trainer.steps, ReplayedSteps)
        trainer.steps.recorder = recorder
    trainer.run()
    return trainer, said


class Refusing(TapeRecorder):
    """Records ``after`` pieces of work, and raises ``error`` at the next."""

    def __init__(self, error: Exception, after: int = 0) -> None:
        self.error, self.left = error, after

    def _record(self, work: Any, generators: Any) -> Recording[Any]:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super()._record(work, generators)


class Corrupting(TapeRecorder):
    """Makes recordings whose replays take in a step of ``weight`` that no work asked for."""

    weight: torch.Tensor

    def _record(self, work: Any, generators: Any) -> Recording[Any]:
        weight = self.weight

        def astray() -> Any:
            result = work()
            with torch.no_grad():
                weight.add_(1)
            return result

        return super()._record(astray, generators)


class Tight(TapeRecorder):
    """Has memory for a recording or an ordinary step, and not for both."""

    full = False

    def _record(self, work: Any, generators: Any) -> Recording[Any]:
        made = super()._record(work, generators)
        self.full = True
        return made

    def rehearse(self, work: Any) -> Any:
        if self.full:
            self.full = False
            work()
            raise torch.OutOfMemoryError
        return work()


BROKEN = Refusing(CannotRecord("the recorder is broken"))


def numbers(trainer: Trainer) -> tuple[Any, ...]:
    history = [log.model_dump(exclude={"seconds", "work"}) for log in trainer.progress.history]
    files = {name: file.sha256 for name, file in trainer.progress.checkpoints.items()}
    cost = trainer.progress.cost
    return history, files, cost.forward_images, cost.backward_images


@pytest.mark.parametrize("method", [*NAMES, *RESET, STILL])
def test_replayed_training_is_ordinary_training_bit_for_bit(tmp_path: Path, method: str) -> None:
    ordinary, _ = trained(tmp_path / "a", method, graphs=False)
    replayed, said = trained(tmp_path / "b", method)
    # Of each size of batch; one that is repeated is the only one of so small an epoch.
    sizes = 1 if replayed.method.repeats > 1 else 2
    assert said == [] and replayed.steps.described()["recordings"] >= sizes
    assert numbers(replayed) == numbers(ordinary)


@pytest.mark.parametrize(
    "recipe",
    [
        {"gradient_clip": 0.1, "schedule": "cosine"},
        {"ema_decay": 0.9, "schedule": "onecycle", "augmentation": "crop"},
        {"schedule": "multistep", "milestones": [0.5], "precision": "bf16"},
        {"optimizer": "adamw", "lr": 0.001, "schedule": "cosine"},
        {"awp_gamma": 0.05, "gradient_clip": 0.5, "ema_decay": 0.9},
        {"awp_gamma": 0.05, "precision": "bf16", "schedule": "onecycle", "schedule_step": "epoch"},
    ],
)
def test_no_part_of_a_recipe_is_frozen_in(tmp_path: Path, recipe: dict[str, Any]) -> None:
    ordinary, said = trained(tmp_path / "a", "regmix", recorder=BROKEN, **recipe)
    assert said == ["steps are not replayed: the recorder is broken"]
    replayed, _ = trained(tmp_path / "b", "regmix", **recipe)
    assert replayed.steps.described()["recordings"] == 2
    assert numbers(replayed) == numbers(ordinary)


def test_tricks_that_begin_later_are_recorded_when_they_do(tmp_path: Path) -> None:
    late = {"awp_gamma": 0.05, "awp_warmup": 2, "ema_decay": 0.9, "ema_start": 3}
    recipe = {"epochs": 4, "schedule": "cosine", "ema_buffers": "live", **late}
    ordinary, _ = trained(tmp_path / "a", "fgsm-rs", recorder=BROKEN, **recipe)
    replayed, said = trained(tmp_path / "b", "fgsm-rs", **recipe)
    assert said == []
    assert replayed.steps.described()["recordings"] == 4  # two sizes of batches, before and since
    assert numbers(replayed) == numbers(ordinary)


def interrupt() -> Iterator[Batch]:
    raise KeyboardInterrupt
    yield


@pytest.mark.parametrize(
    ("method", "recipe"), [("fgsm-pgk", {}), ("regmix", {}), ("fgsm-rs", {"ema_decay": 0.9})]
)
def test_a_run_that_was_interrupted_goes_on_with_replayed_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, recipe: dict[str, Any]
) -> None:
    recipe = {"epochs": 3, "schedule": "cosine"} | recipe
    undisturbed, _ = trained(tmp_path / "whole", method, **recipe)
    begun, _ = make_trainer(tmp_path / "parts", method, **recipe)
    batches, epochs = begun.data.train.epoch, itertools.count(1)

    def cut(generator: torch.Generator, repeats: int) -> Iterator[Batch]:
        everything = batches(generator, repeats)
        if next(epochs) < 2:
            return everything
        return itertools.chain(itertools.islice(everything, 7), interrupt())

    monkeypatch.setattr(begun.data.train, "epoch", cut)
    begun.keeper.copying = begun.keeper.writing = Allowance(math.inf)
    with pytest.raises(KeyboardInterrupt):
        begun.run()
    assert begun.steps.described()["recordings"]
    resumed, said = make_trainer(tmp_path / "parts", method, **recipe)
    assert resumed.progress.epoch == 1
    resumed.run()
    assert said == [] and resumed.steps.described()["recordings"]
    ordinary, _ = trained(tmp_path / "ordinary", method, graphs=False, **recipe)
    assert numbers(resumed) == numbers(undisturbed) == numbers(ordinary)


@pytest.mark.parametrize(
    ("recorder", "told"),
    [
        (Refusing(torch.OutOfMemoryError()), "a smaller recipe.batch_size"),
        (Refusing(torch.OutOfMemoryError(), after=1), "a smaller recipe.batch_size"),
        (Tight(), "a smaller recipe.batch_size"),
        (Refusing(ValueError("no such kernel")), "no such kernel"),
    ],
)
def test_where_nothing_can_be_recorded_a_training_goes_on_in_the_ordinary_way(
    tmp_path: Path, recorder: Recorder, told: str
) -> None:
    ordinary, _ = trained(tmp_path / "a", "fgsm-pgk", graphs=False)
    found, (line,) = trained(tmp_path / "b", "fgsm-pgk", recorder=recorder)
    assert line.startswith("steps are not replayed: ") and told in line
    assert numbers(found) == numbers(ordinary)


@pytest.mark.parametrize("method", ["fgsm-pgk", "trades"])
def test_a_recording_that_goes_astray_is_found_and_undone(tmp_path: Path, method: str) -> None:
    ordinary, _ = trained(tmp_path / "a", method, graphs=False)
    found, said = make_trainer(tmp_path / "b", method)
    assert isinstance(found.steps, ReplayedSteps)
    found.steps.recorder = recorder = Corrupting()
    recorder.weight = next(found.model.parameters())
    found.run()
    assert said == [
        "steps are not replayed: a recorded step ends at other weights than an ordinary one"
    ]
    assert numbers(found) == numbers(ordinary)


def test_a_step_that_does_not_fit_at_all_ends_the_training(tmp_path: Path) -> None:
    trainer, said = make_trainer(tmp_path, "standard")
    assert isinstance(trainer.steps, ReplayedSteps)
    trainer.steps.recorder = recorder = Tight()
    recorder.full = True
    with pytest.raises(torch.OutOfMemoryError):
        trainer.run()
    assert said == []


def test_compiled_steps_are_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda f, **how: compiled(f, **how | {"backend": "aot_eager"})
    )
    found = []
    for graphs in (False, True):
        execution = Execution(compile=True, graphs=graphs)
        trainer, said = make_trainer(tmp_path / str(graphs), "standard", execution, batches="equal")
        trainer.run()
        assert said == []
        found.append(trainer)
    ordinary, replayed = found
    assert replayed.steps.described()["recordings"] >= 1
    for mine, theirs in zip(replayed.progress.history, ordinary.progress.history, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-2)


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


class ByBatch(Plain):
    """Leaves every second batch of an epoch out."""

    branch = False

    def on_batch_start(self, number: int) -> None:
        self.branch = number % 2 == 1

    def change(self, loss: torch.Tensor) -> torch.Tensor:
        return loss * 0 if self.branch else loss


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


def test_what_a_method_does_by_the_number_of_the_batch_is_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS.registered, "plain", ByBatch)
    ordinary, _ = trained(tmp_path / "a", "plain", graphs=False, epochs=3)
    replayed, said = trained(tmp_path / "b", "plain", epochs=3)
    assert said == [] and replayed.steps.described()["recordings"] >= 2
    assert numbers(replayed) == numbers(ordinary)
    monkeypatch.setitem(METHODS.registered, "plain", Plain)
    assert numbers(trained(tmp_path / "c", "plain", epochs=3)[0]) != numbers(ordinary)


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
