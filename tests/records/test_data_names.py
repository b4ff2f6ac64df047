from __future__ import annotations

from pathlib import Path

from support.synthetic import make_eval_spec, make_record, make_spec

from regmix_bench.records.data_names import with_data_told_apart
from regmix_bench.records.schema import AnyRecord
from regmix_bench.specs import DataNames


def named(records: dict[str, AnyRecord]) -> list[str]:
    """What a report calls the data of records that lie in a folder."""
    found = with_data_told_apart({Path(name): record for name, record in records.items()})
    assert [str(path) for path in found] == list(records)
    return [record.spec.data_words for record in found.values() if record.kind == "run"] + [
        record.spec.dataset_words for record in found.values() if record.kind == "evaluation"
    ]


def test_unlike_data_that_are_called_alike_get_digits_of_their_content() -> None:
    scans = DataNames(title="scans")
    first = {"dataset": "npz-aaaa00000000", "data_names": scans}
    other = {"dataset": "npz-bbbb00000000", "data_names": scans}
    records: dict[str, AnyRecord] = {
        "digits": make_record(make_spec()),
        "first": make_record(make_spec(**first)),
        "again": make_record(make_spec(seed=1, **first)),
        "scored": make_record(make_eval_spec(**first)),
    }
    assert named(records) == ["digits", "scans", "scans", "scans"]
    records["other"] = make_record(make_spec(**other))
    assert named(records) == ["digits", *["scans (aaaa)"] * 2, "scans (bbbb)", "scans (aaaa)"]
    assert all(record.run_id == record.spec.run_id for record in records.values())  # type: ignore[union-attr]
