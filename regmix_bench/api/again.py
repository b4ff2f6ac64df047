"""Finished runs of which more is asked than they were scored with: evaluations of their weights."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regmix_bench.runs.observers import Ending, Silent

if TYPE_CHECKING:
    from regmix_bench.records.find import RunState
    from regmix_bench.records.progress import Progress
    from regmix_bench.runs.observers import Observer
    from regmix_bench.specs import AnySpec, EvalSpec, RunSpec


def lacking(
    specs: "Iterable[RunSpec]",
    states: "Mapping[str, RunState]",
    results: Path,
    save_adversarial: bool,
    diagnose: bool,
) -> "Iterator[RunSpec]":
    """Yield the finished runs whose records lack the images or the diagnoses that are asked for."""
    from regmix_bench.records.paths import find_record
    from regmix_bench.records.store import load_run

    if not (save_adversarial or diagnose):
        return
    for spec in specs:
        if states[spec.run_id] != "done" or (path := find_record(results, spec)) is None:
            continue
        scores = load_run(path).evaluations
        robust = [score for score in scores if score.robust_acc is not None] or scores
        images = any(score.adversarial_digest for score in robust)
        if (save_adversarial and not images) or (diagnose and not any(s.diagnoses for s in robust)):
            yield spec


def score_again(spec: "RunSpec", results: Path, observer: "Observer", **asked: Any) -> None:
    """Score the selected weights of a finished run as it was scored, with what is ``asked``.

    The record is that of an evaluation, beside the run's; one that has it all is found again.
    """
    from regmix_bench.api.evaluate import evaluate

    observer.on_start(spec)
    scoring = spec.scoring.model_dump(mode="json", exclude_defaults=True)
    found = evaluate(
        spec.run_id,
        settings=[f"scoring.{key}={json.dumps(value)}" for key, value in scoring.items()],
        results=results,
        observer=_OfRun(spec, observer),
        **asked,
    )
    assert found.record.kind == "evaluation"  # as no corruptions are asked for
    observer.on_end(Ending(spec, evaluation=found.record))


class _OfRun(Silent):
    """Tells of the evaluation of a run as of the run."""

    def __init__(self, spec: "RunSpec", observer: "Observer") -> None:
        self.spec, self.observer = spec, observer

    def on_progress(self, spec: "AnySpec", progress: "Progress") -> None:
        self.observer.on_progress(self.spec, progress)

    def on_attack(
        self, spec: "RunSpec | EvalSpec", threat: str, attack: str, accuracy: float
    ) -> None:
        self.observer.on_attack(self.spec, threat, attack, accuracy)

    def on_note(self, spec: "AnySpec", line: str) -> None:
        self.observer.on_note(self.spec, line)
