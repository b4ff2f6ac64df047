"""The part of a served page that follows the results folder: its files, and what they ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from importlib.resources import files as resources
from typing import Any, get_args

from regmix_bench.records.watcher import Standing, WatchedRun
from regmix_bench.records.words import progress_words
from regmix_bench.reporting.formats.cells import short

#: The most runs of one standing that a page lists; of the others it says how many there are.
LISTED = 20

#: Characters of a name or a reason.
_LONGEST = 200

SCRIPT, STYLE = "_live.js", "_live.css"


def live_files() -> dict[str, bytes]:
    """Return the script and the style of served pages, by path."""
    folder = resources("regmix_bench.reporting.site").joinpath("served")
    return {name: folder.joinpath(name.removeprefix("_")).read_bytes() for name in (SCRIPT, STYLE)}


def under_way(runs: Iterable[WatchedRun]) -> dict[str, Any]:
    """Return how many runs are of each standing, and those that a page lists, as JSON values."""
    counts: Counter[str] = Counter()
    listed = []
    for run in runs:
        counts[run.standing] += 1
        if counts[run.standing] <= LISTED:
            listed.append(_described(run))
    return {
        "counts": {standing: counts[standing] for standing in get_args(Standing)},
        "runs": listed,
    }


def _described(run: WatchedRun) -> dict[str, Any]:
    told: dict[str, Any] = {"name": short(run.name, _LONGEST), "standing": run.standing}
    if run.reason:
        told["reason"] = short(run.reason, _LONGEST)
    if (progress := run.progress) is None:
        return told
    told |= {"stage": short(progress_words(progress), _LONGEST), "share": round(progress.share, 4)}
    if progress.seconds_left is not None:
        told |= {"left": round(progress.seconds_left), "written": run.written}
    if run.history:
        told["curve"] = {
            "epochs": max(progress.epochs or 0, len(run.history)),
            "clean": [round(log.val_clean_acc, 4) for log in run.history],
            "pgd": [round(log.val_pgd_acc, 4) for log in run.history],
        }
    return told
