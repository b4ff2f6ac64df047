"""A trained model in one call, from this machine or from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from regmix_bench.loading.folders import WEIGHTS, read_config
from regmix_bench.loading.hub import HUB, fetch, parse_address
from regmix_bench.loading.runs import recorded_weights
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.find import resolve_run
from regmix_bench.records.paths import results_of
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.store import load_run
from regmix_bench.system.signatures import typed


@typed
def load_model(
    record: RunRecord | str | Path, results: str | Path | None = None
) -> ImageClassifier:
    """Load the selected checkpoint of a run, in evaluation mode on the CPU, for images in [0, 1].

    ``record`` is a record's path, a run_id or the start of one, a record that was loaded, or
    ``hf:ORG/NAME`` or ``hf:ORG/NAME@REVISION`` on the Hugging Face hub, of which no code and no
    pickle is read. Else the weights lie in the ``results`` folder. Raises :class:`UserError` for an
    unknown run or repository and where the weights are not there or are not the recorded ones.
    """
    if isinstance(record, str) and record.startswith(HUB):
        folder, _ = fetch(parse_address(record))
        return load_checkpoint(folder / WEIGHTS, read_config(folder).weights_sha256)
    root = Path("results" if results is None else results)
    if not isinstance(record, RunRecord):
        path = resolve_run(str(record), root)
        if results is None or path != Path(record):
            root = results_of(path)
        record = load_run(path)
    file, path = recorded_weights(record, root, "selected")
    return load_checkpoint(path, file.sha256)
