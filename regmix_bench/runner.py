"""From a specification to a record: train or resume, score, write; and a grid of such runs."""

from __future__ import annotations

import dataclasses
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import torch

from regmix_bench.data import RunData, prepare
from regmix_bench.errors import UserError
from regmix_bench.evaluation.landscape import measure_views
from regmix_bench.evaluation.scoring import outputs_for_plots
from regmix_bench.files import CannotWrite
from regmix_bench.locks import run_lock
from regmix_bench.machine import (
    Device,
    Execution,
    Switch,
    choose_device,
    choose_execution,
    environment,
    exact_float32,
)
from regmix_bench.methods import METHODS, load_method
from regmix_bench.models import build_model
from regmix_bench.models.base import ImageClassifier
from regmix_bench.models.checkpoint import load_checkpoint
from regmix_bench.records import Cost, EpochLog, RobustEval, RunRecord
from regmix_bench.scorer import Extras, keep_traceback, score_checkpoint, tidy
from regmix_bench.store import (
    LOCK,
    artifacts_dir,
    find_record,
    load_run,
    outcomes_path,
    outputs_path,
    record_path,
    save_record,
    views_path,
    write_parquet,
)
from regmix_bench.training import Progress, Trainer
from regmix_bench.types import Checkpoint, RunSpec
from regmix_bench.views import write_views


class Observer(Protocol):
    """Hears how a run goes on; every method may do nothing."""

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        """An epoch has been trained, validated and saved."""

    def on_attack(self, spec: RunSpec, threat: str, attack: str, accuracy: float) -> None:
        """AutoAttack has finished one attack; ``accuracy`` is left."""

    def on_note(self, spec: RunSpec, line: str) -> None:
        """Something was not as it should be, and has been dealt with."""


class Silent:
    """An observer that says nothing."""

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None: ...

    def on_attack(self, spec: RunSpec, threat: str, attack: str, accuracy: float) -> None: ...

    def on_note(self, spec: RunSpec, line: str) -> None: ...


def run(
    spec: RunSpec,
    results: str | Path = "results",
    *,
    data_dir: str | Path | None = None,
    device: Device = "auto",
    download: bool = False,
    force: bool = False,
    observer: Observer | None = None,
    extras: Extras | None = None,
    reference: str | None = None,
    channels_last: Switch = "auto",
    compile: Switch = "auto",
) -> RunRecord:
    """Train, score and record one run; resumes where an earlier try was cut off.

    ``reference`` is the label of the run that a table shall compare this one with;
    ``channels_last`` and ``compile`` are those of :func:`~regmix_bench.machine.choose_execution`.

    A successful record is returned as it is, unless ``force`` discards it with its checkpoints; a
    failed one is tried again. What goes wrong after the data is loaded is recorded with ``status``
    "error" and the traceback kept beside the checkpoints. Raises :class:`UserError` for data, a
    device or a compiler that is not there, and for a results folder that cannot be written,
    :class:`PermissionError` for one that may not be read, and :class:`~regmix_bench.locks.Busy` for
    a run that another process works on.
    """
    results = Path(results)
    observer = observer or Silent()
    target = choose_device(device)
    if not force and (done := _finished(spec, results)):
        return done
    data = prepare(spec, target, Path(data_dir) if data_dir is not None else None, download)
    side = min(data.test.image_shape[1:])
    execution = choose_execution(target, side, channels_last, compile)
    with run_lock(results, spec.run_id, partial(observer.on_note, spec)):
        if force:
            discard(spec, results)
        elif done := _finished(spec, results):  # by another process, meanwhile
            return done
        return execute(
            spec, data, results, target, observer, extras or Extras(), reference, execution
        )


def _finished(spec: RunSpec, results: Path) -> RunRecord | None:
    existing = find_record(results, spec)
    record = load_run(existing) if existing is not None else None
    if record is None or record.status != "success":
        return None
    tidy(results, record)
    return record


def discard(spec: RunSpec, results: Path) -> None:
    """Remove a run's record, the files beside it, and its artifacts."""
    record = find_record(results, spec)
    if record is not None:
        for checkpoint in ("selected", "last"):
            outcomes_path(record, checkpoint).unlink(missing_ok=True)
        outputs_path(record).unlink(missing_ok=True)
        views_path(record).unlink(missing_ok=True)
        record.unlink()
    artifacts = artifacts_dir(results, spec.run_id)
    for path in artifacts.iterdir() if artifacts.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)


def execute(
    spec: RunSpec,
    data: RunData,
    results: Path,
    device: torch.device,
    observer: Observer,
    extras: Extras,
    reference: str | None,
    execution: Execution,
) -> RunRecord:
    """One cell of a grid, from specification to record; what any launcher calls."""
    directory = artifacts_dir(results, spec.run_id)
    run = _Run(spec, data, results, device, observer, extras, reference, execution, directory)
    try:
        with exact_float32():
            record = run.train_and_score()
    except (CannotWrite, PermissionError):
        raise  # of no run's making, and the next would meet it too
    except Exception as error:
        record = run.record(status="error", error=_explained(error, run))
        keep_traceback(directory)
    save_record(results, record)
    if record.status == "success":
        tidy(results, record)  # not before the record is there
    return record


def _explained(error: Exception, run: _Run) -> str:
    """What went wrong, on one line; of memory, with what would need less."""
    if not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error))):
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return " ".join(message.split())
    if not run.trained:
        size = run.spec.recipe.batch_size
        return (
            f"out of memory in training with batches of {size}:"
            f" --set recipe.batch_size={max(1, size // 2)} needs about half"
        )
    size = run.spec.scoring.autoattack_batch_size
    return (
        f"out of memory in scoring with batches of {size}: in a suite, scoring:"
        f" {{autoattack_batch_size: {max(1, size // 2)}}} needs about half"
    )


# As torch says it of CUDA, and of the CPU.
_OUT_OF_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory", re.IGNORECASE)


@dataclass
class _Run:
    """One run while it is going on; ``record`` can be asked for at any time."""

    spec: RunSpec
    data: RunData
    results: Path
    device: torch.device
    observer: Observer
    extras: Extras
    reference: str | None
    execution: Execution
    directory: Path

    def __post_init__(self) -> None:
        self.progress = Progress([], [], {}, Cost())
        self.evaluations: list[RobustEval] = []
        self.scoring_cost = Cost()
        self.n_parameters: int | None = None
        self.views_digest: str | None = None
        self.warm_up_seconds = 0.0
        self.trained = False

    def train_and_score(self) -> RunRecord:
        spec, data = self.spec, self.data
        with torch.random.fork_rng([]):
            torch.manual_seed(spec.seed)
            mean, std = data.train.channel_statistics()
            model = build_model(spec.arch, data.test.image_shape, data.test.num_classes, mean, std)
        model.to(self.device)
        self.n_parameters = sum(parameter.numel() for parameter in model.parameters())
        method = load_method(spec.method.name, **spec.method.params)
        say = partial(self.observer.on_note, spec)
        trainer = Trainer(
            spec, data, model, method, self.directory, self.device, self.execution, say
        )
        self.progress = trainer.progress
        trainer.run(lambda log: self.observer.on_epoch(spec, log))
        self.warm_up_seconds = trainer.warm_up_seconds
        if self.progress.failure:
            return self.record(status="error", error=self.progress.failure)
        self.trained = True
        for checkpoint in ("selected", "last"):
            self._score(checkpoint)
        return self.record(status="success")

    def _score(self, checkpoint: Checkpoint) -> None:
        spec, file = self.spec, self.progress.checkpoints[checkpoint]
        model = load_checkpoint(self.directory / file.file, file.sha256).to(self.device)
        evaluations, cost = score_checkpoint(
            model,
            file.sha256,
            self.data.test,
            spec,
            checkpoint,
            self.results,
            with_autoattack=spec.evaluate in (checkpoint, "both"),
            extras=self.extras,
            on_attack=partial(self.observer.on_attack, spec),
        )
        self.evaluations += evaluations
        self.scoring_cost += cost
        if checkpoint == "selected":
            path = record_path(self.results, spec)
            outputs = outputs_for_plots(model, self.data.test, spec.train_threat, spec.scoring)
            write_parquet(outputs_path(path), outputs)
            views = measure_views(model, self.data.test, spec.eval_threats[0], spec.scoring)
            self.views_digest = write_views(views_path(path), views)

    def record(self, status: Literal["success", "error"], error: str | None = None) -> RunRecord:
        progress, data = self.progress, self.data
        selected = progress.checkpoints.get("selected")
        return RunRecord(
            run_id=self.spec.run_id,
            status=status,
            spec=self.spec,
            data_digest=data.test.digest,
            n_train=data.train.size,
            n_validation=len(data.validation[1]),
            n_test=len(data.test.y),
            num_classes=data.test.num_classes,
            n_parameters=self.n_parameters,
            selected_epoch=selected.epoch if selected else None,
            history=tuple(progress.history),
            alarms=tuple(progress.alarms),
            evaluations=tuple(self.evaluations),
            training_cost=progress.cost,
            scoring_cost=self.scoring_cost,
            checkpoints=progress.checkpoints,
            views_digest=self.views_digest,
            environment={
                **environment(self.device),
                "training": {
                    **dataclasses.asdict(self.execution),
                    "warm_up_seconds": self.warm_up_seconds,
                },
                "method_origin": METHODS.origin(self.spec.method.name),
            },
            reference=self.reference,
            error=error,
        )


def load_model(
    record: RunRecord | str | Path, results: str | Path | None = None
) -> ImageClassifier:
    """The selected checkpoint of a run, in evaluation mode on the CPU, for images in [0, 1].

    ``record`` is a record's path, or a record together with its ``results`` folder. Raises
    :class:`UserError` where the weights are not on this machine or are not the recorded ones.
    """
    if not isinstance(record, RunRecord):
        path = Path(record)
        record = load_run(path)
        results = path.absolute().parents[2] if results is None else results
    if "selected" not in record.checkpoints:
        raise UserError(f"run {record.run_id} has no selected checkpoint: {record.error}")
    file = record.checkpoints["selected"]
    directory = artifacts_dir(Path("results" if results is None else results), record.run_id)
    return load_checkpoint(directory / file.file, file.sha256)
