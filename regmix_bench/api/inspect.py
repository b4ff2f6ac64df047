"""``inspect``: look at recorded runs, for the figures of a report."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.api.options import DataDir, DeviceName, Force, Results, RunNames, verb

if TYPE_CHECKING:
    from regmix_bench.records.views import Views
    from regmix_bench.runs.observers import Observer


@verb
def inspect(
    runs: RunNames,
    *,
    results: Results = "results",
    force: Force = False,
    data_dir: DataDir = None,
    device: DeviceName = "auto",
    observer: "Observer | None" = None,
) -> "dict[Path, Views]":
    """Measure example images, loss surfaces and curvature of recorded runs, from their weights.

    A run does so itself when it is scored; this is for those that were scored earlier. Views that
    are recorded are returned as they are, unless ``force`` discards them. Returns the views by the
    path of the record. Raises :class:`UserError` for a run that is unknown, and for
    weights or data that are not here or not the recorded ones.
    """
    from regmix_bench.evaluation.inspection import measure_record
    from regmix_bench.records.find import resolve_run
    from regmix_bench.records.progress import ProgressMeter
    from regmix_bench.records.store import load_run
    from regmix_bench.runs.observers import Ending, listener

    heard, found = listener(observer), {}
    paths = [resolve_run(str(run), Path(results)) for run in runs]
    heard.on_plan({}, len(paths))
    for path in paths:
        spec = load_run(path).spec
        heard.on_start(spec)
        found[path] = measure_record(
            path,
            force=force,
            data_dir=data_dir,
            device=device,
            say=partial(heard.on_note, spec),
            meter=ProgressMeter(partial(heard.on_progress, spec)),
        )
        heard.on_end(Ending(spec))
    return found
