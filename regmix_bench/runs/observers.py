"""Observers, which hear how runs and evaluations go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from regmix_bench.errors import UserError, abridged

if TYPE_CHECKING:
    from regmix_bench.records.find import RunState
    from regmix_bench.records.progress import Progress
    from regmix_bench.records.schema import EpochLog, EvalRecord, RunRecord
    from regmix_bench.runs.forecast import Forecast
    from regmix_bench.specs import AnySpec, EvalSpec, RunSpec


@dataclass(frozen=True)
class Ending:
    """The end of a run: its record, and what went wrong, the death of its process included.

    ``evaluation`` is that of a finished run which was scored again.
    ``left`` says which other process works on the run, where one does.
    """

    spec: RunSpec
    record: RunRecord | None = None
    error: str | None = None
    left: str | None = None
    evaluation: EvalRecord | None = None


class Observer(Protocol):
    """Hears how runs and evaluations go on; :class:`Silent` is a base whose methods do nothing."""

    def on_plan(self, states: Mapping[str, RunState], waiting: int) -> None:
        """Hear of a grid: each run's state, by run_id; ``waiting`` are to be run, or looked at."""

    def on_forecast(self, look_ahead: Callable[[], Forecast]) -> None:
        """Hear that the runs of a grid begin; ``look_ahead`` takes seconds to say how long for."""

    def on_start(self, spec: AnySpec) -> None:
        """Hear that a run begins or goes on."""

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        """Hear that an epoch has been trained and validated."""

    def on_progress(self, spec: AnySpec, progress: Progress) -> None:
        """Hear how far a run is: at most twice a second, and when a stage or an attack begins."""

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        """Hear that an attack at ``threat`` leaves ``accuracy``, in [0, 1].

        That is an ε as ``8/255``, or ``L2 0.5`` where the scoring has several norms.
        """

    def on_note(self, spec: AnySpec, line: str) -> None:
        """Hear of something that was not as it should be, and has been dealt with."""

    def on_end(self, ending: Ending) -> None:
        """Hear that a run of a grid has ended, or what was made of it."""


class Silent:
    """An observer that does nothing."""

    def on_plan(self, states: Mapping[str, RunState], waiting: int) -> None: ...

    def on_forecast(self, look_ahead: Callable[[], Forecast]) -> None: ...

    def on_start(self, spec: AnySpec) -> None: ...

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None: ...

    def on_progress(self, spec: AnySpec, progress: Progress) -> None: ...

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None: ...

    def on_note(self, spec: AnySpec, line: str) -> None: ...

    def on_end(self, ending: Ending) -> None: ...


def listener(observer: object) -> Observer:
    """Return the observer of a verb, who is silent where it is None.

    Raises :class:`UserError` for what has not all methods of an observer.
    """
    if observer is None:
        return Silent()
    for name in vars(Silent):
        if name.startswith("on_") and not callable(getattr(observer, name, None)):
            raise UserError(f"observer is {abridged(observer)}, which has no {name}: use Display()")
    return cast(Observer, observer)


class Messenger(Silent):
    """An observer that sends on what it hears of one run, as (event, specification, details…)."""

    def __init__(self, send: Callable[[tuple[Any, ...]], None]) -> None:
        self.send = send

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        self.send(("on_epoch", spec, log))

    def on_progress(self, spec: AnySpec, progress: Progress) -> None:
        self.send(("on_progress", spec, progress))

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        self.send(("on_attack", spec, threat, attack, accuracy))

    def on_note(self, spec: AnySpec, line: str) -> None:
        self.send(("on_note", spec, line))


def tell(observer: Observer, message: tuple[Any, ...]) -> None:
    """Pass what a :class:`Messenger` has sent on to ``observer``."""
    event, *details = message
    getattr(observer, event)(*details)
