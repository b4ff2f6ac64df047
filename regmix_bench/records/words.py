"""Runs and records in a few words, and records as a notebook shows them."""

from __future__ import annotations

from collections.abc import Iterable

from regmix_bench.methods.declarations import display_name, display_name_of
from regmix_bench.records.accuracies import ROBUST, by_title, score_words, titles
from regmix_bench.records.progress import Progress
from regmix_bench.records.schema import (
    AnyRecord,
    CorruptionRecord,
    EvalRecord,
    RobustEval,
    RunRecord,
    Score,
    TransferRecord,
)
from regmix_bench.specs import AnySpec, CorruptionSpec, RunSpec
from regmix_bench.specs.corruptions import SEVERITIES
from regmix_bench.system.shown import Summary
from regmix_bench.types import NORMS, ThreatModel

#: Sources of corrupted images as a reader is told of them.
CORRUPTED_BY = {
    "made": "corruptions made here with ImageNet's severities",
    "cifar10c": "CIFAR-10-C",
}


def model_name(spec: AnySpec) -> str:
    """Return what a reader calls a model: its method's shown name, or the label of a given one.

    A run of ours that is scored as one has the label of its method, and maybe a checkpoint.
    """
    if isinstance(spec, RunSpec):
        return display_name(spec.method)
    if spec.model.kind != "run":
        return spec.label
    method, gap, checkpoint = spec.label.partition(" (")
    return display_name_of(method) + gap + checkpoint


def spec_words(spec: AnySpec, symbols: bool = False) -> str:
    """Name a run or an evaluation in a few words, as a person would.

    Norms are as they are typed, ``Linf``, or with ``symbols`` as pages show them, ``L∞``.
    """

    def threat_words(threat: ThreatModel) -> str:
        return f"{NORMS[threat.norm].symbol} {threat.epsilon}" if symbols else str(threat)

    data = spec.data_words if isinstance(spec, RunSpec) else spec.dataset_words
    last: tuple[str, ...]
    if isinstance(spec, RunSpec):
        last = threat_words(spec.train_threat), f"seed {spec.seed}"
    elif isinstance(spec, CorruptionSpec):
        last = (CORRUPTED_BY[spec.corruptions],)
    else:
        last = ", ".join(map(threat_words, spec.eval_threats)), "evaluated"
    return " · ".join((model_name(spec), data, spec.arch_words, *last))


def labels_words(record: RunRecord) -> str:
    """Say how many labels a training saw, such as ``130 labels seen, …``; nothing of all."""
    if (found := record.labels) is None:
        return ""
    words = f"{found.labelled:,} seen to train on, {record.n_validation or 0:,} to validate"
    use = record.spec.recipe.unlabelled
    if not found.unlabelled:
        return words
    by = {"rst": "RST", "consistency": "consistency"}.get(use, use)
    words += f"; {found.unlabelled:,} images without, by {by}"
    if found.pseudo_label_acc is not None:
        words += f", {found.pseudo_label_acc:.1%} of hidden labels hit"
    return words


def progress_words(progress: Progress) -> str:
    """Say what a run is doing, such as ``square at 8/255: 120 of 343 images``."""
    if progress.stage == "training":
        return f"training, epoch {progress.epoch} of {progress.epochs}"
    if progress.stage == "pseudo-labels":
        return f"standard model for pseudo-labels, epoch {progress.epoch} of {progress.epochs}"
    if progress.stage == "diagnosis":
        return f"looking for masked gradients at {progress.threat}"
    done = f"{progress.images_done or 0:,} of {progress.images or 0:,} images"
    return f"{progress.attack} at {progress.threat}: {done}"


def record_words(record: AnyRecord) -> str:
    """Name a record of any kind in a few words."""
    if record.kind == "transfer":
        return f"transfer among {len(record.runs)} runs · {record.dataset_words} · {record.threat}"
    return spec_words(record.spec)


def accuracy_words(score: Score, attack: str = ROBUST) -> str:
    """Write the accuracies of a score: ``clean 97.5%  PGD-20 84.1%  AutoAttack 80.5%``.

    ``attack`` is what gave the robust accuracy of a union, which does not say so itself.
    """
    robust = score_words(score) if isinstance(score, RobustEval) else attack
    return "  ".join(
        f"{robust if title == ROBUST else title} {share:.1%}"
        for title, share in by_title(score).items()
        if share is not None
    )


def with_unions(record: RunRecord | EvalRecord) -> list[Score]:
    """Return all scores of a record, those with a robust accuracy first and its unions last."""
    scores = sorted(record.evaluations, key=lambda score: score.robust_acc is None)
    return [*scores, *record.unions]


def shown_score(record: AnyRecord) -> Score | None:
    """Return the score that stands for a record in a list; None where none is of robust accuracy.

    It is a run's under the threat of its training, and a given model's under all of its threats.
    """
    if not isinstance(record, RunRecord | EvalRecord):
        return None
    scores = [score for score in with_unions(record) if score.robust_acc is not None]
    if isinstance(record, EvalRecord):
        return scores[-1] if record.unions and scores else next(iter(scores), None)
    home = record.spec.train_threat
    return next((s for s in scores if s.threat == home), next(iter(scores), None))


def away_words(record: AnyRecord, score: Score | None) -> str:
    """Say under which threat a shown score is, where the name of its record does not."""
    if score is None or not isinstance(record, RunRecord | EvalRecord):
        return ""
    spec = record.spec
    named = [spec.train_threat] if isinstance(spec, RunSpec) else spec.eval_threats
    return "" if [score.threat] == [*named] else f" at {score.threat}"


def records_table(records: Iterable[AnyRecord]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the header and the rows of a table of records, each with its shown score."""
    rows = []
    for record in records:
        score = shown_score(record)
        shares = by_title(score).values()
        told = ("" if share is None else f"{share:.1%}" for share in shares)
        name = record_words(record) + away_words(record, score)
        rows.append((name, *told, record.status, record.run_id))
    return ("run", *titles(), "status", "run_id"), rows


def summarised(record: AnyRecord) -> Summary:
    """Return a record's name, identity and shown score, and a table of all its scores."""
    line = f"{record.run_id}: {record_words(record)}"
    if isinstance(record, TransferRecord):
        names = [f"{side.label}, seed {side.seed}" for side in record.runs]
        rows = [
            (name, *(f"{share:.1%}" for share in row))
            for name, row in zip(names, record.accuracy, strict=True)
        ]
        return Summary(line, ("crafted on", *names), rows)
    if isinstance(record, CorruptionRecord):
        rows = [
            (name, *(f"{share:.1%}" for share in shares))
            for name, shares in record.accuracy.items()
        ]
        line += f" · clean {record.clean_acc:.1%}  corrupted {record.mean_accuracy:.1%}"
        return Summary(line, ("corruption", *map(str, range(1, SEVERITIES + 1))), rows)
    if record.kind == "run" and record.error is not None:
        return Summary(f"{line} · failed: {record.error}")
    if not record.evaluations:
        return Summary(line)
    rows = [
        (
            score.checkpoint,
            str(score.threat),
            *("" if share is None else f"{share:.1%}" for share in by_title(score).values()),
            f"{score.n_examples:,}",
            ", ".join(score.checks) if isinstance(score, RobustEval) else "",
        )
        for score in with_unions(record)
    ]
    score = shown_score(record) or record.evaluations[0]
    line += away_words(record, score).replace(" at ", " · at ", 1)
    line += f" · {accuracy_words(score, score_words(record.evaluations[0]))}"
    return Summary(line, ("checkpoint", "threat", *titles(), "images", "raised"), rows)
