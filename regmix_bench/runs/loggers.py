"""Loggers: what writes down, for other programs, how runs go on.

A package offers one through the entry-point group ``regmix_bench.loggers``; ``run --log NAME``, or
``--log 'NAME[key=value],NAME'``, lets it hear. Nothing that a logger does is part of a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from regmix_bench.errors import reason
from regmix_bench.registry import Registry, create, parse_name
from regmix_bench.runs.observers import Ending, Observer, Silent
from regmix_bench.system.patience import BoundedThread
from regmix_bench.types import Frozen

if TYPE_CHECKING:
    from regmix_bench.records.find import RunState
    from regmix_bench.records.progress import Progress
    from regmix_bench.records.schema import EpochLog
    from regmix_bench.runs.forecast import Forecast
    from regmix_bench.specs import AnySpec, EvalSpec, RunSpec


#: Seconds that runs wait for a logger to take an event, at most.
PATIENCE = 60.0


class Logger(Silent):
    """An observer of runs that is found by its name; every method may be left out.

    It lives in the process that plans the runs, where the events of all arrive, those of
    ``--jobs`` and of a cluster included, and hears them in a thread of its own, always the same
    one. The first line of a subclass's docstring is what ``list loggers`` shows; ``Config`` holds
    the parameters that a user may give in brackets. Whatever a method raises, or one that takes
    more than :data:`PATIENCE` seconds, costs this logger the rest of the runs, with one line, and
    no run anything. What it needs and does not find it refuses when it is made, by a
    :class:`~regmix_bench.errors.UserError`: nothing is run then.
    """

    name: ClassVar[str]

    class Config(Frozen):
        """Parameters: validated and named."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def open(self, results: Path) -> None:
        """Prepare for runs whose records will lie in ``results``; called once, before the first."""

    def close(self) -> None:
        """Finish, after the last run or where the grid is interrupted."""


LOGGERS: Registry[type[Logger]] = Registry(
    "logger",
    group="regmix_bench.loggers",
    builtin={
        "csv": "regmix_bench.runs.csv_logger:CSVLogger",
        "mlflow": "regmix_bench.runs.mlflow_tracker:MLflowTracker",
        "tensorboard": "regmix_bench.runs.tensorboard_tracker:TensorBoardTracker",
        "trackio": "regmix_bench.runs.trackio_tracker:TrackioTracker",
        "wandb": "regmix_bench.runs.wandb_tracker:WandbTracker",
    },
    base="regmix_bench.runs.loggers:Logger",
)


def epoch_numbers(log: EpochLog) -> dict[str, float]:
    """Return the numbers of an epoch by name, without those that it does not have."""
    numbers = log.model_dump(exclude={"epoch", "metrics", "work", "perturbation"})
    numbers |= log.work.model_dump(exclude={"product"}) if log.work is not None else {}
    if log.perturbation is not None:
        numbers |= {f"perturbation_{key}": x for key, x in log.perturbation.model_dump().items()}
    return {name: x for name, x in {**numbers, **log.metrics}.items() if x is not None}


def create_loggers(texts: Sequence[str]) -> dict[str, Logger]:
    """Return the loggers of texts such as ``csv``, by these texts.

    Raises :class:`~regmix_bench.errors.UserError` for an unknown or broken one.
    """
    return {text: create(LOGGERS, *parse_name(LOGGERS.kind, text)) for text in texts}


@contextmanager
def logged(
    observer: Observer,
    loggers: Mapping[str, Logger],
    results: Path,
    patience: float = PATIENCE,
) -> Iterator[Observer]:
    """Yield an observer that passes all that it hears on to ``observer`` and ``loggers``."""
    told = _Relay(observer, loggers, results, patience)
    try:
        yield told
    finally:
        told.close()


class _Relay:
    """Passes every event on; the observer hears first that a run begins, and last how it ends.

    So what a logger fails with is said of a run that goes on, but for its ``close``.
    """

    def __init__(
        self, observer: Observer, loggers: Mapping[str, Logger], results: Path, patience: float
    ) -> None:
        self.observer, self.results, self.patience = observer, results, patience
        self.loggers = {text: (logger, BoundedThread(text)) for text, logger in loggers.items()}
        self.latest: AnySpec | None = None

    def on_plan(self, states: Mapping[str, RunState], waiting: int) -> None:
        self.observer.on_plan(states, waiting)

    def on_forecast(self, look_ahead: Callable[[], Forecast]) -> None:
        self.observer.on_forecast(look_ahead)

    def on_start(self, spec: AnySpec) -> None:
        self.observer.on_start(spec)
        if self.latest is None:
            self._tell(spec, "open", self.results)
        self.latest = spec
        self._tell(spec, "on_start", spec)

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        self._tell(spec, "on_epoch", spec, log)
        self.observer.on_epoch(spec, log)

    def on_progress(self, spec: AnySpec, progress: Progress) -> None:
        self._tell(spec, "on_progress", spec, progress)
        self.observer.on_progress(spec, progress)

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        self._tell(spec, "on_attack", spec, threat, attack, accuracy)
        self.observer.on_attack(spec, threat, attack, accuracy)

    def on_note(self, spec: AnySpec, line: str) -> None:
        self._tell(spec, "on_note", spec, line)
        self.observer.on_note(spec, line)

    def on_end(self, ending: Ending) -> None:
        self._tell(ending.spec, "on_end", ending)
        self.observer.on_end(ending)

    def close(self) -> None:
        if self.latest is not None:
            self._tell(self.latest, "close")
        for _, thread in self.loggers.values():
            thread.end()

    def _tell(self, spec: AnySpec, event: str, *details: Any) -> None:
        for text, (logger, thread) in list(self.loggers.items()):
            try:
                thread.call(self.patience, getattr(logger, event), *details)
            except (Exception, SystemExit) as error:  # a stranger's logger may raise anything
                del self.loggers[text]
                thread.end()
                line = f"logger {text!r} fails and is left out: {reason(error)}"
                self.observer.on_note(spec, line)
