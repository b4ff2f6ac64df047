"""From a specification to a record: train or resume, score, write."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import torch

from regmix_bench.attacks.ensembles import require_defined
from regmix_bench.data import RunData, prepare
from regmix_bench.distributed.group import LostProcess
from regmix_bench.errors import UserError
from regmix_bench.evaluation.scorer import Extras, keep_traceback, tidy
from regmix_bench.methods import METHODS
from regmix_bench.methods.configured import mass_of_labels, require_code, require_labels
from regmix_bench.records.locks import run_lock
from regmix_bench.records.paths import (
    LOCK,
    artifacts_dir,
    find_record,
    outcomes_path,
    outputs_path,
    views_path,
)
from regmix_bench.records.schema import RunRecord, Tuned
from regmix_bench.records.store import load_run, save_record
from regmix_bench.runs.faults import explained
from regmix_bench.runs.observers import Observer, Silent
from regmix_bench.runs.task import ActiveRun, Task
from regmix_bench.specs import RunSpec
from regmix_bench.system.files import CannotWrite
from regmix_bench.system.machine import (
    Device,
    Switch,
    check_devices,
    choose_device,
    choose_execution,
    require_precision,
)
from regmix_bench.system.signals import no_signal_lost
from regmix_bench.types import TRAINED


def run_spec(
    spec: RunSpec,
    results: str | Path = "results",
    *,
    data_dir: str | Path | None = None,
    device: Device = "auto",
    download: bool = False,
    force: bool = False,
    observer: Observer | None = None,
    save_adversarial: bool = False,
    diagnose: bool = False,
    reference: str | None = None,
    tuned: Tuned | None = None,
    channels_last: Switch = "auto",
    compile: Switch = "auto",
    sync_bn: Switch = "auto",
    devices: int = 1,
    graphs: Switch = "auto",
) -> RunRecord:
    """Train, score and record one run; resumes where an earlier try was cut off.

    The weights of a finished run below ``results`` that differs from it in scoring alone are scored
    again and not trained again, where :func:`~regmix_bench.runs.reuse.find_training` finds them.

    ``reference`` is the label of the run that a table shall compare this one with, and ``tuned``
    how its values were chosen, where a study did;
    ``channels_last``, ``compile``, ``sync_bn`` and ``graphs`` are those of
    :func:`~regmix_bench.system.machine.choose_execution`.

    On several ``devices`` (on a CPU: processes, each with its share of the threads) the recipe's
    batch is divided among them and its learning rate stays: the run is the same run, with the same
    ``run_id``, and resumes on any number of them. A process needs the program's main module to be
    importable, as :mod:`multiprocessing` does.

    A successful record is returned as it is, unless ``force`` discards it with its checkpoints; a
    failed one is tried again, and so are the attacks that failed in one. What goes wrong after the
    data is loaded is recorded with ``status`` "error" and the traceback kept beside the
    checkpoints. Raises :class:`UserError` for data, a device or a compiler that is not there, for
    graphs without CUDA, for an attack that is not defined on the data, for smoothed labels in
    which the true class has less than the others, and for a results folder that cannot be written,
    :class:`PermissionError` for one that may not be read, and
    :class:`~regmix_bench.records.locks.Busy` for a run that another process works on. Raises
    :class:`~regmix_bench.distributed.group.LostProcess` where one of several processes died;
    the run resumes.
    """
    results = Path(results)
    observer = observer or Silent()
    target = choose_device(device)
    require_code(spec.method)
    check_devices(target, devices)
    require_precisions(spec, target)
    require_labels(spec)
    if not force and (done := _finished(spec, results)):
        return done
    folder = Path(data_dir) if data_dir is not None else None
    # In a group every process puts it on its own device.
    data = prepare(spec, target if devices == 1 else torch.device("cpu"), folder, download)
    attacked = data.test.attacked_data
    require_defined(spec.scoring, spec.eval_threats, attacked, spec.other_threats)
    mass_of_labels(METHODS[spec.method.name], spec.recipe, data.test.num_classes)
    if (smallest := min(data.train.batch_sizes)) < devices:
        raise UserError(
            f"devices {devices}: a batch of {smallest} images does not go round;"
            f" use 1 to {smallest}, or a larger recipe.batch_size"
        )
    side = min(data.test.image_shape[1:])
    execution = choose_execution(target, side, channels_last, compile, sync_bn, devices, graphs)
    with run_lock(results, spec.run_id, partial(observer.on_note, spec)):
        if force:
            discard(spec, results)
        elif done := _finished(spec, results):  # by another process, meanwhile
            return done
        extras = Extras(save_adversarial, diagnose)
        task = Task(spec, results, extras, reference, tuned, execution, devices, folder, force)
        return execute(task, data, target, observer)


def require_precisions(spec: RunSpec, device: torch.device) -> None:
    """Raise :class:`UserError` where ``device`` lacks one that ``spec`` names."""
    recipe, scoring = spec.recipe, spec.scoring
    require_precision(device, recipe.validation_precision, "recipe.validation_precision")
    require_precision(device, scoring.search_precision, "scoring.search_precision")


def _finished(spec: RunSpec, results: Path) -> RunRecord | None:
    existing = find_record(results, spec)
    record = load_run(existing) if existing is not None else None
    if record is None or record.status != "success" or record.has_failed_attacks:
        return None
    tidy(results, record)
    return record


def discard(spec: RunSpec, results: Path) -> None:
    """Remove a run's record, the files beside it, and its artifacts."""
    record = find_record(results, spec)
    if record is not None:
        for checkpoint in TRAINED:
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


def execute(task: Task, data: RunData, device: torch.device, observer: Observer) -> RunRecord:
    """Train, score and record one cell of a grid; every launcher ends up here."""
    run = ActiveRun(task, data, device, observer)
    try:
        with no_signal_lost():
            record = run.share_out() if task.devices > 1 else run.train_and_score()
    except (CannotWrite, PermissionError, LostProcess, BrokenPipeError):
        raise  # of no run's making: the next would meet it too, or this one goes on
    except (Exception, SystemExit) as error:  # a stranger's method may raise anything
        record = run.record(status="error", error=explained(error, task.spec, run.trained))
        keep_traceback(task.directory)
    save_record(task.results, record)
    run.status.remove()
    if record.status == "success":
        tidy(task.results, record)  # not before the record is there
    return record
