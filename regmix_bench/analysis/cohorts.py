"""Runs that may be compared with one another.

Runs that differ in the seed alone form a :class:`Group`, one row of a table. Groups that share
data, labels, architecture, recipe, tricks, scoring and training threat form a :class:`Cohort`, one
figure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from regmix_bench.analysis.tricks import Axis
from regmix_bench.data.sources import class_names
from regmix_bench.errors import UserError
from regmix_bench.methods.declarations import row_rank
from regmix_bench.records import store
from regmix_bench.records.data_names import with_data_told_apart
from regmix_bench.records.paths import SHIPPED
from regmix_bench.records.schema import AnyRecord, RunRecord
from regmix_bench.records.tricks import trained_with
from regmix_bench.specs import Component, DataNames, Recipe, RunSpec, Scoring
from regmix_bench.specs.identity import digest, hashed
from regmix_bench.specs.supervision import FULL, Supervision, shared_recipe
from regmix_bench.specs.tricks import NONE, Tricks
from regmix_bench.types import ThreatModel


@dataclass(frozen=True)
class Run:
    """A record and the file that holds it."""

    path: Path
    record: RunRecord

    @property
    def spec(self) -> RunSpec:
        return self.record.spec


@dataclass(frozen=True)
class Setting:
    """Facts that runs must share before their accuracies may stand side by side.

    ``recipe`` is without the tricks, which ``tricks`` has as they took effect, and without the use
    of images that have no label, which ``supervision`` has; each is None where rows may differ in
    it.
    """

    dataset: str
    data_digest: str | None
    train_examples: int | None
    eval_examples: int | None
    arch: str
    recipe: Recipe
    tricks: Tricks | None
    supervision: Supervision | None
    scoring: Scoring
    components: tuple[Component, ...]
    #: The data set and the architecture with the parameters of plug-ins.
    words: str = field(compare=False)
    #: What readers call data of a path, as the first of the runs does.
    data_names: DataNames | None = field(compare=False)

    @classmethod
    def of(cls, run: Run, across: Collection[Axis] = ()) -> Setting:
        spec, joined = run.spec, "labels" in across
        return cls(
            dataset=spec.dataset,
            data_digest=run.record.data_digest,
            train_examples=spec.train_examples,
            eval_examples=spec.eval_examples,
            arch=spec.arch,
            recipe=shared_recipe(spec.recipe),
            tricks=None if "tricks" in across else trained_with(run.record),
            supervision=None if joined else spec.supervision,
            scoring=spec.scoring,
            components=spec.components,
            words=f"{spec.dataset_words if joined else spec.data_words}, {spec.arch_words}",
            data_names=spec.data_names,
        )

    @property
    def title(self) -> str:
        """Return what readers call the data set."""
        return self.data_names.title if self.data_names else self.dataset

    @property
    def classes(self) -> tuple[str, ...]:
        """Return what the classes are called, where anything says it."""
        return class_names(self.dataset, self.data_names)

    @cached_property
    def stem(self) -> str:
        """The part of a file name that says which setting it shows.

        It follows from the setting alone, so that no other run changes it.
        """
        more = ["tricks"] if self.tricks not in (None, NONE) else []
        more += ["supervision"] if self.supervision not in (None, FULL) else []
        return self._stem(*more)

    @property
    def family(self) -> str:
        """Return what settings share that differ in their tricks and labels alone."""
        return self._stem()

    @property
    def rehearsal(self) -> str:
        """Say that a study is on a part of its data set; empty where it is on all of it."""
        parts = (("trained on", self.train_examples), ("scored on", self.eval_examples))
        words = [f"{verb} {images:,} images" for verb, images in parts if images is not None]
        if not words:
            return ""
        on = " and ".join(words)
        return f"A rehearsal, {on}: it shows what a study costs, and little of who is ahead."

    def _stem(self, *more: str) -> str:
        names = ("data_digest", "train_examples", "eval_examples", "recipe", "scoring")
        digits = short_digest(self, (*names, "components", *more))
        return f"{self.dataset}-{self.arch}-{digits}"


@dataclass(frozen=True)
class Group:
    """Successful runs that differ in the seed alone, by rising seed."""

    label: str
    runs: tuple[Run, ...]

    @property
    def spec(self) -> RunSpec:
        return self.runs[0].spec

    @property
    def method(self) -> str:
        return self.spec.method.name

    @property
    def names(self) -> set[str]:
        """Its label, that of its method, and the one that it was recorded with."""
        method = self.spec.method
        return {self.label, method.label, method.recorded_label or method.label}

    @cached_property
    def tricks(self) -> Tricks:
        return trained_with(self.runs[0].record)


@dataclass(frozen=True)
class Cohort:
    """Groups trained under one threat in one setting, and the runs that failed there."""

    setting: Setting
    train_threat: ThreatModel
    groups: tuple[Group, ...]
    failures: tuple[Run, ...]

    @property
    def stem(self) -> str:
        """The part of a file name that says which cohort it shows."""
        return f"{self.setting.stem}-{self.train_threat.slug}"

    @property
    def csv_columns(self) -> dict[str, object]:
        """The columns that name a cohort in a CSV file; ``setting`` stands in file names too."""
        return {
            "setting": self.setting.stem,
            "train_norm": self.train_threat.norm,
            "train_epsilon": str(self.train_threat.epsilon),
        }


def require_records(results: Path) -> dict[Path, AnyRecord]:
    """Load all records below ``results``; raises :class:`UserError` where there are none.

    Data of paths that their records call alike have digits of their content behind their names.
    """
    records = store.load_records(results)
    if not records:
        shipped = results / SHIPPED
        others = f", and --results {shipped} has others" if store.record_files(shipped) else ""
        raise UserError(f"no records in {results}: `regmix-bench run digits` makes some{others}")
    return with_data_told_apart(records)


def runs_among(records: Mapping[Path, AnyRecord]) -> tuple[Run, ...]:
    """Return the trainings among the records."""
    return tuple(Run(path, rec) for path, rec in records.items() if isinstance(rec, RunRecord))


def load_runs(results: Path) -> tuple[Run, ...]:
    """Load the trainings recorded below ``results``; raises as :func:`require_records` does."""
    return runs_among(require_records(results))


def sort_into_cohorts(runs: Sequence[Run], across: Collection[Axis] = ()) -> tuple[Cohort, ...]:
    """Sort runs into cohorts, whose rows may differ in what ``across`` names.

    A failed run joins each cohort whose specification it shares. Studies on whole data sets stand
    first, those with most rows and runs before others, settings that differ in their tricks alone
    together, and budgets of one setting by their size.
    """
    done: dict[tuple[Setting, ThreatModel], list[Run]] = defaultdict(list)
    failed: dict[tuple[Setting, ThreatModel], list[Run]] = defaultdict(list)
    for run in runs:
        if run.record.status == "success":
            done[(Setting.of(run, across), run.spec.train_threat)].append(run)
    for run in runs:
        if run.record.status == "error":
            mine = Setting.of(run, across)
            # A run that failed early never saw its data, so it has no digest to match.
            homes = [
                key
                for key in done
                if key[1] == run.spec.train_threat
                and mine in (key[0], replace(key[0], data_digest=None))
            ]
            for key in homes or [(mine, run.spec.train_threat)]:
                failed[key].append(run)

    keys = dict.fromkeys([*done, *failed])
    found = [
        Cohort(
            setting=setting,
            train_threat=threat,
            groups=_groups(done[(setting, threat)]),
            failures=tuple(failed[(setting, threat)]),
        )
        for setting, threat in keys
    ]
    return tuple(_in_order(found))


def _in_order(cohorts: Collection[Cohort]) -> list[Cohort]:
    largest: dict[Setting | str, tuple[int, int]] = {}
    for cohort in cohorts:
        size = -len(cohort.groups), -sum(len(group.runs) for group in cohort.groups)
        for shared in (cohort.setting, cohort.setting.family):
            largest[shared] = min(size, largest.get(shared, size))

    def place(cohort: Cohort) -> tuple[object, ...]:
        setting, threat = cohort.setting, cohort.train_threat
        family = bool(setting.rehearsal), largest[setting.family], setting.family
        tricks = largest[setting], setting.tricks != NONE, str(setting.tricks)
        labels = setting.supervision != FULL, str(setting.supervision)
        return *family, *tricks, *labels, threat.norm, threat.epsilon

    return sorted(cohorts, key=place)


def short_digest(key: object, names: Iterable[str]) -> str:
    """Return eight hex digits for attributes of ``key`` that a file name has no room for."""
    return digest({name: hashed(getattr(key, name)) for name in names})[:8]


def row_order(method: str, label: str) -> tuple[int, str, list[tuple[int, str]]]:
    """Return the sort key of a row: by its method's rank, numbers inside labels by value."""
    parts = re.findall(r"\d+|\D+", label)
    return row_rank(method), method, [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def _groups(runs: Sequence[Run]) -> tuple[Group, ...]:
    by_id: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_id[run.spec.group_id].append(run)
    groups = [
        Group(members[0].spec.method.label, tuple(sorted(members, key=lambda run: run.spec.seed)))
        for members in by_id.values()
    ]
    # Say that two rows are not the same thing even where their labels do.
    groups = _told_apart(groups, lambda group: group.tricks.suffix)
    groups = _told_apart(groups, lambda group: group.spec.supervision.suffix)
    groups = _told_apart(groups, lambda group: f" #{group.spec.group_id[:4]}")
    return tuple(sorted(groups, key=lambda group: row_order(group.method, group.label)))


def _told_apart(groups: Sequence[Group], suffix: Callable[[Group], str]) -> list[Group]:
    """Add to a label that several groups bear what tells these apart, if ``suffix`` does."""
    found: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        found[group.label].add(suffix(group))
    return [
        replace(group, label=group.label + suffix(group)) if len(found[group.label]) > 1 else group
        for group in groups
    ]
