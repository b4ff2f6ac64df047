"""The recorded views of runs, sorted for figures: images and losses around them."""

from __future__ import annotations

from typing import NamedTuple

from regmix_bench.analysis.cohorts import Cohort, Run
from regmix_bench.records import paths
from regmix_bench.records.views import Views, read_views


class RunViews(NamedTuple):
    """A run and what was looked at of it."""

    run: Run
    views: Views


def views_of(run: Run) -> Views | None:
    """Return what was looked at of a run, if anything was.

    Raises :class:`UserError` where the file that its record names is missing or another one.
    """
    digest = run.record.views_digest
    return None if digest is None else read_views(paths.views_path(run.path), digest)


def views_by_label(cohort: Cohort) -> dict[str, list[RunViews]]:
    """Return the runs whose views are there, by label and rising seed, all under one threat.

    That is the one they were trained under, if any was looked at under it.
    """
    found = {
        group.label: [RunViews(run, views) for run in group.runs if (views := views_of(run))]
        for group in cohort.groups
    }
    threats = {run.views.threat: None for runs in found.values() for run in runs}
    threat = cohort.train_threat if cohort.train_threat in threats else next(iter(threats), None)
    alike = {
        label: [run for run in runs if run.views.threat == threat] for label, runs in found.items()
    }
    return {label: runs for label, runs in alike.items() if runs}
