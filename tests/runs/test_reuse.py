"""A run that differs from a finished one in scoring alone takes its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regmix_bench.grid.plan import plan
from regmix_bench.records import paths, store
from regmix_bench.records.schema import RunRecord
from regmix_bench.runs import observers, reuse, runner, task
from regmix_bench.specs import RunSpec
from regmix_bench.specs.components import Component
from regmix_bench.types import TRAINED

GRID: dict[str, Any] = {
    "methods": ["standard"],
    "eps": ["128/255"],
    "train_examples": 100,
    "eval_examples": 10,
    "recipe": {"epochs": 2, "schedule": "cosine", "augmentation": "none", "precision": "fp32"},
}
SQUARE = {"scoring": {"autoattack_version": "custom", "attacks": ["square[n_queries=20]"]}}


class Notes(observers.Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.epochs = 0

    def on_note(self, spec: Any, line: str) -> None:
        self.lines.append(line)

    def on_epoch(self, spec: Any, log: Any) -> None:
        self.epochs += 1


def spec_of(**grid: Any) -> RunSpec:
    return plan([GRID | grid])[0]


def trained(spec: RunSpec, results: Path, **options: Any) -> tuple[RunRecord, Notes]:
    notes = Notes()
    record = runner.run_spec(spec, results, device="cpu", observer=notes, **options)
    assert record.status == "success", record.error
    return record, notes


@pytest.fixture(autouse=True)
def clean_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment whose source is that of a commit, whatever is being worked on here."""
    real = task.environment
    monkeypatch.setattr(task, "environment", lambda device: real(device) | {"git_dirty": False})


def test_a_training_is_done_once_for_two_scorings(tmp_path: Path) -> None:
    first, _ = trained(spec_of(), tmp_path)
    second, notes = trained(spec_of(**SQUARE), tmp_path)
    assert notes.epochs == 0
    assert notes.lines[0] == f"trained already as {first.run_id}: its weights are scored"
    anew, alone = trained(spec_of(**SQUARE), tmp_path / "other")
    assert alone.epochs == 2 and second.run_id == anew.run_id != first.run_id
    # Its record says what one that was trained for it says, and whose training it is.
    assert second.evaluations == anew.evaluations and second.checkpoints == anew.checkpoints
    assert second.history == first.history and second.training_cost == first.training_cost
    assert second.n_parameters == anew.n_parameters and second.alarms == anew.alarms
    of_first = first.environment["training"]
    assert second.environment["training"] == {"trained_as": first.run_id, **of_first}
    for name in TRAINED:
        if (file := second.checkpoints.get(name)) is not None:
            assert (paths.artifacts_dir(tmp_path, second.run_id) / file.file).is_file()
    # The weights are its own: without the first run it is scored again as the same training.
    runner.discard(first.spec, tmp_path)
    third, notes = trained(spec_of(eval_eps=["0.25"]), tmp_path)
    assert notes.epochs == 0 and third.environment["training"] == second.environment["training"]


@pytest.mark.parametrize(
    "other", [{"seeds": [1]}, {"methods": ["fgsm-rs"]}, {"train_examples": 90}]
)
def test_another_training_is_done(tmp_path: Path, other: dict[str, Any]) -> None:
    trained(spec_of(), tmp_path)
    _, notes = trained(spec_of(**SQUARE, **other), tmp_path)
    assert notes.epochs == 2 and not any("trained already" in line for line in notes.lines)


def test_what_was_trained_elsewhere_or_is_damaged_is_trained_anew(tmp_path: Path) -> None:
    first, _ = trained(spec_of(), tmp_path)
    path = paths.record_path(tmp_path, first.spec)
    weights = paths.artifacts_dir(tmp_path, first.run_id) / first.checkpoints["last"].file
    whole = weights.read_bytes()

    def anew(why: str, **environment: Any) -> None:
        changed = first.model_copy(update={"environment": first.environment | environment})
        store.save_record(tmp_path, changed)
        second, notes = trained(spec_of(**SQUARE), tmp_path)
        assert notes.epochs == 2 and "trained_as" not in dict(second.environment["training"])
        said = [line for line in notes.lines if line.endswith(": training anew")]
        assert said == [f"{first.run_id} is the same training, but {why}: training anew"]
        runner.discard(second.spec, tmp_path)

    anew(f"torch was 1.0 and is {first.environment['torch']}", torch="1.0")
    moved = {**dict(first.environment["training"]), "channels_last": True}
    anew("channels_last was True and is False", training=moved)
    weights.write_bytes(whole[:-1] + b"?")
    anew(f"checkpoint {weights} is not the recorded one: its SHA-256 differs")
    path.write_text("{")
    assert trained(spec_of(**SQUARE), tmp_path)[1].epochs == 2


def test_a_source_with_changes_trains_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(spec_of(), tmp_path)
    real = task.environment
    monkeypatch.setattr(task, "environment", lambda device: real(device) | {"git_dirty": True})
    _, notes = trained(spec_of(**SQUARE), tmp_path)
    assert notes.epochs == 2 and "changes that are not committed" in notes.lines[0]


def test_once_taken_the_weights_are_the_runs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was cut off in scoring goes on with what it took, in whatever environment."""
    first, _ = trained(spec_of(), tmp_path)
    score = task.score_weights
    monkeypatch.setattr(task, "score_weights", lambda *given, **named: 1 / 0)
    failed = runner.run_spec(spec_of(**SQUARE), tmp_path, device="cpu")
    assert failed.status == "error"
    monkeypatch.setattr(task, "score_weights", score)
    real = task.environment
    monkeypatch.setattr(task, "environment", lambda device: real(device) | {"torch": "9.0"})
    runner.discard(first.spec, tmp_path)
    second, notes = trained(spec_of(**SQUARE), tmp_path)
    assert notes.epochs == 0 and second.checkpoints == first.checkpoints
    folder = paths.artifacts_dir(tmp_path, second.run_id)
    assert len((folder / "train.jsonl").read_text().splitlines()) == len(first.history) == 2
    # What says whose they are is damaged: as nobody knows then, it is trained.
    paths.record_path(tmp_path, second.spec).unlink()
    (folder / reuse.TRAINED_AS).write_text("{")
    assert trained(second.spec, tmp_path)[1].epochs == 2


def test_attacks_of_plug_ins_are_no_part_of_a_training() -> None:
    shake = Component(kind="attack", name="shake", version=1)
    plain, attacked = spec_of(), spec_of().model_copy(update={"components": (shake,)})
    assert plain.training_id == attacked.training_id and plain.run_id != attacked.run_id


def test_force_trains_anew(tmp_path: Path) -> None:
    trained(spec_of(), tmp_path)
    second, notes = trained(spec_of(**SQUARE), tmp_path, force=True)
    assert notes.epochs == 2 and "trained_as" not in second.environment["training"]


def test_a_run_that_began_to_train_goes_on_by_itself(tmp_path: Path) -> None:
    first, _ = trained(spec_of(), tmp_path)
    second, _ = trained(spec_of(**SQUARE), tmp_path / "other")
    artifacts = paths.artifacts_dir(tmp_path, second.run_id)
    paths.artifacts_dir(tmp_path / "other", second.run_id).rename(artifacts)
    _, notes = trained(second.spec, tmp_path)
    assert not any(first.run_id in line for line in notes.lines)
