"""The comparison of two reports finds what is planted, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import compare_reports
from support.compare_reports import compare

TABLE = "label,seed,note,accuracy\ntrades,0,,0.50\nmart,0,a,0.40\nmart,1,b,0.30\n"


@pytest.fixture
def folders(tmp_path):
    """Write two folders, each given as files by name, and return them."""

    def write(old, new):
        for side, files in (("old", old), ("new", new)):
            (tmp_path / side).mkdir()
            for name, text in files.items():
                (tmp_path / side / name).write_text(text)
        return tmp_path / "old", tmp_path / "new"

    return write


def differences(folders, changed, **options):
    return compare(*folders({"a.csv": TABLE}, {"a.csv": changed}), **options).differences


@pytest.mark.parametrize(
    "same",
    [
        TABLE,
        TABLE.replace("0.50", "0.5").replace("0.40", "4e-1"),
        "\n".join([TABLE.split()[0], *reversed(TABLE.split()[1:])]),
        "\n".join(",".join(reversed(line.split(","))) for line in TABLE.split()),
        "\n".join(f"{line},x" for line in TABLE.split()),
    ],
    ids=["equal", "numbers", "order of rows", "order of columns", "new column"],
)
def test_what_means_the_same_is_no_difference(folders, same):
    assert differences(folders, same) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (TABLE.replace("0.30", "0.3000000001"), "accuracy 0.30 is now 0.3000000001"),
        (TABLE.replace("trades,0", "trades,1"), "seed 0 is now 1"),
        (TABLE.replace("1,b,", "1,,"), "note b is now "),
        (TABLE.replace("mart,1,b", "Mart,1,b"), "label mart is now Mart"),
        (TABLE.replace("0.30", "nan"), "accuracy 0.30 is now nan"),
        (TABLE.replace("mart,1,b,0.30\n", ""), "row is gone: mart,1,b,0.30"),
        (TABLE + "mart,1,b,0.30\n", "row is new: mart,1,b,0.30"),
        (TABLE.replace("accuracy", "share"), "column accuracy is gone"),
        ("", "column label is gone"),
    ],
)
def test_each_planted_difference_is_found(folders, changed, said):
    found = differences(folders, changed)
    assert any(line.startswith(f"a.csv: {said}") for line in found)


def test_a_renamed_column_is_matched_by_the_map(folders):
    changed = TABLE.replace("accuracy", "share")
    assert differences(folders, changed, renamed={"accuracy": "share"}) == []


def test_a_lost_file_is_a_difference_and_a_new_one_is_listed(folders):
    found = compare(*folders({"a.csv": TABLE, "b.csv": TABLE}, {"a.csv": TABLE, "c.csv": TABLE}))
    assert found.differences == ["b.csv: missing"]
    assert found.gains == ["c.csv: new"]


def test_a_column_of_digests_is_text(folders):
    old, new = ({"a.csv": f"digest\n{digest}\nab\n"} for digest in ("0100", "100"))
    assert compare(*folders(old, new)).differences


@pytest.mark.parametrize(("changed", "status"), [(TABLE, 0), (TABLE.replace("mart", "x"), 1)])
def test_the_script_says_by_its_status_whether_reports_differ(folders, changed, status):
    pair = folders({"a.csv": TABLE}, {"a.csv": changed})
    script = Path(compare_reports.__file__)
    done = subprocess.run([sys.executable, script, *pair], capture_output=True, timeout=120)
    assert done.returncode == status
