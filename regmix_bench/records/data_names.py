"""Names of users' data sets, where records of several studies lie in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from regmix_bench.records.schema import AnyRecord, TransferRecord
from regmix_bench.specs import AnySpec


def with_data_told_apart(records: Mapping[Path, AnyRecord]) -> dict[Path, AnyRecord]:
    """Return records whose data of paths have unlike names where they are unlike.

    Those that are called alike get digits of their content behind their name.
    """
    called: dict[str, set[str]] = {}
    for record in records.values():
        data = _data_of(record)
        called.setdefault(data.dataset_words, set()).add(data.dataset)
    if all(len(datasets) == 1 for datasets in called.values()):
        return dict(records)
    return {
        path: _renamed(record) if len(called[_data_of(record).dataset_words]) > 1 else record
        for path, record in records.items()
    }


def _data_of(record: AnyRecord) -> AnySpec | TransferRecord:
    return record if isinstance(record, TransferRecord) else record.spec


def _renamed(record: AnyRecord) -> AnyRecord:
    data = _data_of(record)
    if data.data_names is None:
        return record
    update = {"data_names": data.data_names.told_apart(data.dataset)}
    if isinstance(record, TransferRecord):
        return record.model_copy(update=update)
    return record.model_copy(update={"spec": record.spec.model_copy(update=update)})
