"""``audit``: do the saved adversarial images bear out the record?"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regmix_bench.api.options import MODEL, DataDir, DeviceName, Option, Results, RunName, verb

if TYPE_CHECKING:
    from regmix_bench.evaluation.findings import Audit
    from regmix_bench.runs.observers import Observer
    from regmix_bench.specs import AnySpec


@verb
def audit(
    run: RunName,
    *,
    model: Annotated[
        str | None,
        Option("Where a model that no run of ours trained lies now, as for eval.", MODEL),
    ] = None,
    weights: Annotated[
        str | Path | None, Option("What fills a module:callable, as for eval.", MODEL)
    ] = None,
    results: Results = "results",
    data_dir: DataDir = None,
    device: DeviceName = "auto",
    observer: "Observer | None" = None,
) -> "Audit":
    """Recompute a record from its saved adversarial images and its weights; exit 1 if it differs.

    The images are there where the model was scored with ``save_adversarial``, by the run itself or
    by an evaluation of its weights, which is found. Scores without them,
    costs and the like follow from weights, data and history; what follows from nothing is named,
    and exit 1 too. A transfer is recomputed from its outcomes, and
    corrupted images are made again. Raises :class:`UserError` for the
    record of a model without saved images, for data that is not the record's, and for a file
    that is missing or unreadable.
    """
    from regmix_bench.evaluation.audit import audit_record
    from regmix_bench.records.find import resolve_run, with_images
    from regmix_bench.records.progress import ProgressMeter
    from regmix_bench.runs.observers import listener

    heard = listener(observer)

    def begin(spec: "AnySpec") -> ProgressMeter:
        heard.on_start(spec)
        return ProgressMeter(partial(heard.on_progress, spec))

    return audit_record(
        with_images(resolve_run(str(run), Path(results)), Path(results)),
        model=model,
        weights=None if weights is None else Path(weights),
        data_dir=data_dir,
        device=device,
        begin=begin,
    )
