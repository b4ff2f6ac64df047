"""Facts of a run, in names and texts."""

from __future__ import annotations

import json

from regmix_bench.analysis.cohorts import Run
from regmix_bench.analysis.words import (
    checkpoint_words,
    recipe_words,
    scoring_words,
    threat_words,
    throughput_words,
)
from regmix_bench.methods.configured import all_params
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.throughput import Throughput
from regmix_bench.records.tricks import trained_with
from regmix_bench.records.words import labels_words
from regmix_bench.reporting.formats.cells import fixed

Facts = tuple[tuple[str, str], ...]


def specification_facts(run: Run) -> Facts:
    """Return what decided the numbers."""
    spec, record = run.spec, run.record
    sizes = (
        ("training", record.n_train, spec.train_examples),
        ("validation", record.n_validation, None),
        ("test", record.n_test, spec.eval_examples),
    )
    images = ", ".join(
        f"{n:,} {part}{' (a sample)' if sample else ''}" for part, n, sample in sizes if n
    )
    beside = " and ".join(name for name in record.checkpoints if name.startswith("raw-"))
    rows = {
        "Method": f"{spec.method.name}, version {spec.method.version}",
        **{f"· {key}": _words(value) for key, value in all_params(spec.method).items()},
        "Dataset": spec.dataset_words,
        "Images": images,
        "Labels": labels_words(record),
        "Architecture": spec.arch_words
        + (f", {record.n_parameters:,} parameters" if record.n_parameters else ""),
        "Trained under": threat_words(spec.train_threat),
        "Attacked under": ", ".join(map(threat_words, spec.eval_threats)),
        "Attacked by PGD alone under": ", ".join(map(threat_words, spec.pgd_threats)),
        "Recipe": recipe_words(spec.recipe),
        "Tricks": str(trained_with(record)),
        "Weights": f"of an average; those beside it are called {beside}" if beside else "",
        "Checkpoint": checkpoint_words("selected", spec.recipe)
        + (f", epoch {record.selected_epoch}" if record.selected_epoch else ""),
        "Scoring": scoring_words(spec.scoring),
        "Seed": str(spec.seed),
    }
    return tuple((name, text) for name, text in rows.items() if text)


def cost_facts(record: RunRecord) -> Facts:
    """Return what training and scoring took, and at what rates the training went."""
    rows: dict[str, str] = {}
    for name, took in (
        ("Training cost", record.training_cost),
        ("Scoring cost", record.scoring_cost),
    ):
        if took.seconds:
            rows[name] = (
                f"{fixed(took.seconds / 60, 2)} min, {took.forward_images:,} images forwards,"
                f" {took.backward_images:,} backwards"
            )
        if took.preparation_seconds:
            rows[f"{name} before that"] = (
                f"{fixed(took.compile_seconds, 1)} s of compilation,"
                f" {fixed(took.capture_seconds, 1)} s of capture"
            )
    if (throughput := Throughput.of(record.history)) is not None:
        rows["Throughput of training"] = throughput_words(throughput)
        if throughput.peak_memory is not None:
            rows["Peak memory of training"] = f"{fixed(throughput.peak_memory / 2**30, 2)} GiB"
        if throughput.energy is not None:
            rows["Energy of training"] = (
                f"{fixed(throughput.energy / 3600, 2)} Wh, of the whole device"
            )
    return tuple((name, text) for name, text in rows.items() if text)


def environment_facts(record: RunRecord) -> Facts:
    """Return the machine and the libraries, as recorded."""
    return tuple((key, _words(value)) for key, value in record.environment.items())


def digest_facts(record: RunRecord) -> Facts:
    """Return the SHA-256 of what went in and came out, as far as it was recorded."""
    rows: dict[str, str | None] = {"Data": record.data_digest}
    for name, file in record.checkpoints.items():
        rows[f"Weights, {name} checkpoint (epoch {file.epoch})"] = file.sha256
    for score in record.evaluations:
        rows[f"Outcomes per image, {score.checkpoint} checkpoint"] = score.outcomes_digest
        rows[f"Adversarial images, {score.checkpoint} checkpoint"] = score.adversarial_digest
    return tuple((name, digest) for name, digest in rows.items() if digest)


def _words(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
