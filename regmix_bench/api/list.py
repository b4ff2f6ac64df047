"""``list``: what there is to run, and what has been run."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from regmix_bench.api.options import Option, Results, known_methods, verb
from regmix_bench.errors import unknown
from regmix_bench.system.deferred import defer

if TYPE_CHECKING:
    from regmix_bench.attacks.protocol import Attack
    from regmix_bench.methods.protocol import Method
    from regmix_bench.records.schema import AnyRecord
    from regmix_bench.records.watcher import WatchedRun
    from regmix_bench.registry import Registry

#: Values by the name of their column; of parameters, rows.
Facts = dict[str, str | float | list[dict[str, str]] | None]

#: In the name of a run, between what it says.
_BETWEEN = " · "


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
            "studies",
        ],
        Option("What to list.", argument=True),
    ],
    names: Annotated[
        Iterable[str],
        Option(
            "Tell all of these; of runs, those of this method, dataset, architecture or status.",
            argument=True,
        ),
    ] = (),
    *,
    results: Results = "results",
) -> list[Facts]:
    """List what there is to run, and what has been run, goes on or waits.

    All entries have the same columns; accuracies are in [0, 1]. An entry that is named also has
    what it costs and its ``parameters``, each with its default, the values it may take and its
    meaning. Of several names of runs, any of a kind will do: ``trades``, ``mart`` and ``failed``
    are the failed runs of both methods.

    Raises :class:`UserError` for a name that there is not, a folder that is not there and a record
    that cannot be read.
    """
    if what in ("runs", "studies"):
        from regmix_bench.records.store import require_results

        require_results(Path(results))
    if what == "runs":
        from regmix_bench.records.store import load_record, record_files
        from regmix_bench.records.watcher import RunWatcher

        files = sorted(record_files(Path(results)), key=lambda path: _in_order(path.as_posix()))
        runs = [_run(load_record(path)) for path in files]
        return _chosen([*runs, *map(_under_way, RunWatcher(Path(results)).look())], names)
    from regmix_bench.api.details import chosen_entries

    if what == "methods":
        names = known_methods(names) or ()

    rows = list(_studies(Path(results)) if what == "studies" else _LISTS[what]())
    return chosen_entries(rows, what, names) if names else rows


def _in_order(text: str) -> list[str | int]:
    """Return a key by which numbers in texts sort as numbers: seed 2 before seed 10."""
    parts = re.split(r"([0-9]+)", text)
    return [int(part) if part.isdecimal() else part for part in parts]


#: The statuses of a run that has failed: once recorded, and while its grid goes on.
_FAILED = {"error", "failed"}


def _chosen(runs: list[Facts], words: Iterable[str]) -> list[Facts]:
    """Return the runs that have each of ``words``, or of those of one kind any."""
    from regmix_bench.methods import METHODS, declared
    from regmix_bench.records.watcher import Standing

    statuses = {"success", "error", *get_args(Standing)}
    has = [[part.casefold() for part in _parts(run)] for run in runs]
    wanted: dict[int, set[str]] = {}
    for word in words:
        part, method = word.casefold(), declared(word)
        place = 0 if part in statuses else 1 if method else None
        if place is None:
            place = next((parts.index(part) for parts in has if part in parts), None)
        if place is None:
            raise unknown("part of a run", word, statuses.union(METHODS.names(), *has))
        titled = method.title.casefold() if method else part
        meant = _FAILED if part in _FAILED else {part, titled}
        wanted.setdefault(place, set()).update(meant)
    return [
        run
        for run, parts in zip(runs, has, strict=True)
        if all(choice & set(parts[place : place + 1]) for place, choice in wanted.items())
    ]


def _parts(run: Facts) -> list[str]:
    """Return the status of a run, its method without parameters, and what else its name says."""
    method, *others = str(run["run"]).split(_BETWEEN)
    return [str(run["status"]), method.partition(" (")[0], *others]


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
    from regmix_bench.api.options import suite_run_ids
    from regmix_bench.grid.suite_files import packaged_suites, suite_words

    for name in packaged_suites():
        runs = len(suite_run_ids(name) or ())
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


def _studies(results: Path) -> Iterable[Facts]:
    from regmix_bench.records.studies import load_study, study_files
    from regmix_bench.reporting.tables.tuning import values_words

    for study in map(load_study, study_files(results)):
        yield {
            "study": f"{study.name}/{study.label}",
            "status": "finished" if study.finished else "not finished",
            "trials": str(len(study.trials)),
            "default": study.trials[0].value if study.trials else None,
            "tuned": study.best.value if study.best else None,
            "values": values_words(study),
        }


def _under_way(run: "WatchedRun") -> Facts:
    """Return the columns of :func:`_run` of one that is not recorded yet."""
    from regmix_bench.records.accuracies import by_title
    from regmix_bench.types import NORMS

    name = run.name  # as pages show it
    for typed in NORMS.names():
        name = name.replace(f"{_BETWEEN}{NORMS[typed].symbol} ", f"{_BETWEEN}{typed} ")
    return {
        "run": name,
        "run_id": run.run_id,
        "status": run.standing,
        **by_title(None),
        "attacked by": "",
        "weights": "",
        "tricks": "",
    }


def _run(record: "AnyRecord") -> Facts:
    """Return the scores under the threat that stands for a record, as far as there are any."""
    from regmix_bench.records.accuracies import attack_words, by_title
    from regmix_bench.records.checkpoints import weights_of
    from regmix_bench.records.tricks import trained_with
    from regmix_bench.records.words import away_words, record_words, shown_score

    score, attack, weights, tricks = shown_score(record), "", "", ""
    if record.kind == "transfer":
        attack = record.attack
    elif record.kind == "corruptions":
        attack = "corruptions"
    elif score is not None:
        attack = attack_words(record.spec.scoring) + away_words(record, score)
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
