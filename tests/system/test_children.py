from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

#: The folders that are found, of this process and of one that it starts.
PROGRAM = """
import os, subprocess, sys
from regmix_bench.system.children import forget_working_folder
forget_working_folder()
print(*sys.path, sep="\\n", flush=True)
subprocess.run([sys.executable, "-c", "import sys; print(*sys.path, sep='\\\\n')"])
"""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], False),
        (["", "{lib}"], False),
        ([".", "{lib}"], False),
        (["{lib}", "./"], False),
        (["{here}", "{lib}"], True),  # it was named
    ],
)
def test_the_working_folder_is_not_on_the_path(
    tmp_path: Path, given: Sequence[str], found: bool
) -> None:
    here, lib = tmp_path / "here", tmp_path / "lib"
    here.mkdir()
    path = os.pathsep.join(given).format(here=here, lib=lib)
    environment = os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": ""}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert (str(here) in told) is found
    assert "" not in told
    assert told.count(str(lib)) == (2 if given else 0)


def test_a_working_folder_that_is_gone_is_no_obstacle(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = "import os; os.rmdir(os.getcwd()); from regmix_bench.cli import main; main()"
    told = subprocess.run(
        [sys.executable, "-c", program, "--version"], cwd=gone, capture_output=True, text=True
    )
    assert (told.returncode, told.stderr) == (0, "") and told.stdout.startswith("regmix-bench ")
