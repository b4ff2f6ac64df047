"""Which runs may be compared, and their numbers as means over seeds.

Runs that differ in the seed alone form a :class:`Group`, one row of a table. Groups that share
data, architecture, recipe, scoring and training threat form a :class:`Cohort`, one figure. A cohort
under one evaluation threat and checkpoint is a :class:`Block`, one table.
"""

from __future__ import annotations

import hashlib
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from regmix_bench import store
from regmix_bench.errors import UserError
from regmix_bench.types import (
    Checkpoint,
    Recipe,
    RobustEval,
    RunRecord,
    RunSpec,
    Scoring,
    ThreatModel,
)

#: The order of rows and panels; other methods follow by name.
METHOD_ORDER = (
    "standard",
    "pgd-at",
    "trades",
    "mart",
    "fgsm-rs",
    "fgsm-pgi",
    "fgsm-pgk",
    "regmix-amr",
    "regmix-agr",
    "regmix",
    "regmix-pgd",
)


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
    """What runs must share before their accuracies may stand side by side."""

    dataset: str
    data_digest: str | None
    train_examples: int | None
    eval_examples: int | None
    arch: str
    recipe: Recipe
    selection: str
    scoring: Scoring

    @classmethod
    def of(cls, run: Run) -> Setting:
        spec = run.spec
        return cls(
            dataset=spec.dataset,
            data_digest=run.record.data_digest,
            train_examples=spec.train_examples,
            eval_examples=spec.eval_examples,
            arch=spec.arch,
            recipe=spec.recipe,
            selection=spec.selection,
            scoring=spec.scoring,
        )


@dataclass(frozen=True)
class Stat:
    """Mean over seeds, sample standard deviation (n - 1; None for one seed), and their number."""

    mean: float
    std: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Stat | None:
        """The statistic of the values present, or None where there is none."""
        present = [value for value in values if value is not None]
        if not present:
            return None
        std = statistics.stdev(present) if len(present) > 1 else None
        return cls(statistics.fmean(present), std, len(present))


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


@dataclass(frozen=True)
class Cohort:
    """Groups trained under one threat in one setting, and the runs that failed there."""

    setting: Setting
    setting_stem: str
    train_threat: ThreatModel
    groups: tuple[Group, ...]
    failures: tuple[Run, ...]

    @property
    def stem(self) -> str:
        """The part of a file name that says which cohort it shows."""
        return f"{self.setting_stem}-{threat_slug(self.train_threat)}"

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """One block per evaluation threat, and per checkpoint that AutoAttack saw.

        The selected checkpoint always has its block, with or without AutoAttack.
        """
        keys: dict[tuple[str, ThreatModel, Checkpoint], None] = {}
        for group in self.groups:
            for run in group.runs:
                for found in run.record.evaluations:
                    if found.checkpoint == "selected" or found.autoattack_acc is not None:
                        keys[(found.threat.norm, found.threat, found.checkpoint)] = None
        if not self.groups:
            for run in self.failures:
                for threat in run.spec.eval_threats:
                    keys[(threat.norm, threat, "selected")] = None
        ordered = sorted(keys, key=lambda key: (key[0], key[1].epsilon, key[2] != "selected"))
        return tuple(self._block(threat, checkpoint) for _, threat, checkpoint in ordered)

    def _block(self, threat: ThreatModel, checkpoint: Checkpoint) -> Block:
        rows = [
            Row(
                group,
                checkpoint,
                tuple(run for run in group.runs if run.record.evaluation(checkpoint, threat)),
                threat,
            )
            for group in self.groups
        ]
        return Block(self, threat, checkpoint, tuple(row for row in rows if row.runs))


@dataclass(frozen=True)
class Row:
    """One group under one threat and checkpoint."""

    group: Group
    checkpoint: Checkpoint
    runs: tuple[Run, ...]
    threat: ThreatModel

    @property
    def label(self) -> str:
        return self.group.label

    @property
    def evaluations(self) -> tuple[tuple[Run, RobustEval], ...]:
        found = ((run, run.record.evaluation(self.checkpoint, self.threat)) for run in self.runs)
        return tuple((run, evaluation) for run, evaluation in found if evaluation is not None)

    @cached_property
    def metrics(self) -> Mapping[str, Stat]:
        """Raw numbers over seeds: accuracies 0 to 1, costs in seconds and in passes.

        ``passes`` counts images through the network, forwards and backwards, per training image and
        epoch. ``pgd_drop`` is PGD accuracy of this checkpoint less that of the last one.
        """
        values: dict[str, list[float | None]] = defaultdict(list)
        for run, evaluation in self.evaluations:
            record = run.record
            last = record.evaluation("last", self.threat)
            values["clean_acc"].append(evaluation.clean_acc)
            values["pgd_acc"].append(evaluation.pgd_acc)
            values["autoattack_acc"].append(evaluation.autoattack_acc)
            values["last_pgd_acc"].append(last and last.pgd_acc)
            values["pgd_drop"].append(last and evaluation.pgd_acc - last.pgd_acc)
            values["training_seconds"].append(record.training_cost.seconds)
            values["passes"].append(_passes(record))
            values["scoring_seconds"].append(record.scoring_cost.seconds)
        stats = {name: Stat.of(column) for name, column in values.items()}
        return {name: stat for name, stat in stats.items() if stat is not None}


@dataclass(frozen=True)
class Block:
    """One table: a cohort under one evaluation threat, scored at one checkpoint."""

    cohort: Cohort
    eval_threat: ThreatModel
    checkpoint: Checkpoint
    rows: tuple[Row, ...]

    @property
    def stem(self) -> str:
        elsewhere = self.eval_threat != self.cohort.train_threat
        return (
            self.cohort.stem
            + (f"-at-{threat_slug(self.eval_threat)}" if elsewhere else "")
            + ("-last" if self.checkpoint == "last" else "")
        )


def load_runs(results: Path) -> tuple[Run, ...]:
    """Every record below ``results``, by path.

    Raises :class:`UserError` where there is none, one is unreadable, or two record the same run,
    which would count a seed twice.
    """
    runs = tuple(Run(path, store.load_record(path)) for path in store.record_files(results))
    if not runs:
        raise UserError(f"no records in {results}: `regmix-bench run digits` makes some")
    seen: dict[str, Path] = {}
    for run in runs:
        other = seen.setdefault(run.record.run_id, run.path)
        if other != run.path:
            raise UserError(f"{other} and {run.path} record the same run: remove one")
    return runs


def cohorts(runs: Sequence[Run]) -> tuple[Cohort, ...]:
    """Sort runs into cohorts; a failed run joins each cohort whose specification it shares."""
    done: dict[tuple[Setting, ThreatModel], list[Run]] = defaultdict(list)
    failed: dict[tuple[Setting, ThreatModel], list[Run]] = defaultdict(list)
    for run in runs:
        if run.record.status == "success":
            done[(Setting.of(run), run.spec.train_threat)].append(run)
    for run in runs:
        if run.record.status == "error":
            mine = Setting.of(run)
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
    stems = _setting_stems({setting for setting, _ in keys})
    found = [
        Cohort(
            setting=setting,
            setting_stem=stems[setting],
            train_threat=threat,
            groups=_groups(done[(setting, threat)]),
            failures=tuple(failed[(setting, threat)]),
        )
        for setting, threat in keys
    ]
    return tuple(
        sorted(found, key=lambda c: (c.setting_stem, c.train_threat.norm, c.train_threat.epsilon))
    )


def threat_slug(threat: ThreatModel) -> str:
    """A threat as it stands in file names: ``Linf-8-255``."""
    return f"{threat.norm}-{threat.epsilon.slug}"


def row_order(method: str, label: str) -> tuple[int, str, list[tuple[int, str]]]:
    """Sort key of a row: known methods first, numbers inside labels by value."""
    place = METHOD_ORDER.index(method) if method in METHOD_ORDER else len(METHOD_ORDER)
    parts = re.findall(r"\d+|\D+", label)
    return place, method, [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def _groups(runs: Sequence[Run]) -> tuple[Group, ...]:
    by_id: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_id[run.spec.group_id].append(run)
    labels = Counter(members[0].spec.method.label for members in by_id.values())
    groups = []
    for group_id, members in by_id.items():
        label = members[0].spec.method.label
        # Say that two rows are not the same thing even where their labels do.
        shown = label if labels[label] == 1 else f"{label} #{group_id[:4]}"
        groups.append(Group(shown, tuple(sorted(members, key=lambda run: run.spec.seed))))
    return tuple(sorted(groups, key=lambda group: row_order(group.method, group.label)))


def _setting_stems(settings: Iterable[Setting]) -> dict[Setting, str]:
    """``dataset-arch``; with a digest where two settings would share that name.

    All of them get it then, so that a file name never silently comes to mean another table.
    """
    names = {setting: f"{setting.dataset}-{setting.arch}" for setting in settings}
    uses = Counter(names.values())
    return {
        setting: name
        if uses[name] == 1
        else f"{name}-{hashlib.sha256(repr(setting).encode()).hexdigest()[:6]}"
        for setting, name in names.items()
    }


def _passes(record: RunRecord) -> float | None:
    visits = (record.n_train or 0) * len(record.history)
    cost = record.training_cost
    return (cost.forward_images + cost.backward_images) / visits if visits else None
