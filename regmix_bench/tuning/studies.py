"""A study: the trials of one method, proposed by the tree-structured Parzen estimator.

What a trial is follows from the study's seed, the trial's number and those that ended before it
(Bergstra et al. 2011, as Optuna has it), so that a tuning that was killed goes on as it would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from regmix_bench.errors import UserError
from regmix_bench.records.schema import Budget, RunRecord, StudyRecord, TrialLog
from regmix_bench.records.studies import save_study
from regmix_bench.specs.identity import digest
from regmix_bench.specs.run import slug
from regmix_bench.tuning.budgets import allows, share_spent, trials_left
from regmix_bench.tuning.identity import SHARED, study_identity
from regmix_bench.tuning.journal import StudyJournal
from regmix_bench.tuning.space import Space
from regmix_bench.tuning.trial import Trial, TrialRecord

#: Trials that are drawn before the first that is proposed, the start among them.
_DRAWN = 5
#: Complete trials from which on it is told what matters.
_TELLING = 6

_IDENTITY, _BUDGET = "identity", "budget"


class Study:
    """The study of one method in a journal, that ``blank`` describes; :meth:`open` begins it."""

    id: int

    def __init__(self, journal: StudyJournal, space: Space, blank: StudyRecord) -> None:
        self.journal, self.space = journal, space
        self.identity = study_identity(blank)
        self.blank = blank.model_copy(update={"study_id": digest(self.identity)})
        self.storage = journal.storage

    def require_same(self) -> None:
        """Raise :class:`UserError` where the journal has studies of something else.

        Those of other methods may differ from this one in what is theirs. One that has had more
        than the budget is refused too, as it would be said to have had no more than others.
        """
        folder = self.journal.folder
        with self.journal.alone():
            for found in self.storage.get_all_studies():
                said = found.user_attrs.get(_IDENTITY, self.identity)
                own = found.study_name == self.label
                for what in self.identity if own else SHARED:
                    if said.get(what) != self.identity[what]:
                        raise UserError(
                            f"the study of {found.study_name} in {folder} is of {what}: give"
                            " another --name, or remove that folder"
                        )
                if own and not self._suffices(found.user_attrs.get(_BUDGET)):
                    raise UserError(
                        f"the study of {self.label} in {folder} has had more than it is given now:"
                        " give as much, or another --name"
                    )

    def _suffices(self, before: dict[str, Any] | None) -> bool:
        """Return whether the budget is enough for the trials that there are."""
        budget, found = self.blank.budget, self._found()
        assert found is not None
        logs = [_log(trial) for trial in self.storage.get_all_trials(found, deepcopy=False)]
        if before is not None and budget.equal != "trials":
            given = Budget.model_validate(before)
            # Several processes may have begun together what proved dearer than they could know.
            if given.equal == budget.equal and given.amount <= budget.amount:
                return True
        return all(allows(budget, logs[:number]) for number in range(len(logs)))

    def open(self) -> None:
        """Go on with the study that the journal has, or begin it."""
        with self.journal.alone():
            found = self._found()
            if found is None:
                maximise = optuna.study.StudyDirection.MAXIMIZE
                found = self.storage.create_new_study([maximise], self.label)
            if _IDENTITY not in self.storage.get_study_user_attrs(found):
                self.storage.set_study_user_attr(found, _IDENTITY, self.identity)
            budget = self.blank.budget.model_dump(mode="json")
            if self.storage.get_study_user_attrs(found).get(_BUDGET) != budget:
                self.storage.set_study_user_attr(found, _BUDGET, budget)
            self.id = found

    def _found(self) -> int | None:
        try:
            return self.storage.get_study_id_from_name(self.label)
        except KeyError:
            return None

    @property
    def label(self) -> str:
        """The method's label, which is the name of its study in the journal."""
        return self.blank.label

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The ranges as Optuna has them."""
        return {
            key: IntDistribution(round(found.low), round(found.high), log=found.log)
            if found.whole
            else FloatDistribution(found.low, found.high, log=found.log)
            for key, found in self.blank.space.items()
        }

    def claim(self) -> Trial | None:
        """Return a trial for this process to train, or None where there is none left to begin.

        One that a process left behind comes first, with the values that it has.
        """
        with self.journal.alone():
            trials = self.storage.get_all_trials(self.id, deepcopy=False)
            for trial in trials:
                if trial.state == TrialState.RUNNING and self.journal.hold(self._hold(trial)):
                    return self._cell(trial, trials)
            while allows(self.blank.budget, [_log(trial) for trial in trials]):
                begun = self._begin(self._proposed(trials), len(trials))
                trials = self.storage.get_all_trials(self.id, deepcopy=False)
                if begun:
                    self.journal.hold(self._hold(trials[-1]))
                    return self._cell(trials[-1], trials)
            return None

    def _begin(self, values: dict[str, float], number: int) -> bool:
        """Write a trial down; returns whether it can be trained, which counts all the same."""
        said, state = {}, TrialState.RUNNING
        try:
            said["run_id"] = self.space.run(values, self._seed(number, "training")).run_id
        except UserError as error:  # values that the method refuses together
            if not number:
                raise
            said, state = {"error": str(error)}, TrialState.FAIL
        trial = optuna.trial.create_trial(
            state=state, params=values, distributions=self.distributions, user_attrs=said
        )
        self.storage.create_new_trial(self.id, trial)
        return state == TrialState.RUNNING

    def tell(self, number: int, record: RunRecord | None, error: str | None) -> TrialLog:
        """Write down how a trial has ended, and give it back; ``error`` is why one has failed."""
        with self.journal.alone():
            trial = self.storage.get_trial_id_from_study_id_trial_number(self.id, number)
            value, state = None, TrialState.FAIL
            if isinstance(record, TrialRecord):
                for log in record.history:
                    self.storage.set_trial_intermediate_value(trial, log.epoch, log.val_pgd_acc)
                effort = {
                    "passes": record.training_cost.passes,
                    "seconds": round(record.seconds, 3),
                    "epochs": len(record.history),
                }
                for key, spent in effort.items():
                    self.storage.set_trial_user_attr(trial, key, spent)
                if error is None:
                    state = TrialState.PRUNED if record.pruned else TrialState.COMPLETE
                    value = record.value
            if error is not None:
                self.storage.set_trial_user_attr(trial, "error", error)
            # Last: until then it is one that was left behind.
            self.storage.set_trial_state_values(trial, state, None if value is None else [value])
            found = self.storage.get_trial(trial)
            self.journal.release(self._hold(found))
            return _log(found)

    def leave(self, number: int) -> None:
        """Give a trial back as it is, to be gone on with."""
        with self.journal.alone():
            trial = self.storage.get_trial_id_from_study_id_trial_number(self.id, number)
            self.journal.release(self._hold(self.storage.get_trial(trial)))

    def record(self) -> StudyRecord:
        """Return the study as far as it is."""
        logs = self._logs()
        running = any(log.state == "running" for log in logs)
        finished = not running and not allows(self.blank.budget, logs)
        update = {
            "trials": logs,
            "finished": finished,
            "importance": self._importance() if finished else {},
        }
        return self.blank.model_copy(update=update)

    def save(self) -> StudyRecord:
        """Write the record of the study, and return it.

        No other process is let in between, whose newer record this one would replace.
        """
        with self.journal.alone():
            record = self.record()
            save_study(self.journal.folder, record)
        return record

    @property
    def share_spent(self) -> float:
        """The part of the budget that is spent or being spent, from 0 on."""
        return share_spent(self.blank.budget, self._logs())

    @property
    def trials_left(self) -> int | None:
        """The trials that have still to end; None where nobody can know yet."""
        return trials_left(self.blank.budget, self._logs())

    def _logs(self) -> tuple[TrialLog, ...]:
        with self.journal.alone():
            return tuple(map(_log, self.storage.get_all_trials(self.id, deepcopy=False)))

    def _proposed(self, trials: Sequence[FrozenTrial]) -> dict[str, float]:
        """Return the values of the next trial, each rounded to what its range has."""
        number = len(trials)
        if not number:
            return dict(self.space.start)
        sampler = optuna.samplers.TPESampler(
            seed=self._seed(number, "sampler"), n_startup_trials=_DRAWN
        )
        mirror = optuna.create_study(direction="maximize", sampler=sampler)
        mirror.add_trials([trial for trial in trials if trial.state.is_finished()])
        drawn = mirror.ask(self.distributions).params
        return {key: found.fitted(drawn[key]) for key, found in self.blank.space.items()}

    def _cell(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> Trial:
        rivals = [
            tuple(value for _, value in sorted(other.intermediate_values.items()))
            for other in trials
            if other.state in (TrialState.COMPLETE, TrialState.PRUNED)
        ]
        spec = self.space.run(trial.params, self._seed(trial.number, "training"))
        halved = tuple(rivals) if self.blank.halving else None
        return Trial(spec, self.label, number=trial.number, rivals=halved)

    def _hold(self, trial: FrozenTrial) -> str:
        return f"{slug(self.label)}-{trial.number}"

    def _seed(self, number: int, purpose: str) -> int:
        """Return a seed that follows from the study's, the trial's number and the purpose."""
        text = f"{self.blank.spec.seed} {number} {purpose}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1

    def _importance(self) -> dict[str, float]:
        """Return the share that each of several has in the variance of the values, if enough tell.

        It is that of a functional analysis of variance (Hutter et al., ICML 2014).
        """
        study = optuna.load_study(study_name=self.label, storage=self.storage)
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < _TELLING or len({trial.value for trial in complete}) == 1:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
        return {key: min(1.0, float(share)) for key, share in shares.items()}


_STATES = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def _log(trial: FrozenTrial) -> TrialLog:
    attributes = {
        key: trial.user_attrs[key]
        for key in ("run_id", "passes", "seconds", "epochs", "error")
        if key in trial.user_attrs
    }
    complete = trial.state == TrialState.COMPLETE
    return TrialLog.model_validate(
        {
            "number": trial.number,
            "state": _STATES[trial.state],
            "values": trial.params,
            "value": trial.value if complete else None,
            **attributes,
        }
    )
