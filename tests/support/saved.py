"""A recorded run whose weights are on disk, without training it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from regmix_bench.models import build_model
from regmix_bench.models.weights import save_checkpoint
from regmix_bench.records import paths
from regmix_bench.records.schema import CheckpointFile
from support.synthetic import make_spec, write_run


def make_model(
    arch: str = "smallcnn", shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10
) -> nn.Module:
    """A model whose batch norms, and so its modes, differ from a fresh one's."""
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        model = build_model(arch, shape, classes, [0.3] * shape[0], [0.4] * shape[0])
        model.train()
        model(torch.rand(64, *shape))
    return model.eval()


def save_run(
    results: Path,
    model: nn.Module,
    shape: tuple[int, int, int] = (1, 8, 8),
    *,
    scored: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Record a run of which ``model`` is the selected and the last checkpoint.

    Where ``scored`` replaces fields of its scores, the outcomes of images are not kept.
    """
    spec = make_spec(**changes)
    folder = paths.artifacts_dir(results, spec.run_id)
    files = {}
    for checkpoint, epoch in (("selected", 7), ("last", 50)):
        name = f"{checkpoint}-{epoch:04}.safetensors"
        digest = save_checkpoint(folder / name, model, spec.arch, shape, 10)
        files[checkpoint] = CheckpointFile(epoch=epoch, file=name, sha256=digest)
    kept = {"selected_epoch": 7, "n_test": 360, "scored": scored, "outcomes": scored is None}
    return write_run(results, spec, checkpoints=files, **kept)
