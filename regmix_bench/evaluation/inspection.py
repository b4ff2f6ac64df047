"""Views of runs that were scored before there were any, or whose file has been lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from regmix_bench.errors import UserError
from regmix_bench.evaluation.landscape import MEASURED, measure_views, view_passes
from regmix_bench.evaluation.recorded import recorded_images
from regmix_bench.loading.runs import find_checkpoint
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.predictions import PassCounter
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.locks import run_lock
from regmix_bench.records.paths import results_of, views_path
from regmix_bench.records.progress import Part, ProgressMeter
from regmix_bench.records.store import load_run, write_json
from regmix_bench.records.views import Views, read_views, write_views
from regmix_bench.system.machine import Device, arithmetic, choose_device


def measure_record(
    record: str | Path,
    *,
    force: bool = False,
    data_dir: str | Path | None = None,
    device: Device = "auto",
    say: Callable[[str], None] = lambda line: None,
    meter: ProgressMeter | None = None,
) -> Views:
    """Look at a run, given by its record's path, as it would have been when it was scored.

    Writes the file beside the record and its digest into it; no other number changes. Views that
    are there are returned as they are, with nothing written, unless ``force`` is given. Raises
    :class:`UserError`, with nothing written, for a record of another kind, for weights that are not
    on this machine or not the recorded ones, and for data that is not the record's. ``say`` gets a
    line where a process that died had begun to write; ``meter`` counts the passes.
    """
    path = Path(record).absolute()
    if not force and (recorded := _recorded_views(path)) is not None:
        return recorded
    found, file, weights = find_checkpoint(str(path), results_of(path), "selected")
    model = load_checkpoint(weights, file.sha256)
    spec, target = found.spec, choose_device(device)
    test = recorded_images(found, target, data_dir, str(record))
    looked_at = ChunkedModel(model.to(target), Chunks(spec.scoring.forward_batch_size))
    threat, meter = spec.eval_threats[0], meter or ProgressMeter(lambda progress: None)
    part = Part("selected", str(threat), "views")
    meter.plan({part: view_passes(len(test.y), spec.scoring)})
    meter.begin(part, min(MEASURED, len(test.y)))
    with arithmetic("fp32"), PassCounter(looked_at, meter.passed):
        views = measure_views(looked_at, test, threat, spec.scoring)
    with run_lock(results_of(path), found.run_id, say):
        digest = write_views(views_path(path), views)
        # Where it lies, which need not be where a new record of it would be written.
        write_json(path, found.model_copy(update={"views_digest": digest}).model_dump(mode="json"))
    return views


def _recorded_views(path: Path) -> Views | None:
    """Return the views of a record, if their file is there and whole."""
    digest = load_run(path).views_digest
    with contextlib.suppress(UserError):
        return read_views(views_path(path), digest) if digest is not None else None
    return None
