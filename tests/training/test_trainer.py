"""The epoch loop: schedule, selection, alarms, and states that a run resumes from."""

from __future__ import annotations

import copy
import hashlib
import io
import itertools
import json
import math
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from regmix_bench.data import prepare
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.methods import METHODS, load_method
from regmix_bench.methods.protocol import Method
from regmix_bench.models import build_model
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.schema import EpochLog
from regmix_bench.records.selection import chosen_epochs, selected_epoch
from regmix_bench.specs import RunSpec
from regmix_bench.system.files import CannotWrite
from regmix_bench.system.machine import Execution
from regmix_bench.system.signals import Termination
from regmix_bench.training import trainer as training
from regmix_bench.training.keeper import Allowance
from regmix_bench.training.states import States, load_state
from regmix_bench.training.trainer import Trainer
from regmix_bench.types import TRAINED, Frozen, StepOutput

CPU = torch.device("cpu")
PLAIN = Execution()


def make_spec(method: str = "fgsm-rs", seed: int = 0, **recipe: Any) -> RunSpec:
    grid = {
        "methods": [method],
        "eps": ["32/255"],
        "seeds": [seed],
        "train_examples": 100,
        "eval_examples": 10,
        "recipe": {"epochs": 2, "batch_size": 45, "schedule": "cosine"} | recipe,
    }
    return plan([grid])[0]


def make_trainer(
    spec: RunSpec,
    directory: Path,
    say: Callable[[str], None] = lambda line: None,
    execution: Execution = PLAIN,
) -> Trainer:
    data = prepare(spec, CPU)
    with torch.random.fork_rng([]):
        torch.manual_seed(spec.seed)
        model = build_model(spec.arch, data.test.image_shape, data.test.num_classes)
    method = load_method(spec.method.name, **spec.method.params)
    return Trainer(spec, data, model, method, directory, CPU, execution, say)


OnEpoch = Callable[[EpochLog], None]


def writing_all(trainer: Trainer, then: OnEpoch = lambda log: None) -> OnEpoch:
    """Let a training write every state, which it is not worth, before it goes on."""
    trainer.keeper.copying = Allowance(math.inf)
    trainer.keeper.writing.pay(0.0, math.inf)

    def write(log: EpochLog) -> None:
        trainer.keeper.flush()
        then(log)

    return write


def trained(spec: RunSpec, directory: Path) -> Trainer:
    trainer = make_trainer(spec, directory)
    trainer.run()
    return trainer


def numbers(trainer: Trainer) -> tuple[list[dict[str, Any]], Any, Any]:
    """All that a training leaves behind, without the clock."""
    progress = trainer.progress
    clocked: Any = {"seconds": True, "work": {"product", "processor_seconds"}}
    history = [log.model_dump(exclude=clocked) for log in progress.history]
    return history, progress.checkpoints, progress.alarms


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    """Makes a method known for one test: plain training whose loss ``change`` may alter."""

    def make(change=lambda loss, epoch: loss, after=lambda model: None) -> str:
        class Changed(Method):
            name = "changed"
            Config = type("Config", (Frozen,), {})

            def on_epoch_start(self, epoch: int) -> None:
                self.epoch = epoch

            def step(self, model, batch, threat, generator) -> StepOutput:
                logits = model(batch.x)
                assert logits.dtype == torch.float32
                loss = nn.functional.cross_entropy(logits, batch.y)
                return StepOutput(change(loss, self.epoch), batch.x)

            def after_update(self, model: nn.Module) -> None:
                after(model)

        monkeypatch.setitem(METHODS.registered, "changed", Changed)
        return "changed"

    return make


def test_history_has_the_rate_at_the_start_of_each_epoch(tmp_path: Path, register) -> None:
    spec = make_spec(register(), epochs=4, schedule="multistep", milestones=[0.5], lr=0.02)
    history = trained(spec, tmp_path).progress.history
    assert [log.lr for log in history] == pytest.approx([0.02, 0.02, 0.002, 0.002])
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    assert [EpochLog.model_validate_json(line) for line in lines] == history


def test_equal_batches_count_what_they_visit_alone(tmp_path: Path, register) -> None:
    spec = make_spec(register(lambda loss, epoch: 0 * loss + 3), batches="equal", batch_size=40)
    trainer = trained(spec, tmp_path)
    assert trainer.data.train.size == 90
    assert [log.loss for log in trainer.progress.history] == pytest.approx([3, 3])
    cost = trainer.progress.cost
    assert cost.forward_images == cost.backward_images == 2 * 80
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0)  # of 2 × 2 steps


def test_an_epoch_is_as_many_steps_where_batches_are_repeated(tmp_path: Path, register) -> None:
    spec = make_spec(register(lambda loss, epoch: 0 * loss + 3), batch_size=13)
    METHODS.registered["changed"].repeats = 4
    trainer = trained(spec, tmp_path)
    assert len(trainer.data.train) == 7  # six batches of 13 images, and one of 12
    assert [log.loss for log in trainer.progress.history] == pytest.approx([3, 3])
    assert [log.work.images for log in trainer.progress.history] == [4 * 13 + 3 * 13] * 2
    assert trainer.progress.cost.forward_images == 2 * 7 * 13
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0)  # of 2 × 7 steps


def test_gradient_clip_bounds_the_step(tmp_path: Path, register) -> None:
    shared = {"epochs": 1, "batch_size": 200, "lr": 1.0, "momentum": 0, "weight_decay": 0}

    def moved(**recipe: Any) -> float:
        directory = tmp_path / str(len(recipe))
        trainer = make_trainer(make_spec(register(), **shared, **recipe), directory)
        before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
        trainer.run()
        pairs = zip(trainer.model.parameters(), before, strict=True)
        return math.sqrt(sum((a.detach() - b).square().sum().item() for a, b in pairs))

    assert moved(gradient_clip=0.01) == pytest.approx(0.01, rel=1e-3)
    assert moved() > 0.1


def test_ema_averages_the_weights_and_is_what_is_saved(tmp_path: Path, register) -> None:
    seen: list[torch.Tensor] = []

    def look(model: nn.Module) -> None:
        seen.append(model.classifier.weight.detach().clone())

    spec = make_spec(register(after=look), epochs=1, ema_decay=0.75)
    trainer = trained(spec, tmp_path)

    assert len(seen) == 2
    file = trainer.progress.checkpoints["last"]
    saved = load_checkpoint(tmp_path / file.file, file.sha256).classifier.weight
    torch.testing.assert_close(saved, 0.75 * seen[0] + 0.25 * seen[1])
    assert torch.equal(trainer.model.classifier.weight, seen[1])


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch):
    """Replaces validation by given PGD-10 accuracies, of raw weights too where they are given."""

    def script(*accuracies: float, raw: tuple[float, ...] = ()) -> None:
        def validate(self, epoch, lr, means, seconds) -> EpochLog:
            beside = raw[epoch - 1] if raw else None
            return make_log(epoch, pgd=accuracies[epoch - 1], raw=beside)

        monkeypatch.setattr(Trainer, "validate", validate)

    return script


def make_log(epoch: int, pgd: float, fgsm: float = 0.5, raw: float | None = None) -> EpochLog:
    return EpochLog(
        epoch=epoch,
        lr=0.1,
        loss=1.0,
        val_clean_acc=0.9,
        val_fgsm_acc=fgsm,
        val_pgd_acc=pgd,
        raw_val_clean_acc=raw,
        raw_val_fgsm_acc=raw,
        raw_val_pgd_acc=raw,
        seconds=0.0,
    )


def test_the_selected_checkpoint_is_the_first_of_the_best(tmp_path, register, scripted) -> None:
    scripted(0.2, 0.5, 0.5, 0.4)
    trainer = make_trainer(make_spec(register(), epochs=4), tmp_path)
    weights = {}

    def keep(log: EpochLog) -> None:
        weights[log.epoch] = trainer.model.classifier.weight.detach().clone()

    trainer.run(writing_all(trainer, keep))

    selected, last = (trainer.progress.checkpoints[name] for name in ("selected", "last"))
    assert (selected.epoch, last.epoch) == (2, 4)
    for file in (selected, last):
        model = load_checkpoint(tmp_path / file.file, file.sha256)
        assert torch.equal(model.classifier.weight, weights[file.epoch])
    states = sorted(path.name for path in tmp_path.glob("state-*.pt"))
    assert [name[:10] for name in states] == ["state-0003", "state-0004"]
    names = {"selected-0002.safetensors", "last-0004.safetensors", "train.jsonl", *states}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize(("method", "recipe"), [("changed", {"ema_decay": 0.75}), ("fgsm-pgk", {})])
def test_raw_and_averaged_weights_are_each_selected_by_their_own_accuracy(
    tmp_path, register, scripted, method: str, recipe: dict[str, Any]
) -> None:
    register()
    scripted(0.2, 0.5, 0.4, 0.4, raw=(0.3, 0.2, 0.6, 0.1))
    trainer = make_trainer(make_spec(method, epochs=4, **recipe), tmp_path)
    weights: dict[tuple[str, int], Any] = {}

    def keep(log: EpochLog) -> None:
        for kind, model in (("", trainer.evaluated_model()), ("raw-", trainer.model)):
            weights[kind, log.epoch] = copy.deepcopy(model.state_dict())

    trainer.run(writing_all(trainer, keep))

    files = trainer.progress.checkpoints
    epochs = {"selected": 2, "last": 4, "raw-selected": 3, "raw-last": 4}
    assert {name: file.epoch for name, file in files.items()} == epochs
    for name, file in files.items():
        saved = load_checkpoint(tmp_path / file.file, file.sha256).state_dict()
        expected = weights["raw-" if name.startswith("raw-") else "", file.epoch]
        assert all(torch.equal(saved[key], value) for key, value in expected.items())
    assert files["raw-last"].sha256 != files["last"].sha256
    assert len(list(tmp_path.glob("*.safetensors"))) == 4


def test_a_training_without_an_average_has_two_checkpoints(tmp_path, register) -> None:
    trainer = trained(make_spec(register()), tmp_path)
    assert trainer.progress.checkpoints.keys() == {"selected", "last"}
    assert all(log.raw_val_pgd_acc is None for log in trainer.progress.history)


def test_the_last_epoch_is_selected_where_the_recipe_says_so(tmp_path, register, scripted) -> None:
    scripted(0.2, 0.5, 0.4, raw=(0.3, 0.2, 0.1))
    spec = make_spec(register(), epochs=3, ema_decay=0.75, selection="last")
    assert spec.run_id != make_spec(register(), epochs=3, ema_decay=0.75).run_id
    files = trained(spec, tmp_path).progress.checkpoints
    assert {name: file.epoch for name, file in files.items()} == dict.fromkeys(TRAINED, 3)
    assert files["selected"].sha256 == files["last"].sha256
    assert files["raw-selected"].sha256 == files["raw-last"].sha256


def test_validation_measures_the_average_and_the_raw_weights(tmp_path: Path) -> None:
    trainer = trained(make_spec("fgsm-rs", epochs=6, lr=0.05, ema_decay=0.9), tmp_path)
    log = trainer.progress.history[-1]
    for prefix, model in (("", trainer.evaluated_model()), ("raw_", trainer.model)):
        found = trainer.validation.measure(model)
        assert getattr(log, f"{prefix}val_clean_acc") == found.clean
        assert getattr(log, f"{prefix}val_fgsm_acc") == found.fgsm
        assert getattr(log, f"{prefix}val_pgd_acc") == found.pgd
    assert log.val_clean_acc != log.raw_val_clean_acc


def test_weights_are_no_average_before_the_first_epoch_of_one() -> None:
    logs = [make_log(1, 0.6), make_log(2, 0.3, raw=0.5), make_log(3, 0.4, raw=0.7)]
    expected = {"selected": 3, "last": 3, "raw-selected": 3, "raw-last": 3}
    assert chosen_epochs(logs, "val-pgd10") == expected
    logs[2] = make_log(3, 0.4, raw=0.6)
    assert chosen_epochs(logs, "val-pgd10") == expected | {"raw-selected": 1}
    assert chosen_epochs(logs[:1], "val-pgd10") == dict.fromkeys(TRAINED, 1)


def test_a_training_whose_average_starts_late_is_resumed_before_it(tmp_path: Path) -> None:
    spec = make_spec("fgsm-rs", epochs=4, ema_decay=0.9, ema_start=3)
    undisturbed = trained(spec, tmp_path / "whole")
    averaged = [log.raw_val_pgd_acc is not None for log in undisturbed.progress.history]
    assert averaged == [False, False, True, True]
    files = undisturbed.progress.checkpoints
    assert files.keys() == set(TRAINED) and files["selected"].epoch >= 3
    for epoch in (1, 2, 3):
        trainer = make_trainer(spec, tmp_path / "parts")
        with pytest.raises(Killed):
            trainer.run(writing_all(trainer, stop_after(epoch)))
        assert set(trainer.keeper.flush()) == {"selected", "raw-selected"}
    resumed = make_trainer(spec, tmp_path / "parts")
    resumed.run()
    assert numbers(resumed) == numbers(undisturbed)


@pytest.mark.parametrize(("method", "recipe"), [("fgsm-pgk", {}), ("fgsm-rs", {"ema_decay": 0.9})])
def test_a_state_of_averages_alone_is_not_resumed(tmp_path, method, recipe) -> None:
    spec = make_spec(method, epochs=2, **recipe)
    trained(spec, tmp_path)
    for path in tmp_path.glob("state-*.pt"):
        state = torch.load(path, weights_only=True)
        for name in ("raw-selected", "raw-last"):
            state["checkpoints"].pop(name, None)
        path.unlink()
        torch.save(state, tmp_path / "made")
        named_by_digest(tmp_path, (tmp_path / "made").read_bytes())
    with pytest.raises(UserError, match=r"averaged weights alone\); --force trains anew$"):
        make_trainer(spec, tmp_path)


@pytest.mark.parametrize("fault", ["none", "one missing", "one more", "another shape"])
@pytest.mark.parametrize("buffers", ["averaged", "live"])
def test_averages_of_other_weights_are_not_resumed(tmp_path, buffers: str, fault: str) -> None:
    """What they lack would begin anew, as a copy, beside what goes on."""
    spec = make_spec("fgsm-rs", epochs=2, ema_decay=0.9, ema_buffers=buffers)
    trained(spec, tmp_path)
    path = max(tmp_path.glob("state-*.pt"))
    average = torch.load(path, weights_only=True)["average"]
    name = next(iter(average))
    if fault == "none":
        average = {}
    elif fault == "one missing":
        del average[name]
    elif fault == "one more":
        average["module." + name] = average[name]
    else:
        average[name] = average[name][None]
    for other in tmp_path.glob("state-*.pt"):
        if other != path:
            other.unlink()
    rewritten(path, average=average)
    with pytest.raises(UserError, match=r"averages are not those of this training\); --force"):
        make_trainer(spec, tmp_path)


def test_what_a_killed_process_left_half_written_is_removed(tmp_path, register) -> None:
    (tmp_path / ".tmp-abc.pt").write_bytes(b"half")
    (tmp_path / "selected-0009.safetensors").write_bytes(b"of an epoch that will be repeated")
    trained(make_spec(register()), tmp_path)
    assert not list(tmp_path.glob(".tmp-*"))
    assert not (tmp_path / "selected-0009.safetensors").exists()


def test_selection_among_equals_takes_the_earlier() -> None:
    assert selected_epoch([make_log(1, 0.3), make_log(2, 0.4), make_log(3, 0.4)]) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, register, value: float) -> None:
    name = register(lambda loss, epoch: loss * value if epoch == 3 else loss)
    trainer = trained(make_spec(name, epochs=5), tmp_path)

    assert trainer.progress.failure == "the loss is not finite in epoch 3"
    assert [(a.kind, a.epoch) for a in trainer.progress.alarms] == [("non-finite-loss", 3)]
    assert trainer.progress.epoch == 2
    assert trainer.progress.cost.backward_images == 3 * 90  # the epoch that came to nothing too
    good = trainer.progress.checkpoints["selected"]
    model = load_checkpoint(tmp_path / good.file, good.sha256)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


class Killed(Exception):
    pass


def stop_after(epoch: int):
    def stop(log: EpochLog) -> None:
        if log.epoch == epoch:
            raise Killed

    return stop


#: Weights perturbed after two epochs without, and a momentum that follows the epoch.
PERTURBED: dict[str, Any] = {
    **{"awp_gamma": 0.01, "awp_warmup": 2, "gradient_clip": 2.0, "true_class_mass": 0.7},
    **{"schedule": "onecycle", "schedule_step": "epoch", "cycle_momentum": True},
}


@pytest.mark.parametrize(
    ("method", "recipe"),
    [
        ("regmix", {"schedule": "onecycle", "ema_decay": 0.9, "nesterov": True}),
        ("fgsm-pgk", {"schedule": "multistep", "augmentation": "crop"}),
        ("fgsm-pgi[reset=2]", {"batches": "equal", "batch_size": 40}),
        ("fgsm-rs", {"optimizer": "adamw", "lr": 0.01, "schedule": "onecycle"}),
        ("liet", PERTURBED | {"ema_decay": 0.9, "ema_start": 3}),
        ("ikl-at", PERTURBED | {"ema_decay": 0.5, "ema_buffers": "live"}),
    ],
)
def test_a_resumed_training_repeats_the_undisturbed_one(tmp_path, method, recipe) -> None:
    spec = make_spec(method, epochs=4, **recipe)
    undisturbed = trained(spec, tmp_path / "whole")
    for epoch in (1, 3):
        with pytest.raises(Killed):
            make_trainer(spec, tmp_path / "parts").run(stop_after(epoch))
    resumed = make_trainer(spec, tmp_path / "parts")
    assert resumed.progress.epoch == 3
    resumed.run()
    assert numbers(resumed) == numbers(undisturbed)
    cost, expected = resumed.progress.cost, undisturbed.progress.cost
    assert cost.forward_images == expected.forward_images > 0
    assert cost.backward_images == expected.backward_images > 0


def ended_at(trainer: Trainer, step: int) -> None:
    """Let SIGTERM come in the midst of a step of the training, counted from 1."""
    steps, update = itertools.count(1), trainer.method.after_update

    def after_update(model: nn.Module) -> None:
        if next(steps) == step:
            raise Termination
        update(model)

    trainer.method.after_update = after_update  # type: ignore[method-assign]


RECIPES: list[tuple[str, dict[str, Any]]] = [
    ("regmix", {"ema_decay": 0.9, "nesterov": True, "schedule": "onecycle"}),
    ("fgsm-pgk", {"augmentation": "crop", "gradient_clip": 0.5}),
    ("trades", PERTURBED | {"ema_decay": 0.9, "ema_start": 3}),
    ("fgsm-pgi", {"precision": "bf16", "gradient_clip": 0.5}),
    ("fgsm-rs", {"optimizer": "adamw", "lr": 0.01, "ema_decay": 0.5}),
]


@pytest.mark.parametrize(("method", "recipe"), RECIPES)
def test_sigterm_costs_the_epoch_that_is_being_trained(
    tmp_path: Path, method: str, recipe: dict[str, Any]
) -> None:
    spec = make_spec(method, epochs=4, **recipe)
    undisturbed = trained(spec, tmp_path / "whole")
    done = 0
    for step in (1, 2, 3, 4, 1):  # of two an epoch
        trainer = make_trainer(spec, tmp_path / "parts")
        assert trainer.progress.epoch == done
        writing_all(trainer)  # but nothing before the end
        ended_at(trainer, step)
        with pytest.raises(Termination):
            trainer.run()
        done += (step - 1) // 2
    resumed = make_trainer(spec, tmp_path / "parts")
    resumed.run()
    assert numbers(resumed) == numbers(undisturbed)


@pytest.mark.parametrize(("method", "recipe"), RECIPES[:3])
def test_sigkill_costs_the_epochs_since_the_last_state(
    tmp_path: Path, method: str, recipe: dict[str, Any]
) -> None:
    """Of the folder as a kill would leave it after each epoch, where two states were written."""
    spec = make_spec(method, epochs=4, **recipe)
    trainer = make_trainer(spec, tmp_path / "whole")

    def leave(log: EpochLog) -> None:
        shutil.copytree(tmp_path / "whole", tmp_path / f"killed-{log.epoch}")

    write = writing_all(trainer, leave)
    trainer.run(lambda log: (write if log.epoch in (1, 3) else leave)(log))
    for killed, state in ((1, 1), (2, 1), (3, 3), (4, 3)):
        folder = tmp_path / f"killed-{killed}"
        resumed = make_trainer(spec, folder)
        assert resumed.progress.epoch == state
        seen: list[list[EpochLog]] = []

        def look(log: EpochLog, folder=folder, seen=seen) -> None:
            lines = (folder / "train.jsonl").read_text().splitlines()
            seen.append([EpochLog.model_validate_json(line) for line in lines])

        look(resumed.progress.history[-1])
        assert len(seen.pop()) == killed  # ahead of the state
        resumed.run(look)
        assert [len(logs) for logs in seen] == list(range(state + 1, 5))
        assert seen[-1] == resumed.progress.history
        assert numbers(resumed) == numbers(trainer)


def test_the_log_is_that_of_the_state_before_the_first_epoch(tmp_path: Path, register) -> None:
    spec = make_spec(register(), epochs=3)
    begun = make_trainer(spec, tmp_path)
    with pytest.raises(Killed):
        begun.run(writing_all(begun, stop_after(2)))
    (newest,) = tmp_path.glob("state-0002-*")
    newest.unlink()
    trainer = make_trainer(spec, tmp_path)
    ended_at(trainer, 1)
    with pytest.raises(Termination):
        trainer.run()
    assert len((tmp_path / "train.jsonl").read_text().splitlines()) == 1


def test_a_disk_that_is_full_ends_the_training_with_one_error(
    tmp_path: Path, register, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def save(states: States, epoch: int, *rest: Any) -> None:
        tries.append(epoch)
        raise CannotWrite("no room")

    monkeypatch.setattr(States, "save", save)
    lines: list[str] = []
    trainer = make_trainer(make_spec(register(), epochs=100), tmp_path / "beside", lines.append)
    with pytest.raises(CannotWrite, match="no room"):
        trainer.run()
    assert (len(tries), lines) == (1, [])
    assert trainer.progress.epoch < 100


def test_a_disk_that_is_full_does_not_hide_sigterm(
    tmp_path: Path, register, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    trainer = make_trainer(make_spec(register(), epochs=3), tmp_path, lines.append)
    writing_all(trainer)
    ended_at(trainer, 4)
    monkeypatch.setattr(States, "save", lambda *given: (_ for _ in ()).throw(CannotWrite("full")))
    with pytest.raises(Termination):
        trainer.run()
    assert lines == ["the newest state is lost: full"]


def test_an_interrupt_while_the_last_state_is_written_ends_it(
    tmp_path: Path, register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the second of two does, whatever is half written then."""
    spec = make_spec(register(), epochs=3)
    trainer = make_trainer(spec, tmp_path)
    writing_all(trainer)
    ended_at(trainer, 4)
    real = torch.save

    def interrupted(content: Any, stream: Any) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    monkeypatch.setattr(torch, "save", real)
    assert not list(tmp_path.glob("state-*")) and not list(tmp_path.glob(".tmp-*"))
    assert make_trainer(spec, tmp_path).progress.epoch == 0


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.1), ("adamw", 0.001)])
@pytest.mark.parametrize("before", [False, True])
def test_a_run_resumes_on_a_machine_with_another_layout_and_other_kernels(
    tmp_path: Path, before: bool, optimizer: str, lr: float
) -> None:
    spec = make_spec("fgsm-rs", epochs=3, schedule="onecycle", optimizer=optimizer, lr=lr)
    undisturbed = trained(spec, tmp_path / "whole")
    begun = make_trainer(spec, tmp_path / "parts", execution=Execution(channels_last=before))
    begun.optimizer.param_groups[0]["fused"] = True  # as on CUDA
    with pytest.raises(Killed):
        begun.run(stop_after(1))
    resumed = make_trainer(spec, tmp_path / "parts", execution=Execution(channels_last=not before))
    assert not resumed.optimizer.param_groups[0]["fused"]
    for weight, kept in resumed.optimizer.state.items():
        buffers = [buffer for name, buffer in kept.items() if name != "step"]
        assert buffers and {buffer.stride() for buffer in buffers} == {weight.stride()}
    resumed.run()
    losses = [[log.loss for log in each.progress.history] for each in (resumed, undisturbed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_validation_takes_fewer_images_at_once_where_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(epochs=1)
    undisturbed = trained(spec, tmp_path / "whole")
    trainer = make_trainer(spec, tmp_path / "tight")
    calls, forward = [], trainer.validation.fused.forward

    def tight(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        if len(x) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return forward(x)

    monkeypatch.setattr(trainer.validation.fused, "forward", tight)
    trainer.run()
    assert max(calls) > 4 and calls[-1] <= 4
    assert numbers(trainer) == numbers(undisturbed)


def test_a_method_with_second_derivatives_is_trained_uncompiled(tmp_path: Path, register) -> None:
    spec, said = make_spec(register(), epochs=1), []
    METHODS.registered["changed"].second_derivatives = True
    trainer = make_trainer(spec, tmp_path, said.append, Execution(compile=True, channels_last=True))
    assert trainer.trained.execution == Execution(channels_last=True)
    assert said == ["training is not compiled: torch's compiler cannot derive what it has derived"]


def test_compilation_is_done_with_before_the_clock_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By rehearsing the method's own step, whatever it calls, of which nothing stays."""
    from torch._dynamo.utils import counters

    compiled = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda f, **how: compiled(f, **how | {"backend": "aot_eager"})
    )
    spec = make_spec("regmix", epochs=1)
    trainer = make_trainer(spec, tmp_path / "compiled", execution=Execution(compile=True))
    graphs = []
    step = trainer.method.step

    def counted(*arguments: Any) -> StepOutput:
        graphs.append(counters["stats"]["unique_graphs"])
        return step(*arguments)

    monkeypatch.setattr(trainer.method, "step", counted)
    trainer.run()
    assert trainer.progress.cost.compile_seconds > 0
    assert graphs[0] == graphs[-1] > 0
    plain = trained(spec, tmp_path / "plain")
    assert trainer.progress.history[0].loss == pytest.approx(
        plain.progress.history[0].loss, rel=1e-2
    )


@pytest.mark.parametrize(
    ("method", "forward", "backward"),
    [("standard", 1, 0), ("fgsm-rs", 2, 1), ("trades[steps=3]", 6, 3)],
)
def test_an_epoch_records_the_work_of_its_steps(
    tmp_path: Path, method: str, forward: int, backward: int
) -> None:
    """Those of the passes, the convolutions and the linear layer being counted by hand.

    ``backward`` are gradients of images alone; the loss's reach the weights as well.
    """
    spec = make_spec(method, epochs=1)
    trainer = trained(spec, tmp_path)
    (log,) = trainer.progress.history
    cost, size = trainer.progress.cost, trainer.data.train.size
    assert log.work is not None and log.work.images == size
    assert log.work.passes == cost.forward_images + cost.backward_images
    assert cost.forward_images == forward * size
    assert (log.work.peak_memory, log.work.energy) == (None, None)  # of a CPU nobody tells them
    assert log.work.processor_seconds is not None and log.work.processor_seconds > 0
    assert log.work.product is not None and log.work.product.precision == "fp32"
    passes = log.work.flop / size / forward_flop(trainer.model, trainer.data.test.image_shape)
    weights = cost.backward_images / size - backward
    # A backward pass that ends at the first layer's weights spares it the gradient of its input.
    assert passes == pytest.approx(forward + backward + 2 * weights, abs=0.2)


def test_each_epoch_records_the_passes_that_it_took_itself(tmp_path: Path) -> None:
    """Adversarial weight perturbation adds a pass each way to a step, once it is warm."""
    spec = make_spec("fgsm-rs", epochs=3, awp_gamma=0.01, awp_warmup=1)
    trainer = trained(spec, tmp_path)
    works = [log.work for log in trainer.progress.history]
    size = trainer.data.train.size
    assert [work.passes / size for work in works if work is not None] == [4, 6, 6]


def forward_flop(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Those of one image's forward pass, by the shapes of weights and outputs."""
    found = []

    def add(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        found.append(2 * output[0].numel() * layer.weight[0].numel())

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(add) for layer in layers]
    model.eval()(torch.zeros(1, *shape))
    for handle in handles:
        handle.remove()
    return sum(found)


def test_a_resumed_training_keeps_the_work_of_its_epochs(tmp_path: Path) -> None:
    spec = make_spec(epochs=3)
    with pytest.raises(Killed):
        make_trainer(spec, tmp_path).run(stop_after(2))
    resumed = make_trainer(spec, tmp_path)
    before = [log.work for log in resumed.progress.history]
    resumed.run()
    works = [log.work for log in resumed.progress.history]
    assert works[:2] == before and len(works) == 3 and None not in works


def test_the_seed_decides_the_numbers(tmp_path: Path) -> None:
    first, again, other = (
        trained(make_spec(seed=seed), tmp_path / name)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert numbers(first) == numbers(again)
    assert numbers(first)[0] != numbers(other)[0]


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes(
        {"flipped": flipped, "cut": content[:middle], "zeroed": bytes(2 * middle)}[how]
    )


@pytest.mark.parametrize("how", ["flipped", "cut", "zeroed"])
@pytest.mark.parametrize("victim", ["state-0003-*.pt", "selected-0003.safetensors"])
def test_a_damaged_file_costs_an_epoch(tmp_path, register, monkeypatch, how, victim) -> None:
    # The newest epoch is the selected one, so that only its state refers to its weights.
    monkeypatch.setattr(
        training, "chosen_epochs", lambda history, rule: dict.fromkeys(TRAINED, len(history))
    )
    spec = make_spec(register(), epochs=4)
    undisturbed = trained(spec, tmp_path / "whole")
    directory = tmp_path / "parts"
    begun = make_trainer(spec, directory)
    with pytest.raises(Killed):
        begun.run(writing_all(begun, stop_after(3)))
    (damaged,) = directory.glob(victim)
    damage(damaged, how)

    lines: list[str] = []
    resumed = make_trainer(spec, directory, lines.append)
    assert resumed.progress.epoch == 2
    (line,) = lines
    assert damaged.name in line and line.endswith("; going back one state") and "\n" not in line
    resumed.run()
    assert numbers(resumed) == numbers(undisturbed)
    assert len(list(directory.glob("state-*.pt"))) == 2


def test_without_a_whole_state_training_starts_anew(tmp_path, register) -> None:
    spec = make_spec(register(), epochs=3)
    undisturbed = trained(spec, tmp_path / "whole")
    begun = make_trainer(spec, tmp_path / "parts")
    with pytest.raises(Killed):
        begun.run(writing_all(begun, stop_after(2)))
    for path in (tmp_path / "parts").glob("state-*.pt"):
        damage(path, "cut")
    lines: list[str] = []
    resumed = make_trainer(spec, tmp_path / "parts", lines.append)
    assert resumed.progress.epoch == 0
    assert len(lines) == 3 and lines[-1] == "no state is whole: training starts anew"
    resumed.run()
    assert numbers(resumed) == numbers(undisturbed)


@pytest.fixture
def state(tmp_path: Path, register) -> tuple[Path, RunSpec]:
    spec = make_spec(register(), epochs=1)
    trained(spec, tmp_path)
    (path,) = tmp_path.glob("state-*.pt")
    return path, spec


def named_by_digest(folder: Path, content: bytes) -> Path:
    path = folder / f"state-0001-{hashlib.sha256(content).hexdigest()[:16]}.pt"
    path.write_bytes(content)
    return path


def test_an_altered_state_is_refused(state) -> None:
    path, spec = state
    damage(path, "flipped")
    with pytest.raises(UserError, match="altered or cut off"):
        load_state(path, spec.run_id, CPU)


def test_the_state_of_another_run_is_refused(state) -> None:
    path, spec = state
    with pytest.raises(UserError, match=f"belongs to run {spec.run_id}, not to 0123"):
        load_state(path, "0123", CPU)


def rewritten(path: Path, **changes: object) -> None:
    """Let a saved state say other things; what is None goes."""
    content = torch.load(path, weights_only=True) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    path.unlink()
    named_by_digest(path.parent, buffer.getvalue())


def test_a_state_from_before_there_were_versions_is_resumed(state) -> None:
    path, spec = state
    rewritten(path, schema_version=None)
    assert make_trainer(spec, path.parent).progress.epoch == 1


def test_the_state_of_a_newer_version_is_refused_and_stays(state) -> None:
    path, spec = state
    rewritten(path, schema_version=99)
    with pytest.raises(UserError, match=r"state-0001-.*\.pt has schema 99, .*: upgrade") as refused:
        make_trainer(spec, path.parent)
    assert "\n" not in str(refused.value) and len(list(path.parent.glob("state-*.pt"))) == 1


@pytest.mark.parametrize("part", ["model", "optimizer", "scheduler"])
def test_a_state_of_another_form_is_refused_in_one_line(state, part: str) -> None:
    path, spec = state
    rewritten(path, **{part: {"unknown": 1}} if part != "scheduler" else {part: None})
    with pytest.raises(UserError, match=r"another version .*--force trains anew$") as refused:
        make_trainer(spec, path.parent)
    assert "\n" not in str(refused.value)


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("wrap", ["plain", "torch"])
def test_a_state_that_hides_code_is_refused_and_the_code_not_run(tmp_path, wrap: str) -> None:
    target = tmp_path / "owned"
    buffer = io.BytesIO()
    content = {"run_id": "0123", "model": Payload(target)}
    torch.save(content, buffer) if wrap == "torch" else pickle.dump(content, buffer)
    path = named_by_digest(tmp_path, buffer.getvalue())

    with pytest.raises(UserError, match="is not a training state") as refused:
        load_state(path, "0123", CPU)

    assert "\n" not in str(refused.value)
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))  # the payload does work where it is let loose
    assert target.exists()


@pytest.mark.parametrize("content", [b"", b"not a state", json.dumps({}).encode()])
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match="is not a training state"):
        load_state(named_by_digest(tmp_path, content), "0123", CPU)


@pytest.mark.parametrize(("precision", "inside"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_precision_is_that_of_the_layers_and_never_of_the_logits(
    tmp_path: Path, register, precision: str, inside: str
) -> None:
    trainer = make_trainer(make_spec(register(), precision=precision), tmp_path)
    seen = set()
    convolution = next(m for m in trainer.model.modules() if isinstance(m, nn.Conv2d))

    def look(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        if module.training:
            seen.add(str(output.dtype).removeprefix("torch."))

    convolution.register_forward_hook(look)
    trainer.run()
    assert seen == {inside}
    history = trainer.progress.history
    assert history[-1].loss < history[0].loss
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
