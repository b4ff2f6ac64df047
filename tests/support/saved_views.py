"""Views made up for tests: no model is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regmix_bench.records import paths, store
from regmix_bench.records.views import Views, write_views
from regmix_bench.types import ThreatModel


def make_views(
    threat: ThreatModel | None = None,
    *,
    seed: int = 0,
    shape: tuple[int, int, int] = (1, 8, 8),
    bend: float = 1.0,
    shown: int = 8,
) -> Views:
    """Loss rises by ``bend``·a² + a along the adversarial direction; curvature is near ``bend``."""
    threat = threat or ThreatModel("Linf", "32/255")
    generator = np.random.default_rng(seed)
    labels = np.arange(shown)
    signs = generator.choice([-1.0, 1.0], size=(shown, *shape))
    steps = np.linspace(-1, 1, 5)
    rise = bend * steps[:, None] ** 2 + steps[:, None] + 0 * steps
    return Views(
        threat=threat,
        index=labels * 3,
        label=labels,
        clean_pred=labels,
        adv_pred=np.where(labels % 2, labels, 9),
        image=generator.uniform(size=(shown, *shape)).astype(np.float16),
        perturbation=(signs * float(threat.epsilon)).astype(np.float16),
        loss=(np.arange(shown)[:, None, None] + rise).astype(np.float32),
        curvature=(bend + 0.1 * generator.normal(size=40)).astype(np.float32),
        gradient_norm=np.full(40, 0.5, np.float32),
    )


def save_views(record_file: Path, views: Views) -> Path:
    """Write views beside a run's record, and their digest into it; returns the file's path."""
    path = paths.views_path(record_file)
    digest = write_views(path, views)
    record = store.load_run(record_file).model_copy(update={"views_digest": digest})
    store.write_json(record_file, record.model_dump(mode="json"))
    return path
