"""The scores of one checkpoint, and what is to be known of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self, TypeAlias, get_args

from pydantic import Field, model_validator

from regmix_bench.records.schema.quantities import Count, Images, Share
from regmix_bench.specs.scoring import SearchPrecision
from regmix_bench.types import Checkpoint, Frozen, ThreatModel, ThreatUnion

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


class UnionScore(Frozen):
    """Accuracies (0 to 1) of one checkpoint under all of several threats, of two norms or more.

    An image counts where it is right without an attack and under every one of ``threats``, which is
    no more than the least of the accuracies under one, and mostly less. There is a robust accuracy
    where each of the threats has one.
    """

    checkpoint: Checkpoint
    threats: tuple[ThreatModel, ...] = Field(min_length=2)
    n_examples: Images
    clean_acc: Share
    pgd_acc: Share
    autoattack_acc: Share | None = None
    screened_acc: Share | None = None

    @property
    def threat(self) -> ThreatUnion:
        """The threats that an image has to hold under, every one."""
        return ThreatUnion(self.threats)

    @property
    def robust_acc(self) -> float | None:
        """Whichever of the two robust accuracies was measured, if any: never compare them."""
        return self.autoattack_acc if self.screened_acc is None else self.screened_acc

    def exceeds(self, scores: Iterable[RobustEval]) -> bool:
        """Tell whether an accuracy is larger than that of ``scores`` under one of the threats."""
        names = ("clean_acc", "pgd_acc", "autoattack_acc", "screened_acc")
        ones = [s for s in scores if s.checkpoint == self.checkpoint and s.threat in self.threats]
        return any(
            (mine := getattr(self, name)) is not None
            and (theirs := getattr(one, name)) is not None
            and mine > theirs
            for one in ones
            for name in names
        )


#: The accuracies of one checkpoint, under one threat or under all of several.
Score: TypeAlias = RobustEval | UnionScore


def parts_of(score: Score, evaluations: Iterable[RobustEval]) -> list[RobustEval]:
    """Return the ``evaluations`` of a model that a score is of: itself, or those of a union."""
    if isinstance(score, RobustEval):
        return [score]
    mine = {one.threat: one for one in evaluations if one.checkpoint == score.checkpoint}
    return [mine[threat] for threat in score.threats if threat in mine]
