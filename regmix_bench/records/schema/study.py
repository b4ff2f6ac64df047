"""The record of a study: what was tuned, on what, and every trial of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from regmix_bench.records.migrations import STUDY
from regmix_bench.records.schema.quantities import Count, Number, Seconds, Share
from regmix_bench.records.schema.tuned import Equal, TrialObjective, Tuned
from regmix_bench.specs import RunSpec
from regmix_bench.types import Frozen, Search

#: How a trial stands: one that is running may also have been cut off.
TrialState = Literal["running", "complete", "pruned", "failed"]


class Budget(Frozen):
    """The budget of every method: so many trainings, images through the network, or seconds."""

    equal: Equal
    amount: Annotated[float, Field(gt=0, le=1e15)]


class TrialLog(Frozen):
    """One trial: the values it was trained with, by the keys of ``--set``, and what came of it.

    ``value`` is its robust accuracy on held-out images, 0 to 1; ``passes`` are those of training
    steps, also of a model that gave pseudo-labels, ``seconds`` all that it took.
    """

    number: Count
    run_id: str | None = None
    state: TrialState
    values: dict[str, int | Number]
    value: Share | None = None
    passes: Count = 0
    seconds: Seconds = 0.0
    epochs: Count = 0
    error: str | None = None


class StudyRecord(Frozen):
    """The tuning of one method, as far as it is.

    ``name`` is the folder of the studies that were given the same; ``spec`` is the run that the
    first trial is, but for its seed, and ``spec.seed`` that of the study; ``data_digest`` is of the
    images that are trained and validated on. ``importance`` shares out the variance of the
    values among what was tuned, where there are trials enough to tell.
    """

    schema_version: int = STUDY.version
    kind: Literal["study"] = "study"
    name: str
    study_id: str
    spec: RunSpec
    data_digest: str
    n_validation: Count
    objective: TrialObjective
    halving: bool = False
    space: dict[str, Search]
    budget: Budget
    trials: tuple[TrialLog, ...] = ()
    finished: bool = False
    importance: dict[str, Share] = {}

    @property
    def label(self) -> str:
        """The method's label, with what was held of its parameters."""
        return self.spec.method.label

    @property
    def complete(self) -> tuple[TrialLog, ...]:
        """The trials that were trained to the end and valued, in their order."""
        return tuple(trial for trial in self.trials if trial.state == "complete")

    @property
    def best(self) -> TrialLog | None:
        """The complete trial of the highest value, the earlier on a tie."""
        return max(self.complete, key=lambda t: (t.value or 0.0, -t.number), default=None)

    @property
    def passes(self) -> int:
        """Images through the network of all trials, those of training steps."""
        return sum(trial.passes for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Seconds of all trials."""
        return sum(trial.seconds for trial in self.trials)

    def tuned(self, training_id: str) -> Tuned | None:
        """Return what the training with the best values says of how they were chosen."""
        if (best := self.best) is None or best.value is None:
            return None
        return Tuned(
            study=f"{self.name}/{self.label}",
            study_id=self.study_id,
            training_id=training_id,
            trial=best.number,
            trials=len(self.trials),
            passes=self.passes,
            seconds=self.seconds,
            equal=self.budget.equal,
            objective=self.objective,
            value=best.value,
            values=best.values,
        )
