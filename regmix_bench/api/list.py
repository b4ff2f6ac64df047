"""``list``: what there is to run, and what has been run."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from regmix_bench.api.options import Option, Results, verb
from regmix_bench.errors import UserError
from regmix_bench.system.deferred import defer

if TYPE_CHECKING:
    from regmix_bench.attacks.protocol import Attack
    from regmix_bench.methods.protocol import Method
    from regmix_bench.records.schema import AnyRecord
    from regmix_bench.records.watcher import WatchedRun
    from regmix_bench.registry import Registry

#: Values by the name of their column.
Facts = dict[str, str | float | None]


@verb
def list_entries(
    what: Annotated[
        Literal[
            "methods",
            "attacks",
            "datasets",
            "archs",
            "figures",
            "loggers",
            "suites",
            "rules",
            "runs",
        ],
        Option("What to list.", argument=True),
    ],
    *,
    results: Results = "results",
) -> list[Facts]:
    """List what there is to run, and what has been run, goes on or waits.

    All entries have the same columns; accuracies are in [0, 1]. Raises :class:`UserError` for a
    folder that is not there and a record that cannot be read.
    """
    if what == "runs":
        if not Path(results).exists():
            raise UserError(f"there is no results folder {results}: `regmix-bench run` makes one")
        from regmix_bench.records.store import load_record, record_files
        from regmix_bench.records.watcher import RunWatcher

        recorded = [_run(load_record(path)) for path in record_files(Path(results))]
        return [*recorded, *map(_under_way, RunWatcher(Path(results)).look())]
    return list(_LISTS[what]())


def _methods() -> Iterable[Facts]:
    defer("torch")
    from regmix_bench.methods import METHODS

    return _with_norms(METHODS)


def _attacks() -> Iterable[Facts]:
    defer("torch")
    from regmix_bench.attacks import ATTACKS

    return _with_norms(ATTACKS)


def _with_norms(registry: "Registry[type[Method]] | Registry[type[Attack]]") -> Iterable[Facts]:
    for entry in registry.entries():
        yield {
            registry.kind: entry.name,
            "norms": ", ".join(entry.item.norms or ("all",)) if entry.item else "",
            "from": entry.origin,
            "what it is": entry.description,
        }


def _datasets() -> Iterable[Facts]:
    defer("torch")
    from regmix_bench.data.sources import DATASETS, typed_names

    for name, entry in zip(typed_names(), DATASETS.entries(), strict=True):
        yield {"dataset": name, "from": entry.origin, "what it is": entry.description}


def _archs() -> Iterable[Facts]:
    defer("torch")
    from regmix_bench.models import ARCHS
    from regmix_bench.models.timm_models import TimmModel
    from regmix_bench.registry import docstring

    for entry in ARCHS.entries():
        yield {"architecture": entry.name, "from": entry.origin, "what it is": entry.description}
    yield {
        "architecture": "timm:NAME",
        "from": ARCHS.origin("smallcnn"),
        "what it is": docstring(TimmModel),
    }


def _figures() -> Iterable[Facts]:
    from regmix_bench.reporting.figures import FIGURES

    for entry in FIGURES.entries():
        yield {"figure": entry.name, "from": entry.origin, "what it is": entry.description}


def _loggers() -> Iterable[Facts]:
    from regmix_bench.runs.loggers import LOGGERS

    for entry in LOGGERS.entries():
        yield {"logger": entry.name, "from": entry.origin, "what it is": entry.description}


def _suites() -> Iterable[Facts]:
    from regmix_bench.api.options import planned_runs
    from regmix_bench.grid.suite_files import packaged_suites, suite_words

    for name in packaged_suites():
        runs = len(planned_runs(name) or ())
        yield {"suite": name, "runs": f"{runs:,}", "what it is": suite_words(name)}


def _rules() -> Iterable[Facts]:
    from regmix_bench.sheets.rules import RULES

    for rule in RULES.values():
        yield {"rule": rule.name, "what breaks it": rule.title, "why it matters": rule.why}


_LISTS: Mapping[str, Callable[[], Iterable[Facts]]] = {
    "methods": _methods,
    "attacks": _attacks,
    "datasets": _datasets,
    "archs": _archs,
    "figures": _figures,
    "loggers": _loggers,
    "suites": _suites,
    "rules": _rules,
}


def _under_way(run: "WatchedRun") -> Facts:
    """Return the columns of :func:`_run` of one that is not recorded yet."""
    from regmix_bench.records.accuracies import by_title

    return {
        "run": run.name,
        "run_id": run.run_id,
        "status": run.standing,
        **by_title(None),
        "attacked by": "",
        "weights": "",
        "tricks": "",
    }


def _run(record: "AnyRecord") -> Facts:
    """Return the scores under the first threat, as far as there are any."""
    from regmix_bench.records.accuracies import attack_words, by_title
    from regmix_bench.records.checkpoints import weights_of
    from regmix_bench.records.tricks import trained_with
    from regmix_bench.records.words import record_words

    score, attack, weights, tricks = None, "", "", ""
    if record.kind == "transfer":
        attack = record.attack
    else:
        score = next((e for e in record.evaluations if e.robust_acc is not None), None)
        attack = attack_words(record.spec.scoring) if score else ""
    if record.kind == "run":
        tricks = str(trained_with(record))
    if record.kind == "run" and score is not None:
        weights = f"{weights_of(record, score.checkpoint)}, {score.checkpoint}"
    return {
        "run": record_words(record),
        "run_id": record.run_id,
        "status": record.status,
        **by_title(score),
        "attacked by": attack,
        "weights": weights,
        "tricks": tricks,
    }
