"""The loop of a tuning: studies give trials, a launcher trains them, studies are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from regmix_bench.grid.launchers import Launcher, Placement, Work
from regmix_bench.records.schema import StudyRecord, TrialLog
from regmix_bench.runs.observers import Observer
from regmix_bench.tuning.studies import Study
from regmix_bench.tuning.trial import Trial

#: Hears of each trial that begins or has ended, beside its study as it is then.
Told = Callable[[TrialLog, StudyRecord], None]


def run_studies(
    studies: Sequence[Study],
    launch: Launcher,
    work: Work,
    placement: Placement,
    observer: Observer,
    told: Told,
) -> None:
    """Train trials until no study has one left to begin, that of the least effort first.

    ``observer`` hears of a plan whenever more is known of how many there will be.
    """
    given: dict[str, tuple[Study, int]] = {}

    def trials() -> Iterator[Trial]:
        while (found := _next(studies)) is not None:
            study, trial = found
            given[trial.run_id] = study, trial.number
            record = study.record()
            told(record.trials[trial.number], record)
            yield trial

    ended, begun = 0, -1
    _foretell(studies, ended, observer)
    while begun < len(given):  # a study may give none as long as others of its are trained
        begun = len(given)
        with closing(launch(trials(), work, placement, observer)) as endings:
            for ending in endings:
                study, number = given[ending.spec.run_id]
                if ending.left is not None:
                    study.leave(number)
                    observer.on_end(ending)
                    continue
                log = study.tell(number, ending.record, ending.error)
                ended += 1
                _foretell(studies, ended, observer)
                observer.on_end(ending)
                told(log, study.save())


def _next(studies: Sequence[Study]) -> tuple[Study, Trial] | None:
    for study in sorted(studies, key=lambda study: study.share_spent):
        if (trial := study.claim()) is not None:
            return study, trial
    return None


def _foretell(studies: Sequence[Study], ended: int, observer: Observer) -> None:
    left = [study.trials_left for study in studies]
    known = [number for number in left if number is not None]
    if len(known) == len(left):
        observer.on_plan({}, ended + sum(known))
