"""Trackers: loggers that show a run in a program which a lab has already.

Each is a module of its own with the few calls that its package needs; what is written, under which
names and when, is said here once.
"""

from __future__ import annotations

import io
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import pandas as pd
from PIL import Image

from regmix_bench.analysis.statistics import accuracy_interval
from regmix_bench.analysis.words import threat_words
from regmix_bench.errors import UserError
from regmix_bench.methods.declarations import display_name
from regmix_bench.records.accuracies import accuracies
from regmix_bench.records.paths import ARTIFACTS, find_record
from regmix_bench.records.schema import EpochLog, RunRecord
from regmix_bench.runs.loggers import Logger, epoch_numbers
from regmix_bench.runs.observers import Ending
from regmix_bench.specs import EvalSpec, RunSpec

Handle = TypeVar("Handle")

How = Literal["finished", "failed", "interrupted"]

#: The figures of a report that say something of a single run, and are drawn in about a second.
FIGURES_OF_A_RUN = ("curves", "cascade", "classes")


class Tracker(Logger, Generic[Handle]):
    """A logger that keeps one run of a tracker's for each run of ours, known by its run_id.

    That run is opened at the first number, so that a run which another process has is never
    touched, and one that resumes goes on in it. It gets the specification as configuration; after
    every epoch the numbers ``epoch/NAME``; after every attack ``attack/THREAT/NAME``, the accuracy
    (0 to 1) that is left; at the end ``final/CHECKPOINT/THREAT/NAME`` for every accuracy of the
    record, these with Wilson's 95 % intervals as a table, and figures. A subclass says how each is
    written.
    """

    #: The modules that have to be installed, and the extra that installs them.
    modules: ClassVar[tuple[str, ...]]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if not all(map(_installed, self.modules)):
            raise UserError(
                f"logger {self.name!r} needs a package that is not installed:"
                f' pip install "regmix-bench[{self.name}]"'
            )
        self._handles: dict[str, tuple[RunSpec | EvalSpec, Handle]] = {}

    def open(self, results: Path) -> None:
        self.results = results
        #: Where a tracker that writes files keeps them.
        self.folder = (results / ARTIFACTS / self.name).absolute()
        self.connect()

    def connect(self) -> None:
        """Import the package, and prepare what all runs share; called once."""

    @abstractmethod
    def begin(self, spec: RunSpec | EvalSpec, epoch: int | None) -> Handle:
        """Open the tracker's run, or the one there is of the same run_id, and return it.

        ``epoch`` is that of the numbers which come first, None where they are of attacks.
        """

    @abstractmethod
    def write(self, handle: Handle, numbers: Mapping[str, float], epoch: int) -> None:
        """Write numbers by name that belong to an epoch."""

    @abstractmethod
    def show(
        self, handle: Handle, scores: Sequence[Score], figures: Mapping[str, Image.Image]
    ) -> None:
        """Write the table of a run's scores and its figures, by name."""

    @abstractmethod
    def finish(self, handle: Handle, how: How) -> None:
        """Close the tracker's run."""

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        numbers = {_key("epoch", name): x for name, x in epoch_numbers(log).items()}
        self.write(self._handle(spec, log.epoch), numbers, log.epoch)

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        self.write(self._handle(spec), {_key("attack", threat, attack): accuracy}, _end(spec))

    def on_end(self, ending: Ending) -> None:
        if ending.left is not None:  # another process has the run, and its numbers
            return
        handle, record = self._handle(ending.spec), ending.record
        scores = list(scores_of(record)) if record is not None else []
        if scores:
            self.write(handle, {score.key: score.accuracy for score in scores}, _end(ending.spec))
        if record is not None and record.status == "success":
            self.show(handle, scores, figures_of(self.results, record))
        self._finish(ending.spec.run_id, "finished" if ending.error is None else "failed")

    def close(self) -> None:
        for run_id in list(self._handles):
            self._finish(run_id, "interrupted")

    def _handle(self, spec: RunSpec | EvalSpec, epoch: int | None = None) -> Handle:
        if spec.run_id not in self._handles:
            self._handles[spec.run_id] = spec, self.begin(spec, epoch)
        return self._handles[spec.run_id][1]

    def _finish(self, run_id: str, how: How) -> None:
        _, handle = self._handles.pop(run_id)
        self.finish(handle, how)


class ProjectConfig(Logger.Config):
    """Parameters of a tracker that sorts runs into projects: ``project`` is the one to write to."""

    project: str = "regmix-bench"


class Score(NamedTuple):
    """One accuracy (0 to 1) of a record with its 95 % interval; ``key`` is a tracker's name."""

    key: str
    checkpoint: str
    threat: str
    measured: str
    accuracy: float
    low: float
    high: float
    images: int


def scores_of(record: RunRecord) -> Iterator[Score]:
    """Yield every accuracy of a record: those of its tables, then what each attack left."""
    for result in record.evaluations:
        found = {
            accuracy.id: (accuracy.header(record.spec.scoring), accuracy.read(result))
            for accuracy in accuracies(record.spec.scoring)
        }
        found |= {f"after {name}": (f"after {name}", x) for name, x in result.after_attack.items()}
        for key, (measured, share) in found.items():
            if share is not None:
                interval = accuracy_interval(share, result.n_examples)
                full_key = _key("final", result.checkpoint, str(result.threat), key)
                about = result.checkpoint, threat_words(result.threat), measured
                yield Score(full_key, *about, share, *interval, result.n_examples)


def score_frame(scores: Sequence[Score]) -> pd.DataFrame:
    """Return scores as a table with a row for each."""
    return pd.DataFrame(scores, columns=list(Score._fields)).drop(columns="key")


def run_name(spec: RunSpec | EvalSpec) -> str:
    """Return what a tracker lists a run as: the method in words, its budget, seed and run_id."""
    if isinstance(spec, EvalSpec):
        return f"{spec.label}, {spec.dataset_words}, {spec.run_id}"
    shown = display_name(spec.method), threat_words(spec.train_threat), f"seed {spec.seed}"
    return f"{shown[0]}, {spec.dataset_words}, {shown[1]}, {shown[2]}, {spec.run_id}"


def configuration(spec: RunSpec | EvalSpec) -> dict[str, Any]:
    """Return the specification as plain values, with the run_id and this package's version."""
    known = {"run_id": spec.run_id, "regmix-bench": version("regmix-bench")}
    return known | spec.model_dump(mode="json")


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with the keys of ``--set``: ``recipe.epochs``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        below = value if isinstance(value, Mapping) else None
        found |= flat(below, f"{above}{key}.") if below is not None else {f"{above}{key}": value}
    return found


def figures_of(results: Path, record: RunRecord) -> dict[str, Image.Image]:
    """Draw the figures of a report that say something of a single run, by name."""
    from regmix_bench.reporting.contents import Contents
    from regmix_bench.reporting.figures import FIGURES
    from regmix_bench.reporting.figures.gallery import laid_out
    from regmix_bench.reporting.figures.style import applied
    from regmix_bench.reporting.figures.venues import PLAIN

    path = find_record(results, record.spec)
    drawn: dict[str, Image.Image] = {}
    if path is None:
        return drawn
    contents = Contents(results, {path: record}, ())
    for name in FIGURES_OF_A_RUN:
        for picture in FIGURES[name].of(contents):
            stream = io.BytesIO()
            with applied(PLAIN):
                laid_out(picture, PLAIN).savefig(stream, format="png", dpi=200)
            drawn[name if name not in drawn else picture.stem] = Image.open(stream).convert("RGB")
    return drawn


def _end(spec: RunSpec | EvalSpec) -> int:
    """Return the epoch that numbers of a whole training belong to."""
    return spec.recipe.epochs if isinstance(spec, RunSpec) else 0


def _key(*parts: str) -> str:
    """Join parts of a name that every tracker takes: ``8/255`` would be a folder of its own."""
    return "/".join(re.sub(r"[^\w. -]+", "-", part).strip("- ") for part in parts)


def _installed(module: str) -> bool:
    """Return whether a module is there; a mere folder of its name, as wandb makes, is none."""
    found = find_spec(module)
    return found is not None and found.origin is not None
