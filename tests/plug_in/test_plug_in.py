"""One package of a stranger's, installed from its wheel, brings one of each kind.

Everything goes through the command line in processes of its own, whose working folder and module
path know nothing of the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pandas as pd
import pytest

PACKAGE = Path(__file__).parent / "package"
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]


def build_wheel(folder: Path) -> Path:
    """Pack what a build backend would; none has to be installed, and no network is asked."""
    stem = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}"
    entries = "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
        for group, names in PROJECT["entry-points"].items()
    )
    metadata = f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n"
    members = {
        "robust_stripes.py": (PACKAGE / "robust_stripes.py").read_text(),
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}.dist-info/entry_points.txt": entries,
    }
    members[f"{stem}.dist-info/RECORD"] = "".join(f"{name},,\n" for name in members)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder beside ``site``, in which the package is installed."""
    home = tmp_path_factory.mktemp("home")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    subprocess.run([*pip, "--target", home / "site", wheel], check=True, timeout=120)
    return home


def command(
    home: Path,
    *arguments: object,
    site: bool = True,
    program: tuple[str, ...] = ("-m", "regmix_bench.cli"),
) -> subprocess.CompletedProcess[str]:
    path = {"PYTHONPATH": os.fspath(home / "site")} if site else {}
    return subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        cwd=home,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        timeout=120,
    )


#: Several commands in one process, to load torch once.
SEVERAL = """
import sys
from regmix_bench.cli import main
for line in sys.argv[1:]:
    sys.argv = ["regmix-bench", *line.split()]
    try:
        main()
    except SystemExit as ended:
        print(f"{line}: exit {ended.code}")
"""


def done(home: Path, *arguments: object) -> str:
    finished = command(home, *arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def refused(home: Path, *arguments: object) -> str:
    """What the command says without the package; it is one line."""
    finished = command(home, *arguments, site=False)
    assert finished.returncode == 2, finished.stdout + finished.stderr
    (line,) = finished.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def record(home: Path) -> Path:
    """The record of a run that uses five of the six."""
    done(
        *(home, "run", "--methods", "nudge[scale=0.5]", "--datasets", "stripes[size=30]"),
        *("--archs", "one-layer[width=8]", "--eps", "32/255", "--attacks", "shake[draws=2],fgsm"),
        *("--device", "cpu", "--log", "tally,csv"),
    )
    (path,) = home.glob("results/stripes/one-layer/*.json")
    return path


KINDS = {
    "methods": "nudge",
    "datasets": "stripes",
    "archs": "one-layer",
    "attacks": "shake",
    "figures": "survivors",
    "loggers": "tally",
}


def test_all_six_are_listed_with_their_origin_and_keep_their_contracts(
    home: Path, record: Path
) -> None:
    lists = [f"list {what}" for what in KINDS]
    tests = [f"test {name}" for name in KINDS.values()]
    said = command(home, *lists, *tests, program=("-c", SEVERAL)).stdout
    rows = said.splitlines()
    for line, name in zip((*lists, *tests), 2 * list(KINDS.values()), strict=True):
        assert f"{line}: exit 0" in rows, said
        origin = [row for row in rows if name in row.split() and "robust-stripes 0.3" in row]
        assert len(origin) == 2  # in the list, and above the contract
    assert "FAIL" not in said


def test_it_is_trained_scored_and_logged(home: Path, record: Path) -> None:
    content = json.loads(record.read_text())
    spec = content["spec"]
    assert content["status"] == "success"
    assert spec["method"]["label"] == "nudge[scale=0.5]"
    assert spec["components"] == [
        {"kind": "dataset", "name": "stripes", "version": 1, "params": {"size": 30}},
        {"kind": "arch", "name": "one-layer", "version": 1, "params": {"width": 8}},
        {"kind": "attack", "name": "shake", "version": 1, "params": {"draws": 2}},
    ]
    assert spec["recipe"]["epochs"] == len(content["history"]) == 3
    after = content["evaluations"][0]["after_attack"]
    assert list(after) == ["shake[draws=2]", "fgsm"]
    assert (home / "results" / "tally.txt").read_text() == f"{content['run_id']} 3 2\n"
    log = pd.read_csv(home / "results" / "artifacts" / content["run_id"] / "log.csv")
    assert log[log.event == "attack"].name.tolist() == ["shake[draws=2]", "fgsm"]
    assert log[log.name == "loss"].epoch.tolist() == [1, 2, 3]


def test_it_is_scored_again_and_reported(home: Path, record: Path) -> None:
    run_id = json.loads(record.read_text())["run_id"]
    scored = done(home, "eval", run_id, "--attacks", "shake", "--device", "cpu")
    assert "after shake" in scored
    (evaluated,) = home.glob("results/stripes/evaluated/*.json")
    kinds = [each["kind"] for each in json.loads(evaluated.read_text())["spec"]["components"]]
    assert sorted(kinds) == ["arch", "attack", "dataset"]
    done(home, "report", "--format", "latex,markdown,figures")
    (picture,) = home.glob("reports/survivors-*.csv")
    assert picture.with_suffix(".png").stat().st_size > 1000
    (table,) = home.glob("reports/table-stripes-one-layer-*.tex")
    assert all(words in table.read_text("utf-8") for words in ("size=30", "width=8"))
    page = (home / "reports" / "report.md").read_text("utf-8")
    assert "The share of test images that no attack broke." in page


def test_without_it_one_line_says_what_is_missing(home: Path, record: Path) -> None:
    run_id = json.loads(record.read_text())["run_id"]
    assert "unknown dataset 'stripes'" in refused(
        home, "run", "--methods", "trades", "--datasets", "stripes", "--results", "none"
    )
    assert not (home / "none").exists()
    assert "'stripes'" in refused(home, "eval", run_id, "--device", "cpu")
    shown = command(home, "show", run_id, site=False)
    assert shown.returncode == 0, shown.stderr
