"""Two models on the same images: which images one loses and the other does not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from regmix_bench.analysis.methods import LEVEL
from regmix_bench.analysis.references import scoring_differences
from regmix_bench.analysis.statistics import mcnemar, wilson_interval
from regmix_bench.analysis.tricks import Axis
from regmix_bench.errors import UserError, unknown
from regmix_bench.records import paths, store
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.records.checkpoints import Choice, checkpoint_of, weights_of
from regmix_bench.records.find import evaluations_of
from regmix_bench.records.schema import (
    CorruptionRecord,
    EvalRecord,
    RunRecord,
    Score,
    TransferRecord,
    parts_of,
)
from regmix_bench.records.tricks import trained_with
from regmix_bench.records.unions import read_score
from regmix_bench.records.words import model_name
from regmix_bench.specs.supervision import Supervision
from regmix_bench.specs.tricks import Tricks
from regmix_bench.system.shown import Shown, ShownTuple, Summary
from regmix_bench.types import AnyThreat, Checkpoint, Epsilon, ThreatModel


@dataclass(frozen=True, repr=False)
class Pair(Shown):
    """Two models under one threat: how many images each gets right, and one of them alone.

    The second loses ``lost`` images that the first gets right, and gains ``gained``.
    """

    names: tuple[str, str]
    threat: AnyThreat
    attack: str
    n_examples: int
    right: tuple[int, int]
    lost: int
    gained: int

    @property
    def p_value(self) -> float:
        """Result of McNemar's exact two-sided test."""
        return mcnemar(self.lost, self.gained)

    @property
    def relation(self) -> str:
        """The verdict on the second: better or worse than the first, or not distinguishable."""
        if self.p_value >= LEVEL:
            return "not distinguishable from"
        return "better than" if self.gained > self.lost else "worse than"

    def summary(self) -> Summary:
        one, two = self.names
        rows = []
        for name, right in zip(self.names, self.right, strict=True):
            low, high = wilson_interval(right, self.n_examples)
            rows.append((name, f"{right / self.n_examples:.1%}", f"{low:.1%} to {high:.1%}"))
        line = (
            f"{two} is {self.relation} {one} under {self.attack} at {self.threat}"
            f" (p = {self.p_value:.2g}, {self.n_examples:,} images: {self.lost} lost,"
            f" {self.gained} gained)"
        )
        return Summary(line, ("model", self.attack, "95 % interval"), rows)


def compare_records(
    files: Sequence[Path],
    checkpoint: Checkpoint | None = None,
    epsilon: str | None = None,
    across: Collection[Axis] = (),
    results: Path | None = None,
) -> ShownTuple[Pair]:
    """Compare the models of the records in two files, image by image.

    They are compared under each threat that AutoAttack saw on both, or under ``epsilon`` alone.
    ``checkpoint`` is the one of both trainings, else the selected one; a raw one is that of the
    same name without "raw" where a training averaged nothing. Raises :class:`UserError`
    where the two were attacked in different ways or with other seeds, under different threats or
    on other images, where outcomes are missing, and for two trainings whose tricks or labels
    differ, unless ``across`` has these; the error names evaluations that may have what a run lacks,
    of those beside it and in ``results``.
    """
    one, two = (_Model.of(file, checkpoint) for file in files)
    if one.path.resolve() == two.path.resolve():
        raise UserError(f"both runs are the one in {one.path}: there is nothing to compare")
    if one.name == two.name:  # one specification, recorded in two folders
        one, two = (replace(model, name=f"{model.name} in {model.path}") for model in (one, two))
    if "tricks" not in across and one.tricks and two.tricks and one.tricks != two.tricks:
        raise UserError(
            f"{one.name} and {two.name} were trained with other tricks ({one.tricks}; {two.tricks})"
            ": `--across tricks` compares them nevertheless"
        )
    labels = [model.supervision for model in (one, two)]
    if "labels" not in across and None not in labels and labels[0] != labels[1]:
        raise UserError(
            f"{one.name} and {two.name} saw other labels ({labels[0]}; {labels[1]}): `--across"
            " labels` compares them nevertheless"
        )
    if one.record.data_digest != two.record.data_digest:
        raise UserError(f"{one.name} and {two.name} were scored on other images: no pair to test")
    if one.attack != two.attack:
        raise UserError(
            f"{one.name} was attacked by {one.attack}, {two.name} by {two.attack}: no pair to test"
            + _evaluations(one, two, results)
        )
    shared = [threat for threat in one.scores if threat in two.scores]
    if epsilon is not None:
        wanted = Epsilon(epsilon)
        single = [threat for threat in shared if isinstance(threat, ThreatModel)]
        shared = [threat for threat in single if threat.epsilon == wanted]
        if not shared:
            known = unknown("common ε", wanted, (str(threat.epsilon) for threat in single))
            raise UserError(f"{known}{_evaluations(one, two, results)}")
    if not shared:
        raise UserError(
            f"no threat in common: {one.name} was attacked under {one.threats},"
            f" {two.name} under {two.threats}{_evaluations(one, two, results)}"
        )
    return ShownTuple(_pair(one, two, threat) for threat in shared)


@dataclass(frozen=True)
class _Model:
    path: Path
    name: str
    record: RunRecord | EvalRecord
    checkpoint: Checkpoint
    scores: dict[AnyThreat, Score]

    @classmethod
    def of(cls, path: Path, asked: Checkpoint | None) -> _Model:
        record = store.load_record(path)
        if isinstance(record, TransferRecord):
            raise UserError(f"{path} records a transfer, not a model: choose from its runs")
        if isinstance(record, CorruptionRecord):
            raise UserError(
                f"{path} records corrupted images, and the other model attacks: no pair to test"
            )
        checkpoint: Checkpoint = asked or "selected"
        if isinstance(record, EvalRecord):
            checkpoint = "given"
        elif checkpoint.startswith("raw-"):  # which are the only ones where nothing is averaged
            choice: Choice = "last" if checkpoint == "raw-last" else "selected"
            checkpoint = checkpoint_of(record, "raw", choice)
        scores = {
            found.threat: found
            for found in record.scores
            if found.checkpoint == checkpoint and found.robust_acc is not None
        }
        if not scores:
            others = {e.checkpoint: None for e in record.evaluations if e.robust_acc is not None}
            there = f": there is one of {' and '.join(others)}" if others else ""
            raise UserError(f"{path} has no AutoAttack score of the {checkpoint} checkpoint{there}")
        return cls(path, f"{model_name(record.spec)} {record.run_id}", record, checkpoint, scores)

    @property
    def attack(self) -> str:
        return attack_words(self.record.spec.scoring)

    @property
    def tricks(self) -> Tricks | None:
        """Those that its weights had, which is not known of a model that was scored as given."""
        if not isinstance(self.record, RunRecord):
            return None
        tricks = trained_with(self.record)
        raw = weights_of(self.record, self.checkpoint) == "raw"
        return tricks.of_raw_weights if raw else tricks

    @property
    def supervision(self) -> Supervision | None:
        """The labels that its training saw, which is not known of a model scored as given."""
        return self.record.spec.supervision if isinstance(self.record, RunRecord) else None

    @property
    def threats(self) -> str:
        return ", ".join(map(str, self.scores))


def _evaluations(one: _Model, two: _Model, results: Path | None) -> str:
    """Name the evaluations of trained models, which may have been scored as the other was."""
    found = [
        f"{record.run_id[:8]} is {model.name} under {attack_words(record.spec.scoring)} at "
        + ", ".join(map(str, record.spec.eval_threats))
        for model in (one, two)
        if isinstance(model.record, RunRecord)
        for record in evaluations_of(
            model.path, model.record, results or paths.results_of(model.path)
        ).values()
    ]
    return f". Evaluations: {'; '.join(found)}" if found else ""


def _pair(one: _Model, two: _Model, threat: AnyThreat) -> Pair:
    columns, each = [], []
    for model in (one, two):
        file = paths.outcomes_path(model.path, model.checkpoint)
        if not file.is_file():
            raise UserError(f"no outcomes per image at {file}")
        robust = robust_metric(model.record.spec.scoring)
        score, evaluations = model.scores[threat], model.record.evaluations
        each.append(parts_of(score, evaluations))
        images = read_score(file, score, evaluations)
        columns.append((images.index, images.right[robust]))
    (index, was), (other, now) = columns
    if not np.array_equal(index, other):
        raise UserError(f"{one.name} and {two.name} were scored on other images: no pair to test")
    if differing := scoring_differences(each[0][0], each[1][0]):
        raise UserError(
            f"{one.name} and {two.name} were scored in different ways: {'; '.join(differing)}:"
            " no pair to test"
        )
    return Pair(
        names=(one.name, two.name),
        threat=threat,
        attack=one.attack,
        n_examples=len(was),
        right=(int(was.sum()), int(now.sum())),
        lost=int((was & ~now).sum()),
        gained=int((now & ~was).sum()),
    )
