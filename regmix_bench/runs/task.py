"""One run while it goes on, in this process or in the group that shares it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from regmix_bench.data import RunData, prepare
from regmix_bench.distributed.collectives import on_first, rank
from regmix_bench.distributed.group import run_group
from regmix_bench.errors import UserError
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.landscape import measure_views
from regmix_bench.evaluation.outputs import outputs_for_plots
from regmix_bench.evaluation.planned import planned_scoring
from regmix_bench.evaluation.scorer import Extras, score_weights
from regmix_bench.methods import METHODS
from regmix_bench.methods.configured import require_code
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.alarms import with_derived
from regmix_bench.records.paths import artifacts_dir, outputs_path, record_path, views_path
from regmix_bench.records.progress import Progress, ProgressMeter
from regmix_bench.records.running import StatusFile
from regmix_bench.records.schema import (
    Alarm,
    Cost,
    EpochLog,
    LabelUse,
    RobustEval,
    RunRecord,
    Tuned,
    UnionScore,
)
from regmix_bench.records.store import write_parquet
from regmix_bench.records.tricks import tricks_of
from regmix_bench.records.views import write_views
from regmix_bench.runs.faults import explained
from regmix_bench.runs.observers import Messenger, Observer, Silent, tell
from regmix_bench.runs.reuse import find_training
from regmix_bench.specs import RunSpec
from regmix_bench.specs.supervision import FULL
from regmix_bench.system.files import CannotWrite
from regmix_bench.system.machine import Execution, arithmetic, environment
from regmix_bench.training.history import TrainingProgress
from regmix_bench.training.pseudo_labels import PseudoLabels
from regmix_bench.training.setup import make_trainer
from regmix_bench.training.states import States
from regmix_bench.types import TRAINED, Checkpoint, TrainedCheckpoint

#: The checkpoints of a training, those together that are the very same weights.
Weights = list[list[TrainedCheckpoint]]


@dataclass(frozen=True)
class Task:
    """A run that is to be done, as every process of it is told."""

    spec: RunSpec
    results: Path
    extras: Extras
    reference: str | None
    tuned: Tuned | None
    execution: Execution
    devices: int
    data_dir: Path | None
    force: bool = False

    @property
    def directory(self) -> Path:
        return artifacts_dir(self.results, self.spec.run_id)


@dataclass
class ActiveRun:
    """One run while it is going on; ``record`` can be asked for at any time."""

    task: Task
    data: RunData
    device: torch.device
    observer: Observer

    def __post_init__(self) -> None:
        self.progress = TrainingProgress([], [], {}, Cost())
        self.evaluations: dict[Checkpoint, list[RobustEval]] = {}
        self.unions: dict[Checkpoint, UnionScore] = {}
        self.scoring_cost = Cost()
        self.n_parameters: int | None = None
        self.views_digest: str | None = None
        self.trained = False
        self.steps: dict[str, Any] = {}  # how those of training were done
        self.attacked: AttackedModel | None = None
        self.pseudo_labels: PseudoLabels | None = None
        self.reused: RunRecord | None = None  # of which the training is, where none was done
        self.meter = ProgressMeter(self._tell)
        self.status = StatusFile(self.task.results, self.task.spec)
        if rank() == 0:
            self.status.write(None)

    def _tell(self, progress: Progress) -> None:
        self.observer.on_progress(self.task.spec, progress)
        if rank() == 0:
            self.status.write(progress)

    def share_out(self) -> RunRecord:
        """Train and score in a group of processes."""
        try:
            work = partial(_take_part, self.task)
            return run_group(
                work, self.task.devices, self.device.type, partial(tell, self.observer)
            )
        except UserError:
            saved = States(self.task.directory, self.task.spec.run_id)
            if (found := saved.load(torch.device("cpu"), lambda line: None)) is not None:
                self.progress = TrainingProgress.restored(*found)
            raise

    def train_and_score(self) -> RunRecord:
        with arithmetic("fp32"):
            if not self._reuse():
                self._train()
            if self.progress.failure:
                return self.record(status="error", error=self.progress.failure)
            self.trained = True
            for alarm in self._alarms():
                words = f"{alarm.kind.replace('-', ' ')}: {alarm.message}"
                self.observer.on_note(self.task.spec, words)
            weights = self._same_weights()
            self._plan_scoring(weights)
            for checkpoints in weights:
                self._score(checkpoints)
            return self.record(status="success")

    def _alarms(self) -> tuple[Alarm, ...]:
        progress = self.progress
        return with_derived(progress.alarms, progress.history, len(self.data.validation[1]))

    def _reuse(self) -> bool:
        """Take the training of a finished run, if one differs from this in scoring alone."""
        task, say = self.task, partial(self.observer.on_note, self.task.spec)
        if task.force or any(task.directory.glob("state-*.pt")):  # it has begun to train itself
            return False
        digest = self.data.test.digest
        here = {**self._environment(), "training": dataclasses.asdict(task.execution)}
        found = on_first(partial(find_training, task.spec, task.results, here, digest, say))
        if found is not None:
            self.reused, self.n_parameters = found, found.n_parameters
            self.progress = TrainingProgress.finished(found)
            self.steps = {"trained_as": found.run_id, **found.environment.get("training", {})}
        return found is not None

    def _train(self) -> None:
        task, spec, data = self.task, self.task.spec, self.data
        say = partial(self.observer.on_note, spec)
        trainer = make_trainer(
            spec, data, task.directory, self.device, task.execution, say, self._tell
        )
        self.n_parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
        self.pseudo_labels = trainer.pseudo_labels
        self.progress = trainer.progress
        expected = _expected_weights(spec, trainer.averages)

        def on_epoch(log: EpochLog) -> None:
            self._plan_scoring(expected)
            self.observer.on_epoch(spec, log)

        self._plan_scoring(expected)
        trainer.run(on_epoch, self.meter)
        norms = {"kernel_norms": trainer.trained.kernel_norms}  # that own kernels computed
        execution = dataclasses.asdict(trainer.trained.execution)
        self.steps = {**execution, **trainer.steps.described(), **norms}

    def _plan_scoring(self, weights: Weights) -> None:
        """Tell the meter what scoring will take, by the accuracies of the newest epoch."""
        spec, test, history = self.task.spec, self.data.test, self.progress.history
        of_epoch: dict[str, float] = {}
        if history:
            of_epoch = {"clean": history[-1].val_clean_acc, "robust": history[-1].val_pgd_acc}
        asked: list[dict[Checkpoint, bool]] = [
            {name: spec.attacks(name) for name in same} for same in weights
        ]
        size, classes = len(test.y), test.num_classes
        diagnosed = self.task.extras.diagnose
        self.meter.plan(
            planned_scoring(spec, asked, size, classes, diagnosed=diagnosed, **of_epoch)
        )

    def _same_weights(self) -> Weights:
        """Return the checkpoints, those together that are the very same weights."""
        found: dict[str, list[TrainedCheckpoint]] = {}
        for checkpoint in TRAINED:
            if (file := self.progress.checkpoints.get(checkpoint)) is not None:
                found.setdefault(file.sha256, []).append(checkpoint)
        return list(found.values())

    def _score(self, checkpoints: Sequence[TrainedCheckpoint]) -> None:
        task, spec, file = self.task, self.task.spec, self.progress.checkpoints[checkpoints[0]]
        model = load_checkpoint(task.directory / file.file, file.sha256).to(self.device)
        scored = score_weights(
            self._attacked(model),
            file.sha256,
            self.data.test,
            spec,
            {checkpoint: spec.attacks(checkpoint) for checkpoint in checkpoints},
            task.results,
            extras=task.extras,
            on_attack=partial(self.observer.on_attack, spec),
            meter=self.meter,
        )
        self.evaluations |= scored.of
        self.unions |= scored.unions
        self.scoring_cost += scored.cost
        if "selected" in checkpoints:
            self.views_digest = on_first(partial(self._look, model))

    def _attacked(self, model: ImageClassifier) -> AttackedModel:
        """Return what attacks on a checkpoint run on; they share what was recorded and compiled."""
        images = self.data.test.x
        if self.attacked is None or not self.attacked.refresh(model, images):
            spec, say = self.task.spec, partial(self.observer.on_note, self.task.spec)
            self.attacked = AttackedModel.of(model, images, spec.scoring, self.task.execution, say)
        return self.attacked

    def _look(self, model: ImageClassifier) -> str:
        """Write what plots show of a model; returns the digest of its views."""
        spec, test = self.task.spec, self.data.test
        chunks = Chunks(spec.scoring.forward_batch_size)
        path, threat = record_path(self.task.results, spec), spec.eval_threats[0]
        outputs = outputs_for_plots(model, test, spec.train_threat, spec.scoring, chunks)
        write_parquet(outputs_path(path), outputs)
        looked_at = ChunkedModel(model, chunks)
        views = chunks.fit(lambda: measure_views(looked_at, test, threat, spec.scoring))
        return write_views(views_path(path), views)

    def record(self, status: Literal["success", "error"], error: str | None = None) -> RunRecord:
        task, progress, data = self.task, self.progress, self.data
        selected = progress.checkpoints.get("selected")
        return RunRecord(
            run_id=task.spec.run_id,
            status=status,
            spec=task.spec,
            data_digest=data.test.digest,
            n_train=data.train.size,
            n_validation=len(data.validation[1]),
            n_test=len(data.test.y),
            num_classes=data.num_classes,
            n_parameters=self.n_parameters,
            selected_epoch=selected.epoch if selected else None,
            history=tuple(progress.history),
            alarms=self._alarms(),
            evaluations=tuple(e for name in TRAINED for e in self.evaluations.get(name, ())),
            unions=tuple(self.unions[name] for name in TRAINED if name in self.unions),
            training_cost=progress.cost,
            scoring_cost=self.scoring_cost,
            checkpoints=progress.checkpoints,
            views_digest=self.views_digest,
            environment={
                **self._environment(),
                "training": {**dataclasses.asdict(task.execution), **self.steps},
            },
            reference=task.reference,
            tuned=task.tuned,
            tricks=tricks_of(task.spec),
            labels=self._labels(),
            error=error,
        )

    def _environment(self) -> dict[str, Any]:
        origin = METHODS.origin(self.task.spec.method.name)
        here = environment(self.device)
        return {**here, "devices": self.task.devices, "method_origin": origin}

    def _labels(self) -> LabelUse | None:
        """Return how many labels the training saw, where not all; and how right others are."""
        if self.reused is not None:
            return self.reused.labels
        if self.task.spec.supervision == FULL:
            return None
        train, found = self.data.train, self.pseudo_labels
        return LabelUse(
            labelled=train.labelled,
            unlabelled=train.size - train.labelled,
            pseudo_label_acc=found and found.agreement(self.data.hidden),
            pseudo_label_cost=found and found.cost,
        )


def _take_part(
    task: Task, device: torch.device, send: Callable[[tuple[Any, ...]], None]
) -> RunRecord:
    """Do one process's part of a run that a group shares."""
    require_code(task.spec.method)
    data = prepare(task.spec, device, task.data_dir)
    run = ActiveRun(task, data, device, Messenger(send) if rank() == 0 else Silent())
    try:
        return run.train_and_score()
    except (CannotWrite, PermissionError):
        raise
    except (Exception, SystemExit) as error:  # a stranger's method may raise anything
        raise UserError(explained(error, task.spec, run.trained)) from error


def _expected_weights(spec: RunSpec, averages: bool) -> Weights:
    """Those of a training that goes on, of which one with ``averages`` has raw ones beside."""
    pairs: Weights = [["selected", "last"]]
    if averages:
        pairs.append(["raw-selected", "raw-last"])
    return pairs if spec.recipe.selection == "last" else [[name] for pair in pairs for name in pair]
