"""Tables of Parquet: of so many rows, of the named types, or one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regmix_bench.errors import UserError
from regmix_bench.records.outputs import OUTPUT_EXAMPLES, read_outputs
from regmix_bench.records.parquet import read_columns

NUMBERS = {"a": pa.int64(), "b": pa.string()}


def test_columns_are_read_as_their_types(tmp_path: Path) -> None:
    words = pa.array(["x", "y"]).dictionary_encode()
    table = pa.table({"b": words, "a": pa.array([1, 2], pa.int8())})
    pq.write_table(table.replace_schema_metadata({"pandas": "{"}), tmp_path / "t")
    found = read_columns(tmp_path / "t", NUMBERS, 2)
    assert found.schema == pa.schema(NUMBERS)
    assert found.to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": [], "b": []}, "it has 0 rows, where 1 to 3 belong"),
        ({"a": [1] * 4, "b": ["x"] * 4}, "it has 4 rows, where 1 to 3 belong"),
        ({"a": [1]}, "b"),
        ({"a": [1.5], "b": ["x"]}, "1.5"),
        ({"a": [[1]], "b": ["x"]}, "list"),
        ({"a": [{"c": 1}], "b": ["x"]}, "struct"),
        ({"a": [1, None], "b": ["x", "y"]}, "its a is missing in some rows"),
        ({"a": [1], "b": pa.array([b"\xff"]).view(pa.string())}, "UTF8"),
    ],
)
def test_what_is_no_such_table_is_refused(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "t")
    with pytest.raises(ValueError, match=said) as caught:
        read_columns(tmp_path / "t", NUMBERS, 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(ValueError, match=r".") as caught:
        read_columns(tmp_path / "t", NUMBERS, 3)
    assert "\n" not in str(caught.value)


def test_millions_of_rows_are_refused_before_they_are_read(tmp_path: Path) -> None:
    part = pa.table({"a": pa.repeat(1, 2_000_000), "b": pa.repeat("x", 2_000_000)})
    with pq.ParquetWriter(tmp_path / "t", part.schema, compression="zstd") as writer:
        for _ in range(3):
            writer.write_table(part)
    before = pa.total_allocated_bytes()
    with pytest.raises(ValueError, match="it has 6,000,000 rows, where 1 to 1,000 belong"):
        read_columns(tmp_path / "t", NUMBERS, 1000)
    assert pa.total_allocated_bytes() - before < 2**20


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"probs_adv": [[0.5, 0.5], [1.0]]}, "its lists are not of one length"),
        ({"probs_adv": [[0.5], [0.5]]}, "clean and attacked outputs are of different lengths"),
        ({"probs_adv": [[], []], "probs_clean": [[], []]}, "is of list<element: null>, and not of"),
        ({"probs_clean": [[0.5, float("nan")], [0.5, 0.5]]}, "is not a finite number"),
        ({"probs_clean": [0.5, 0.5]}, "is of double, and not of lists"),
        ({"label": [0, 2]}, "it has labels that are not below 2"),
        ({"label": [0, -1]}, "it has labels that are not below 2"),
        ({"label": [[0], [1]]}, "list"),
    ],
)
def test_outputs_of_another_form_are_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    half = [[0.5, 0.5], [0.25, 0.75]]
    good = {"label": [0, 1], "probs_clean": half, "probs_adv": half}
    path = tmp_path / "x.outputs.parquet"
    pq.write_table(pa.table(good), path)
    assert read_outputs(path, "probs").clean.tolist() == half
    pq.write_table(pa.table(good | changes), path)
    with pytest.raises(UserError, match=f"does not hold recorded outputs: .*{said}"):
        read_outputs(path, "probs")


def test_outputs_are_of_a_sample(tmp_path: Path) -> None:
    n = OUTPUT_EXAMPLES + 1
    pq.write_table(pa.table({"label": [0] * n, "probs_clean": [[1.0]] * n}), tmp_path / "x")
    with pytest.raises(UserError, match="it has 501 rows, where 1 to 500 belong"):
        read_outputs(tmp_path / "x", "probs")
