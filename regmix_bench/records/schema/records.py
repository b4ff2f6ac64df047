"""The records: what binds history and scores to the specification that they are of."""

from __future__ import annotations

import statistics
from typing import Literal, Self

from pydantic import Field, model_validator

from regmix_bench.records.migrations import RECORD
from regmix_bench.records.schema.history import Alarm, EpochLog
from regmix_bench.records.schema.quantities import (
    MOST_CLASSES,
    Count,
    Epoch,
    Images,
    Seconds,
    Share,
)
from regmix_bench.records.schema.scores import RobustEval, Score, UnionScore, parts_of
from regmix_bench.records.schema.tuned import Tuned
from regmix_bench.registry import FILE_NAME
from regmix_bench.specs import CorruptionSpec, DataNames, EvalSpec, RunSpec
from regmix_bench.specs.corruptions import CORRUPTIONS, SEVERITIES, Corruption
from regmix_bench.specs.tricks import Tricks
from regmix_bench.system.shown import Shown, Summary
from regmix_bench.types import (
    AnyThreat,
    Checkpoint,
    Frozen,
    JSONValues,
    RefusingModel,
    ThreatModel,
    TrainedCheckpoint,
)


class Cost(Frozen):
    """The cost of one stage: seconds, and images passed through the network each way.

    What was spent once for all on compilation, and on the capture of CUDA graphs, stands apart and
    is not in ``seconds``.
    """

    seconds: Seconds = 0.0
    forward_images: Count = 0
    backward_images: Count = 0
    compile_seconds: Seconds = 0.0
    capture_seconds: Seconds = 0.0

    @property
    def passes(self) -> int:
        """Images passed through the network, both ways together."""
        return self.forward_images + self.backward_images

    @property
    def preparation_seconds(self) -> float:
        """Seconds that compilation and capture took together."""
        return self.compile_seconds + self.capture_seconds

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            seconds=self.seconds + other.seconds,
            forward_images=self.forward_images + other.forward_images,
            backward_images=self.backward_images + other.backward_images,
            compile_seconds=self.compile_seconds + other.compile_seconds,
            capture_seconds=self.capture_seconds + other.capture_seconds,
        )


class CheckpointFile(Frozen):
    """A weights file under the run's artifacts: its epoch, name and SHA-256."""

    epoch: Epoch
    file: str = Field(pattern=FILE_NAME)
    sha256: str


class LabelUse(Frozen):
    """The training images with and without a label, where not all had theirs.

    Those held out for validation are counted by themselves. Of RST, ``pseudo_label_acc`` (0 to 1)
    is the share of hidden labels that pseudo-labels hit, which no training asks, and
    ``pseudo_label_cost`` that of the model that gave them, which is no part of ``training_cost``.
    """

    labelled: Count
    unlabelled: Count
    pseudo_label_acc: Share | None = None
    pseudo_label_cost: Cost | None = None


class _Shown(Shown):
    """A record as a prompt and a notebook show it."""

    def summary(self) -> Summary:
        from regmix_bench.records.words import summarised  # which names what this module defines

        return summarised(self)  # type: ignore[arg-type]


class _Record(_Shown, Frozen, metaclass=RefusingModel):
    """What every record of a scored model holds, so that nothing else is needed to read it.

    ``environment`` holds device, thread count, library versions and the source revision; it is
    recorded and never part of the identity.
    """

    schema_version: int = RECORD.version
    run_id: str
    spec: RunSpec | EvalSpec
    data_digest: str | None = None
    n_test: Images | None = None
    num_classes: int | None = Field(None, ge=1, le=MOST_CLASSES)
    n_parameters: Count | None = None
    evaluations: tuple[RobustEval, ...] = ()
    unions: tuple[UnionScore, ...] = ()
    scoring_cost: Cost = Cost()
    environment: JSONValues = {}

    @model_validator(mode="after")
    def _scores_are_those_asked_for(self) -> Self:
        screen, scores = self.spec.scoring.screen, self.evaluations
        if len({(score.checkpoint, score.threat) for score in scores}) < len(scores):
            raise ValueError("a checkpoint is scored twice under one threat")
        if any((s.autoattack_acc if screen else s.screened_acc) is not None for s in scores):
            raise ValueError(f"a robust accuracy is not one of a scoring with screen = {screen}")
        if self.n_test is not None and any(s.n_examples > self.n_test for s in scores):
            raise ValueError(f"a score is of more than the {self.n_test} test images")
        if any(len(parts_of(union, scores)) < len(union.threats) for union in self.unions):
            raise ValueError("a union is of threats that were not scored")
        if any(union.exceeds(scores) for union in self.unions):
            raise ValueError("more images hold under all threats than under one of them")
        return self

    @property
    def has_failed_attacks(self) -> bool:
        """True where an attack of a score broke off, which is tried again with the record."""
        return any(evaluation.failed_attacks for evaluation in self.evaluations)

    @property
    def scores(self) -> tuple[Score, ...]:
        """All evaluations, and then the unions of their threats."""
        return *self.evaluations, *self.unions

    def evaluation(self, checkpoint: Checkpoint, threat: ThreatModel) -> RobustEval | None:
        """The evaluation of ``checkpoint`` under ``threat``, if there is one."""
        for found in self.evaluations:
            if found.checkpoint == checkpoint and found.threat == threat:
                return found
        return None

    def score(self, checkpoint: Checkpoint, threat: AnyThreat) -> Score | None:
        """The accuracies of ``checkpoint`` under a threat or a union, if there are any."""
        mine = (score for score in self.scores if score.checkpoint == checkpoint)
        return next((score for score in mine if score.threat == threat), None)


class RunRecord(_Record):
    """One training with its scores, finished or failed.

    ``reference`` is the label that the run's suite compares the others with; ``tuned`` says how its
    suite came to its values, where a study chose them; ``tricks`` are those that took effect, which
    older records leave to their specification; ``labels`` says how many were seen, None of all;
    ``n_train`` counts images with and without one; ``selected_epoch`` is that of the checkpoint
    ``selected``; ``views_digest`` the SHA-256 of the file of views, if there is one.
    """

    kind: Literal["run"] = "run"
    status: Literal["success", "error"]
    spec: RunSpec
    reference: str | None = None
    tuned: Tuned | None = None
    tricks: Tricks | None = None
    labels: LabelUse | None = None
    n_train: Count | None = None
    n_validation: Count | None = None
    selected_epoch: Epoch | None = None
    history: tuple[EpochLog, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    training_cost: Cost = Cost()
    checkpoints: dict[TrainedCheckpoint, CheckpointFile] = {}
    views_digest: str | None = None
    error: str | None = None

    @model_validator(mode="after")
    def _history_is_whole(self) -> Self:
        if [log.epoch for log in self.history] != list(range(1, len(self.history) + 1)):
            raise ValueError("the epochs of the history are not 1, 2, 3 and so on")
        kept = {name: file.epoch for name, file in self.checkpoints.items()}
        selected = kept.get("selected", self.selected_epoch)
        if selected != self.selected_epoch:
            raise ValueError(f"epoch {self.selected_epoch} was selected, and {selected} is kept")
        last = len(self.history)
        for name, epoch in {"selected": selected or 0, **kept}.items():
            if self.history and epoch > last:
                raise ValueError(f"the checkpoint {name} is of epoch {epoch} of {last}")
        return self

    @model_validator(mode="after")
    def _labels_are_those_of_the_images(self) -> Self:
        if (found := self.labels) is not None and found.labelled + found.unlabelled != self.n_train:
            raise ValueError(
                f"{found.labelled} images with a label and {found.unlabelled} without are not the"
                f" {self.n_train} that it was trained on"
            )
        return self

    @property
    def visits(self) -> int:
        """The number of images that an epoch visits, one as often as it is visited."""
        first = self.history[0].work if self.history else None
        if self.labels is not None and first is not None:
            return first.images
        return self.spec.recipe.images_per_epoch(self.n_train or 0)

    @property
    def whole_training_cost(self) -> Cost:
        """The cost of the training, and of the model that gave it pseudo-labels, if one did."""
        taught = self.labels.pseudo_label_cost if self.labels is not None else None
        return self.training_cost if taught is None else self.training_cost + taught

    @model_validator(mode="after")
    def _tricks_are_of_the_recipe(self) -> Self:
        if self.tricks is not None and not self.tricks.fits(self.spec.recipe):
            raise ValueError(f"its tricks, {self.tricks}, are not those of its recipe")
        return self


class EvalRecord(_Record):
    """The scores of a model that was not trained for them; its checkpoint is ``given``."""

    kind: Literal["evaluation"] = "evaluation"
    status: Literal["success"] = "success"
    spec: EvalSpec


class TransferSide(Frozen):
    """A run that takes part in a transfer: its row's label, its seed, and its weights."""

    run_id: str = Field(pattern=FILE_NAME)
    label: str
    arch: str
    seed: Count
    sha256: str


class TransferRecord(_Shown, Frozen):
    """Robust accuracies (0 to 1) of targets under images crafted on sources, by one threat.

    ``accuracy[i][j]`` is what the images crafted on ``runs[i]`` leave of ``runs[j]``; on the
    diagonal the attack is white-box. ``clean_acc[j]`` is that without an attack.
    """

    schema_version: int = RECORD.version
    kind: Literal["transfer"] = "transfer"
    status: Literal["success"] = "success"
    run_id: str = Field(pattern=FILE_NAME)
    dataset: str = Field(pattern=FILE_NAME)
    data_names: DataNames | None = None
    data_digest: str
    eval_examples: Count | None
    n_examples: Images
    threat: ThreatModel
    attack: str
    seed: Count
    runs: tuple[TransferSide, ...] = Field(min_length=2)
    clean_acc: tuple[Share, ...]
    accuracy: tuple[tuple[Share, ...], ...]
    outcomes_digest: str | None = None
    environment: JSONValues = {}

    @property
    def dataset_words(self) -> str:
        """Return what a reader calls the data set."""
        return self.data_names.title if self.data_names else self.dataset

    @model_validator(mode="after")
    def _matrix_is_square(self) -> Self:
        n = len(self.runs)
        if len({side.run_id for side in self.runs}) < n:
            raise ValueError("a run takes part twice")
        if [n] * (n + 1) != [len(row) for row in (self.clean_acc, *self.accuracy)]:
            raise ValueError(f"the accuracies are not those of {n} runs on {n} runs")
        return self


class CorruptionRecord(_Shown, Frozen):
    """Accuracies (0 to 1) of a model on test images with common corruptions.

    ``accuracy`` has, by corruption, those at severities 1 to 5; ``clean_acc`` is that without one.
    """

    schema_version: int = RECORD.version
    kind: Literal["corruptions"] = "corruptions"
    status: Literal["success"] = "success"
    run_id: str = Field(pattern=FILE_NAME)
    spec: CorruptionSpec
    data_digest: str
    n_examples: Images
    num_classes: int = Field(ge=1, le=MOST_CLASSES)
    clean_acc: Share
    accuracy: dict[Corruption, tuple[Share, ...]]
    outcomes_digest: str | None = None
    scoring_cost: Cost = Cost()
    environment: JSONValues = {}

    @model_validator(mode="after")
    def _each_at_every_severity(self) -> Self:
        if tuple(self.accuracy) != CORRUPTIONS:
            raise ValueError(f"the accuracies are not those of {len(CORRUPTIONS)} corruptions")
        if any(len(shares) != SEVERITIES for shares in self.accuracy.values()):
            raise ValueError(f"a corruption has not {SEVERITIES} severities")
        return self

    @property
    def mean_accuracy(self) -> float:
        """The mean over all corruptions and severities, the one number of RobustBench's table."""
        return statistics.fmean(share for each in self.accuracy.values() for share in each)


#: What a JSON file below ``results/`` may hold, told apart by its ``kind``.
AnyRecord = RunRecord | EvalRecord | TransferRecord | CorruptionRecord
