"""The schema of records: the history of a training, the scores of a model, and what binds them.

It admits what the rest of the package can hold, and no more: numbers are bounded, lengths agree,
and what is one of several is there once.

Nothing here imports torch, so that listing and reporting start at once.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from regmix_bench.records.migrations import RECORD
from regmix_bench.registry import FILE_NAME
from regmix_bench.specs import EvalSpec, RunSpec
from regmix_bench.specs.scoring import SearchPrecision
from regmix_bench.specs.tricks import Tricks
from regmix_bench.types import (
    LARGEST,
    Checkpoint,
    Frozen,
    JSONValues,
    ThreatModel,
    TrainedCheckpoint,
)

#: An accuracy or a p-value.
Share = Annotated[float, Field(ge=0, le=1)]
#: A learning rate, a loss, or whatever else a method measures.
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
#: Of images that pass through networks, and of parameters.
Count = Annotated[int, Field(ge=0, lt=2**63)]
#: Of images of a split: as many rows has a table of outcomes.
Images = Annotated[int, Field(ge=1, le=10**7)]
#: Of classes, and one more than the largest label.
MOST_CLASSES = 10**5
#: Wall-clock time; three centuries, and no more.
Seconds = Annotated[float, Field(ge=0, le=1e10)]
#: Floating-point operations, a multiplication and an addition being two.
Flop = Annotated[float, Field(ge=0, le=1e30)]
#: Floating-point operations a second; no device does fewer than a thousand.
FlopRate = Annotated[float, Field(ge=1e3, le=1e24)]
Joules = Annotated[float, Field(ge=0, le=1e15)]
Bytes = Annotated[int, Field(ge=0, lt=2**63)]
Epoch = Annotated[int, Field(ge=1, lt=2**31)]

#: What scoring may warn of, as :attr:`RobustEval.checks` names it; most is of AutoAttack.
Check = Literal[
    "randomized-model",
    "softmax-output",
    "zero-gradients",
    "dynamic-model",
    "batch-dependent-model",
    "failed-attack",
    "square-stronger-than-white-box",
    "too-few-classes",
    "other-warning",
]
CHECKS: tuple[Check, ...] = get_args(Check)


#: What the gradient-masking audit asks.
Question = Literal[
    "unbounded", "more-steps", "iterative", "random-direction", "black-box", "transfer"
]


class MatrixProduct(Frozen):
    """A large matrix product on the devices of a training: its precision, and FLOP/s of all."""

    precision: Literal["fp32", "bf16"]
    flop_per_second: FlopRate


class Work(Frozen):
    """The work of an epoch's training steps, counted and measured; rates are derived from it.

    ``images`` are training images, each once a step that it is in, and ``passes`` how often images
    passed through the network, forwards and backwards. ``flop`` are those of
    convolutions and matrix products, in attacks and backward passes too; ``product`` says what the
    devices could do. ``peak_memory`` is the most that tensors took of a device's memory since
    training began, ``energy`` that of the whole devices, whatever else runs on them. None is what
    was not measured: memory and energy on a CPU, energy where the driver does not count it.
    """

    images: Count
    passes: Count | None = None
    flop: Flop | None = None
    product: MatrixProduct | None = None
    peak_memory: Bytes | None = None
    energy: Joules | None = None


class PerturbationLength(Frozen):
    """The lengths |δ|/ε of the perturbations of an epoch's images, in the norm of their threat."""

    mean: Annotated[float, Field(ge=0, le=LARGEST)]
    max: Annotated[float, Field(ge=0, le=LARGEST)]


class EpochLog(Frozen):
    """One epoch: learning rate at its start, means over its batches, accuracies (0 to 1).

    ``val_…`` are of the averaged weights where there is an average; ``raw_val_…`` are of the raw
    ones then, and None otherwise. ``seconds`` are those of the training steps, without compilation,
    capture and validation. ``perturbation`` is None in records that are older than it.
    """

    epoch: Epoch
    lr: Number
    loss: Number
    metrics: dict[str, Number] = {}
    val_clean_acc: Share
    val_fgsm_acc: Share
    val_pgd_acc: Share
    raw_val_clean_acc: Share | None = None
    raw_val_fgsm_acc: Share | None = None
    raw_val_pgd_acc: Share | None = None
    seconds: Seconds
    work: Work | None = None
    perturbation: PerturbationLength | None = None

    @model_validator(mode="after")
    def _raw_or_not(self) -> Self:
        raw = self.raw_val_clean_acc, self.raw_val_fgsm_acc, self.raw_val_pgd_acc
        if len({value is None for value in raw}) > 1:
            raise ValueError("has some accuracies of raw weights, and not all")
        return self


class Alarm(Frozen):
    """Something a reader of the number should know about the training.

    What the kinds mean, and which a history shows, says :mod:`regmix_bench.records.alarms`; older
    programs had another rule.
    """

    kind: Literal[
        "catastrophic-overfitting", "robust-overfitting", "average-behind", "non-finite-loss"
    ]
    epoch: Epoch
    message: str


class Diagnosis(Frozen):
    """One question of the gradient-masking audit, asked of one model under one threat.

    ``stronger`` and ``weaker`` are the accuracies (0 to 1) that two attacks leave on the same
    ``n_examples`` images, the one that ought to be the stronger first; ``p_value`` is that of the
    one-sided exact McNemar test of whether the other breaks more. All are None where the question
    could not be asked, and ``note`` says why.
    """

    name: Question
    stronger: Share | None = None
    weaker: Share | None = None
    n_examples: Images
    p_value: Share | None = None
    note: str = ""

    @model_validator(mode="after")
    def _asked_or_not(self) -> Self:
        if len({value is None for value in (self.stronger, self.weaker, self.p_value)}) > 1:
            raise ValueError("has some of stronger, weaker and p_value, and not all")
        return self

    @property
    def alarm(self) -> bool:
        """True where the gradients are suspected of misleading, at a level of 1 %."""
        return self.p_value is not None and self.p_value < 0.01


class ScoredCopy(Frozen):
    """The execution of the copy that attacks ran on, its batch norm fused."""

    channels_last: bool
    compile: bool
    graphs: bool = False
    precision: SearchPrecision = "fp32"


class RobustEval(Frozen):
    """Accuracies (0 to 1) of one checkpoint under one threat; robust means clean-correct too.

    ``selected`` and ``last`` are averages of weights where there is an average, ``raw-selected``
    and ``raw-last`` the raw weights beside one. ``after_attack`` is the accuracy left after each
    attack of AutoAttack, in the order they ran; it and ``autoattack_acc`` are empty where
    AutoAttack did not run on this checkpoint. ``screened_acc`` stands in the place of
    ``autoattack_acc`` where AutoAttack saw the survivors of PGD alone. ``failed_attacks`` says of
    each attack that broke off why; an ensemble that lacks one has neither of the two.
    ``substitutions`` says which attacks were changed because there are too few classes, ``checks``
    what was warned of, ``diagnoses`` what the gradient-masking audit found, if it was asked for.
    ``logits_dtype`` is the type in which the model itself returned its logits, which attacks and
    verdicts took as float32. ``scored_copy`` is None where attacks ran on the model itself. The
    digests are the SHA-256 of the outcomes file and of the saved adversarial images.
    """

    threat: ThreatModel
    checkpoint: Checkpoint
    n_examples: Images
    clean_acc: Share
    pgd_acc: Share
    autoattack_acc: Share | None = None
    screened_acc: Share | None = None
    after_attack: dict[str, Share] = {}
    failed_attacks: dict[str, str] = {}
    autoattack_version: str | None = None
    autoattack_seed: Count | None = None
    autoattack_batch_size: Count | None = None
    substitutions: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    logits_dtype: str = "float32"
    scored_copy: ScoredCopy | None = None
    outcomes_digest: str | None = None
    adversarial_digest: str | None = None

    @model_validator(mode="after")
    def _one_robust_accuracy(self) -> Self:
        if self.autoattack_acc is not None and self.screened_acc is not None:
            raise ValueError("has an autoattack_acc and a screened_acc: one excludes the other")
        if self.failed_attacks and self.robust_acc is not None:
            raise ValueError("has a robust accuracy, and attacks of it that failed")
        return self

    @property
    def robust_acc(self) -> float | None:
        """Whichever of the two robust accuracies was measured, if any: never compare them."""
        return self.autoattack_acc if self.screened_acc is None else self.screened_acc


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


class _Record(Frozen):
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
        return self

    @property
    def has_failed_attacks(self) -> bool:
        """True where an attack of a score broke off, which is tried again with the record."""
        return any(evaluation.failed_attacks for evaluation in self.evaluations)

    def evaluation(self, checkpoint: Checkpoint, threat: ThreatModel) -> RobustEval | None:
        """The evaluation of ``checkpoint`` under ``threat``, if there is one."""
        for found in self.evaluations:
            if found.checkpoint == checkpoint and found.threat == threat:
                return found
        return None


class RunRecord(_Record):
    """One training with its scores, finished or failed.

    ``reference`` is the label that the run's suite compares the others with; ``tricks`` are those
    that took effect, which older records leave to their specification; ``selected_epoch`` is that
    of the checkpoint ``selected``; ``views_digest`` the SHA-256 of the file of views, if there is
    one.
    """

    kind: Literal["run"] = "run"
    status: Literal["success", "error"]
    spec: RunSpec
    reference: str | None = None
    tricks: Tricks | None = None
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
        if self.history and (self.selected_epoch or 0) > len(self.history):
            raise ValueError(f"epoch {self.selected_epoch} was selected of {len(self.history)}")
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


class TransferRecord(Frozen):
    """Robust accuracies (0 to 1) of targets under images crafted on sources, by one threat.

    ``accuracy[i][j]`` is what the images crafted on ``runs[i]`` leave of ``runs[j]``; on the
    diagonal the attack is white-box. ``clean_acc[j]`` is that without an attack.
    """

    schema_version: int = RECORD.version
    kind: Literal["transfer"] = "transfer"
    status: Literal["success"] = "success"
    run_id: str = Field(pattern=FILE_NAME)
    dataset: str = Field(pattern=FILE_NAME)
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

    @model_validator(mode="after")
    def _matrix_is_square(self) -> Self:
        n = len(self.runs)
        if len({side.run_id for side in self.runs}) < n:
            raise ValueError("a run takes part twice")
        if [n] * (n + 1) != [len(row) for row in (self.clean_acc, *self.accuracy)]:
            raise ValueError(f"the accuracies are not those of {n} runs on {n} runs")
        return self


#: What a JSON file below ``results/`` may hold, told apart by its ``kind``.
AnyRecord = RunRecord | EvalRecord | TransferRecord
