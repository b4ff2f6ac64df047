"""One trial: a training with the run's own recipe, valued on the images that it held out."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from regmix_bench.attacks import load_attack
from regmix_bench.data import TrainingData, prepare_training
from regmix_bench.errors import UserError, reason
from regmix_bench.grid.plan import PlannedRun
from regmix_bench.models.predictions import BATCH_SIZE, accuracy, correct
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.locks import run_lock
from regmix_bench.records.paths import artifacts_dir
from regmix_bench.records.progress import ProgressMeter
from regmix_bench.records.schema import Cost, EpochLog, RunRecord, TrialObjective
from regmix_bench.records.schema.quantities import Count, Seconds, Share
from regmix_bench.records.selection import chosen_epochs
from regmix_bench.runs.observers import Observer
from regmix_bench.system.files import CannotWrite
from regmix_bench.system.machine import (
    Device,
    Switch,
    arithmetic,
    choose_device,
    choose_execution,
    environment,
)
from regmix_bench.system.signals import no_signal_lost
from regmix_bench.training.history import TrainingProgress
from regmix_bench.training.setup import make_trainer
from regmix_bench.training.trainer import Trainer
from regmix_bench.tuning.halving import Curve, Halving


@dataclass(frozen=True)
class Trial(PlannedRun):
    """A planned run that is trial ``number`` of a study, and nothing is scored of.

    ``rivals`` are the curves of the trials that ended before it, where they are to judge it.
    """

    number: int = 0
    rivals: tuple[Curve, ...] | None = None


class TrialRecord(RunRecord):
    """A training that was not scored, and its value, a robust accuracy on held-out images.

    A trial that was ``pruned`` has none; ``seconds`` are those that it took from its data on.
    """

    number: Count
    value: Share | None = None
    pruned: bool = False
    seconds: Seconds = 0.0


class _Pruned(Exception):
    """The trial is to end here."""


def run_trial(
    trial: Trial,
    results: Path,
    *,
    observer: Observer,
    objective: TrialObjective,
    data_dir: Path | None = None,
    device: Device = "auto",
    graphs: Switch = "auto",
) -> TrialRecord:
    """Train one trial below ``results``, from where an earlier try was cut off, and value it.

    No test image is looked at, what goes wrong is the record's ``error``, and nothing but the
    record is left. Raises :class:`CannotWrite` for a folder that cannot be written,
    :class:`PermissionError` for one that may not be read, and
    :class:`~regmix_bench.records.locks.Busy` for a trial that another process trains.
    """
    spec, started = trial.spec, time.monotonic()
    target = choose_device(device)
    directory = artifacts_dir(results, spec.run_id)
    say = partial(observer.on_note, spec)
    progress, before, taught = TrainingProgress([], [], {}, Cost()), 0.0, Cost()
    value, pruned, error = None, False, None
    with run_lock(results, spec.run_id, say), no_signal_lost(), arithmetic("fp32"):
        try:
            data = prepare_training(spec, target, data_dir)
            execution = choose_execution(target, min(data.image_shape[1:]), graphs=graphs)
            tell = partial(observer.on_progress, spec)
            trainer = make_trainer(spec, data, directory, target, execution, say, tell)
            progress = trainer.progress
            if trainer.pseudo_labels is not None:  # the model that gave them was trained for this
                taught = trainer.pseudo_labels.cost
            before = progress.cost.seconds
            _train(trial, trainer, observer)
            if (error := progress.failure) is None:
                value = _value(objective, progress, data, trial, directory)
        except _Pruned:
            pruned = True
        except (CannotWrite, PermissionError):
            raise
        except (Exception, SystemExit) as raised:  # a stranger's method may raise anything
            error = str(raised) if isinstance(raised, UserError) else reason(raised)
    shutil.rmtree(directory, ignore_errors=True)
    return TrialRecord(
        run_id=spec.run_id,
        status="error" if error else "success",
        spec=spec,
        history=tuple(progress.history),
        alarms=tuple(progress.alarms),
        training_cost=progress.cost + taught,
        environment=environment(target),
        error=error,
        number=trial.number,
        value=value,
        pruned=pruned,
        seconds=before + time.monotonic() - started,
    )


def _train(trial: Trial, trainer: Trainer, observer: Observer) -> None:
    spec, rivals = trial.spec, trial.rivals
    halving = None if rivals is None else Halving(rivals, spec.recipe.epochs)

    def judge(log: EpochLog) -> None:
        if halving is not None and halving.ends(log.epoch, log.val_pgd_acc):
            raise _Pruned

    def on_epoch(log: EpochLog) -> None:
        observer.on_epoch(spec, log)
        judge(log)

    for log in trainer.progress.history:  # of an earlier try
        judge(log)
    trainer.run(on_epoch, ProgressMeter(partial(observer.on_progress, spec)))


def _value(
    objective: TrialObjective,
    progress: TrainingProgress,
    data: TrainingData,
    trial: Trial,
    directory: Path,
) -> float:
    """Return the accuracy of the checkpoint that would be scored, under the objective's attack."""
    spec = trial.spec
    if objective == "pgd-10":
        epoch = chosen_epochs(progress.history, spec.recipe.selection)["selected"]
        return progress.history[epoch - 1].val_pgd_acc
    file, (x, y) = progress.checkpoints["selected"], data.validation
    model = load_checkpoint(directory / file.file, file.sha256).to(x.device)
    for weight in model.parameters():
        weight.requires_grad_(False)
    attack, flags = load_attack(objective), []
    with torch.no_grad():
        for images, labels in zip(x.split(BATCH_SIZE), y.split(BATCH_SIZE), strict=True):
            attacked = attack.perturb(model, images, labels, spec.train_threat, seed=0)
            flags.append(correct(model, attacked, labels) & correct(model, images, labels))
    return accuracy(torch.cat(flags))
