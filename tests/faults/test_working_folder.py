"""Python files in the working folder, which is one of strangers as often as not: none is run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.harness import SUITE, Answer, answer, start
from support.synthetic import make_spec, write_run

Tell = Callable[[Answer, str], None]

#: As a user types it; ``python -m`` would itself look into the working folder.
PROGRAM = (str(Path(sys.executable).with_name("regmix-bench")),)
PLANTED = ("random.py", "torch.py", "joblib/__init__.py", "multiprocessing/__init__.py", "model.py")


@pytest.fixture
def folder(tmp_path: Path, unharmed: Path) -> Path:
    """A working folder with modules that tell when they are imported, and then fail."""
    for name in PLANTED:
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(unharmed)!r}, 'a').write(__name__)\nraise SystemExit(3)\n")
    return tmp_path / "here"


def test_modules_beside_a_report(folder: Path, tell: Tell) -> None:
    for epsilon in range(8):
        for label in ("trades", "pgd-at"):
            write_run(folder / "results", make_spec(label, f"{8 + epsilon}/255"))
    options = ("--results", "results", "--format", "figures")
    found = answer(start("report", *options, program=PROGRAM, cwd=folder))
    assert found.status == 0, found
    assert len(list((folder / "reports").glob("*.png"))) >= 8  # so that processes draw them
    tell(found, "all: no process of a report looks into the working folder")


@pytest.mark.parametrize(
    "launcher",
    [
        ("--jobs", "2"),
        ("--devices", "2"),
        pytest.param(("--launcher", "ray", "--jobs", "2"), marks=pytest.mark.alone),
    ],
)
def test_modules_beside_a_grid(folder: Path, tell: Tell, launcher: tuple[str, ...]) -> None:
    if "ray" in launcher:
        pytest.importorskip("ray", reason="ray is not installed")
    suite = SUITE | {"recipe": SUITE["recipe"] | {"epochs": 1}}
    if "--devices" in launcher:
        suite["methods"] = suite["methods"][:1]  # several processes share one run
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    found = answer(
        start("run", "suite.yaml", "--device", "cpu", *launcher, program=PROGRAM, cwd=folder)
    )
    assert found.status == 0, found
    assert len(list((folder / "results").rglob("*.json"))) == len(suite["methods"])
    tell(found, "all: no process of a grid looks into the working folder")


def test_a_callable_is_the_door_to_the_working_folder(folder: Path, tell: Tell) -> None:
    for name in PLANTED:
        (folder / name).unlink()
    (folder / "mine.py").write_text(
        "import torch\n\ndef net():\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    options = ("--dataset", "digits", "--eps", "96/255", "--attacks", "apgd-ce")
    sizes = ("--eval-examples", "20")
    found = answer(start("eval", "mine:net", *options, *sizes, program=PROGRAM, cwd=folder))
    assert found.status == 0, found
    tell(found, "all: the module that was named is imported from the working folder")
