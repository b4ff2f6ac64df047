"""The part of ``evaluate`` that scores on corrupted images, where nothing is attacked."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from regmix_bench.api.asked import AskedData
    from regmix_bench.data import EvalData
    from regmix_bench.loading.model import LoadedModel
    from regmix_bench.records.schema import CorruptionRecord
    from regmix_bench.runs.observers import Observer
    from regmix_bench.specs.corruptions import CorruptionSource


def refuse_attacks(options: dict[str, object]) -> None:
    """Raise :class:`UserError` where an option of attacks, given by its name, is set."""
    if given := [name for name, value in options.items() if value not in (None, False, (), {})]:
        raise UserError(
            f"--corruptions is scored without an attack: leave out {', '.join(given)}, and ask for"
            " attacks in a call of their own"
        )


def score_corrupted(
    loaded: "LoadedModel",
    corruptions: "CorruptionSource",
    label: str | None,
    asked: "AskedData",
    test: "EvalData",
    results: Path | None,
    device: "torch.device",
    data_dir: str | Path | None,
    force: bool,
    observer: "Observer",
    notes: Iterable[str],
) -> "tuple[CorruptionRecord, pd.DataFrame]":
    """Score a model on corrupted images, and record it in ``results`` if there is one.

    Raises :class:`UserError` as :func:`~regmix_bench.data.corruptions.corrupted` does.
    """
    from regmix_bench.data.corruptions import corrupted
    from regmix_bench.evaluation.corruptions import evaluate_corruptions
    from regmix_bench.records import paths, store
    from regmix_bench.records.given import named_before
    from regmix_bench.specs import CorruptionSpec

    spec = CorruptionSpec(
        model=loaded.source,
        label=label or loaded.label,
        dataset=asked.name,
        eval_examples=asked.n,
        arch=loaded.arch,
        components=tuple(filter(None, (asked.component, loaded.component))),
        data_names=asked.names,
        corruptions=corruptions,
    )
    folder = None if data_dir is None else Path(data_dir)
    images = corrupted(corruptions, asked.name, test, spec.seed, folder)
    if results is not None:
        if label is None:
            spec = named_before(spec, results)
        store.check_writable(paths.corruption_path(results, spec).parent)
    observer.on_start(spec)
    for note in notes:
        observer.on_note(spec, note)
    return evaluate_corruptions(
        loaded.model,
        spec,
        test,
        images,
        results,
        device,
        force=force,
        on_progress=partial(observer.on_progress, spec),
        say=partial(observer.on_note, spec),
    )
