"""Records and outcomes made up for tests: no model is trained."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd

from regmix_bench.records import paths, store
from regmix_bench.records.schema import CorruptionRecord, EvalRecord, RobustEval, RunRecord
from regmix_bench.records.unions import union_of
from regmix_bench.specs import (
    CorruptionSpec,
    EvalSpec,
    MethodSpec,
    ModelSource,
    Recipe,
    RunSpec,
)
from regmix_bench.specs.corruptions import CORRUPTIONS, SEVERITIES
from regmix_bench.types import Checkpoint, ThreatModel


def make_spec(label: str = "trades", epsilon: str = "32/255", **changes: Any) -> RunSpec:
    threat = ThreatModel("Linf", epsilon)
    fields: dict[str, Any] = {
        "method": MethodSpec(
            name=label.partition("[")[0], version=1, params={"beta": 6.0}, label=label
        ),
        "dataset": "digits",
        "arch": "smallcnn",
        "train_threat": threat,
        "eval_threats": (threat,),
        "recipe": Recipe(epochs=50),
    }
    return RunSpec(**fields | changes)


def make_eval_spec(label: str = "net", epsilon: str = "32/255", **changes: Any) -> EvalSpec:
    fields: dict[str, Any] = {
        "model": ModelSource(kind="weights", name=f"{label}.pt", sha256="a1b2c3d4" * 8),
        "label": label,
        "dataset": "digits",
        "arch": "smallcnn",
        "eval_threats": (ThreatModel("Linf", epsilon),),
    }
    return EvalSpec(**fields | changes)


@overload
def make_record(spec: RunSpec, **changes: Any) -> RunRecord: ...
@overload
def make_record(spec: EvalSpec, **changes: Any) -> EvalRecord: ...
def make_record(spec: RunSpec | EvalSpec, **changes: Any) -> RunRecord | EvalRecord:
    fields: dict[str, Any] = {"run_id": spec.run_id, "status": "success", "spec": spec}
    kind = EvalRecord if isinstance(spec, EvalSpec) else RunRecord
    return kind(**fields | {"data_digest": "d" * 64} | changes)


def write_run(
    results: Path,
    spec: RunSpec | EvalSpec,
    *,
    n: int = 360,
    clean: int = 340,
    pgd: int = 310,
    autoattack: int = 300,
    fixed: int | Sequence[int] = 0,
    checkpoint: Checkpoint = "selected",
    outcomes: bool = True,
    scored: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Save a scored model with that many images right; returns the record's path.

    The first images are the right ones, so that two runs differ on as few images as their counts
    allow. ``fixed`` images are moved under AutoAttack, under each threat its number: wrong at the
    front, right further on.
    """
    threats = spec.eval_threats
    moved = [fixed] * len(threats) if isinstance(fixed, int) else fixed
    right = {name: np.arange(n) < k for name, k in (("clean", clean), ("pgd", pgd))}
    held = [(np.arange(n) >= by) & (np.arange(n) < autoattack + by) for by in moved]
    frames = [
        pd.DataFrame(
            {
                "norm": threat.norm,
                "epsilon": str(threat.epsilon),
                "index": np.arange(n),
                "label": np.arange(n) % 10,
                "clean_correct": right["clean"],
                "pgd_correct": right["pgd"],
                "broken_by": np.where(holds | ~right["clean"], "", "apgd-ce"),
            }
        )
        for threat, holds in zip(threats, held, strict=True)
    ]
    path, digest = paths.record_path(results, spec), None
    if outcomes:
        digest = store.write_parquet(paths.outcomes_path(path, checkpoint), pd.concat(frames))
    evaluations = tuple(
        RobustEval(
            threat=threat,
            checkpoint=checkpoint,
            n_examples=n,
            clean_acc=clean / n,
            pgd_acc=pgd / n,
            **{"screened_acc" if spec.scoring.screen else "autoattack_acc": autoattack / n},
            autoattack_version=spec.scoring.autoattack_version,
            autoattack_seed=0,
            autoattack_batch_size=500,
            outcomes_digest=digest,
        ).model_copy(update=scored or {})
        for threat in threats
    )
    union = union_of(evaluations, frames)
    fields = {"evaluations": evaluations, "unions": () if union is None else (union,)}
    return store.save_record(results, make_record(spec, **fields | changes))


def forget_outcomes(record: Path, checkpoint: Checkpoint = "selected") -> None:
    """Remove a record's outcomes, and what it says of them: it is one that never had any."""
    paths.outcomes_path(record, checkpoint).unlink()
    content = json.loads(record.read_text())
    for evaluation in content["evaluations"]:
        evaluation["outcomes_digest"] = None
    record.write_text(json.dumps(content))


def unmeasured() -> dict[str, str]:
    """The environment without coverage: for a process that is limited, or interrupted anywhere."""
    return {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}


def write_corrupted(
    results: Path,
    label: str = "net",
    clean: int = 90,
    fixed: int = 0,
    sha256: str = "a1b2c3d4" * 8,
    source: ModelSource | None = None,
    **changes: Any,
) -> Path:
    """Save a model's test on corrupted images, of which each severity costs it 2 in 100 more.

    The first of the images are the right ones, after ``fixed`` that are wrong under corruptions.
    """
    fields = {"dataset": "cifar10", "arch": "resnet18", "corruptions": "made"} | changes
    source = source or ModelSource(kind="weights", name=f"{label}.pt", sha256=sha256)
    spec = CorruptionSpec(model=source, label=label, **fields)
    shares = {
        name: tuple((clean - place - 2 * severity) / 100 for severity in range(1, SEVERITIES + 1))
        for place, name in enumerate(CORRUPTIONS)
    }
    index = np.arange(100)
    cells = [("", 0, 0, clean / 100)]
    cells += [(c, s, fixed, share) for c, all_ in shares.items() for s, share in enumerate(all_, 1)]
    frames = [
        pd.DataFrame(
            {
                **{"corruption": name, "severity": severity, "index": index, "label": index % 10},
                **{"correct": (index >= by) & (index < round(100 * share) + by), "pred": 0},
                "margin": 0.0,
            }
        )
        for name, severity, by, share in cells
    ]
    path = paths.corruption_path(results, spec)
    digest = store.write_parquet(paths.own_outcomes_path(path), pd.concat(frames))
    record = CorruptionRecord(
        run_id=spec.run_id,
        spec=spec,
        data_digest="d" * 64,
        n_examples=100,
        num_classes=10,
        clean_acc=clean / 100,
        accuracy=shares,
        outcomes_digest=digest,
    )
    return store.save_record(results, record)
