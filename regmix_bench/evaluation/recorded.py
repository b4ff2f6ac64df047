"""The images that a recorded model was scored on."""

from __future__ import annotations

from pathlib import Path

import torch

from regmix_bench.data import EvalData, prepare_eval
from regmix_bench.data.tensors import with_classes
from regmix_bench.records.schema import CorruptionRecord, EvalRecord, RunRecord


def recorded_images(
    record: RunRecord | EvalRecord | CorruptionRecord,
    device: torch.device,
    data_dir: str | Path | None,
    owner: str,
) -> EvalData:
    """Load the test images of ``record`` onto ``device``; errors call it ``owner``.

    Raises :class:`UserError` for data that is not here, or not the recorded one.
    """
    spec, folder = record.spec, None if data_dir is None else Path(data_dir)
    component = spec.component("dataset")
    test = prepare_eval(spec.dataset, spec.eval_examples, device, folder, component=component)
    test.require(record.data_digest, spec.dataset, owner)
    return with_classes(test, record.num_classes or test.num_classes)
