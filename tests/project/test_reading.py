"""Files from outside are opened by `system/reading.py` and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Calls that open a path, whatever lies there.
_OPENS = {"open", "read_text", "read_bytes", "safe_open", "load_file", "copyfile", "fromfile"}
#: Calls that read a path or a stream, and so want one of ours.
_READS = {
    *("np.load", "torch.load", "torch.jit.load", "torch.export.load", "Image.open"),
    *("pd.read_parquet", "pd.read_csv", "ParquetFile", "pq.ParquetFile", "zipfile.ZipFile"),
}
_OURS = {"open_regular", "open_archive", "_own_archive", "io.BytesIO"}

#: What reads nothing from outside: files of this package and of the kernel.
EXCEPT = {
    "grid/suite_files.py": ["read_text"],  # a packaged suite
    "records/running.py": ["open"],  # a file that is made, with a name that nothing has
    "reporting/site/__init__.py": ["read_bytes"],  # of this package
    "reporting/site/live.py": ["read_bytes"],  # of this package
    "system/machine.py": ["read_text"],  # /proc/cpuinfo
    "cli/program.py": ["open"],  # /dev/null, to write
    "system/folders.py": ["open"],  # a folder, to lock
    "system/surroundings.py": ["open", "open"],  # /dev/null
    "runs/csv_logger.py": ["open"],  # to append, where nothing else has the name
    "testing/loggers.py": ["open"],  # of a logger
    "api/tune.py": ["open"],  # of a study
    "tuning/journal.py": ["open"],  # to mend what nothing else has the name of
}


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def breaches(source: str) -> Iterator[str]:
    """The calls of a module that open files past `system/reading.py`."""
    tree = ast.parse(source)
    guarded = {
        id(inner)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(n, ast.Call) and called(n) in _OURS for n in ast.walk(function))
        for inner in ast.walk(function)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = called(node).rpartition(".")[2]
        if called(node) in _READS:
            if id(node) not in guarded:
                yield called(node)
        elif name in _OPENS and not (
            any(keyword.arg == "opener" for keyword in node.keywords)
            or called(node) in ("read_text", "read_bytes")
            or (called(node) == "archive.open")
        ):
            yield name


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(p):\n    return open(p).read()", ["open"]),
        ("def f(p):\n    return p.read_text()", ["read_text"]),
        ("def f(p):\n    return np.load(p)", ["np.load"]),
        ("def f(p):\n    with open_regular(p) as s:\n        return np.load(s)", []),
        ("def f(p):\n    return read_text(p)", []),
    ],
)
def test_the_guard_finds_what_it_is_for(source: str, found: list[str]) -> None:
    assert list(breaches(source)) == found


def test_files_are_opened_in_one_place() -> None:
    found = {
        path.relative_to(ROOT / folder).as_posix(): list(breaches(path.read_text()))
        for folder in ("regmix_bench", "baselines")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "reading.py"
    }
    assert {name: calls for name, calls in found.items() if calls} == EXCEPT
