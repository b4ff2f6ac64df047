"""The study in so many minutes: what it begins, what it packs, and how it goes on."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from support.harness import SUITE, Answer, cli

from regmix_bench.grid.plan import plan_runs
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.records.store import load_run, record_files
from regmix_bench.system.signals import Termination

PATH = Path(__file__).parents[2] / "benchmarks" / "study.py"
# Neither in the order of the study.
QUICK: dict[str, Any] = SUITE | {
    "methods": ["standard", "fgsm-rs", "regmix"],
    "recipe": SUITE["recipe"] | {"epochs": 1},
}
Start = Callable[..., Answer]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["study"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def start(script: ModuleType) -> Start:
    """Runs the script with archives beside the results, in ``folder``."""

    def call(folder: Path, *arguments: object, minutes: float = 10) -> Answer:
        out, errors = io.StringIO(), io.StringIO()
        places = ("--results", folder / "results", "--archives", folder, "--device", "cpu")
        given = ("--minutes", minutes, *places, *arguments)
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                status = script.main(list(map(str, given)))
        finally:
            for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
                signal.signal(number, handler)
        return Answer(status, out.getvalue(), errors.getvalue())

    return call


def suite(folder: Path, **changed: Any) -> Path:
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(QUICK | changed))
    return path


@pytest.fixture(scope="module")
def finished(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study of three runs that has ended. Not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    found = start(folder, "--suite", suite(folder))
    assert found.status == 0 and "3 of 3 runs are whole" in found.out, found
    begun = [line for line in found.out.splitlines() if line.endswith("started")]
    assert [line.split()[1] for line in begun] == ["RegMix", "FGSM-RS", "Standard"]
    yield folder


def held(archives: list[Path]) -> dict[str, bytes]:
    """Return what archives hold, each file once."""
    found: dict[str, bytes] = {}
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            assert not found.keys() & set(archive.namelist())
            found |= {name: archive.read(name) for name in archive.namelist()}
    return found


def test_archives_hold_the_records_without_weights_and_the_study_goes_on_from_them(
    start: Start, finished: Path, tmp_path: Path
) -> None:
    archives = sorted(finished.glob("*.zip"))
    kept = {
        path.relative_to(finished / "results").as_posix(): path.read_bytes()
        for path in (finished / "results" / "digits").rglob("*.*")
    }
    # The record, the outcomes of both checkpoints, the outputs and the views.
    assert len(kept) == 3 * 5 and held(archives) == kept
    more = ("--suite", suite(tmp_path, methods=["mart", *QUICK["methods"]]))
    again = start(tmp_path, *more, "--from", *archives)
    assert again.status == 0 and "4 of 4 runs are whole" in again.out, again
    assert again.out.count("started") == 1 and "[1/1] MART" in again.out
    assert held(sorted(tmp_path.glob("*.zip"))).items() > kept.items()
    results = ("--results", tmp_path / "results")
    report = cli("report", *results, "--out", tmp_path / "reports", "--format", "csv")
    assert report.status == 0, report


def test_no_archive_is_larger_than_it_may_be(start: Start, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    one = (finished / "records-01.zip").stat().st_size / 3
    for runs in (2, 1, 3):
        size = 1.1 * runs * one / 2**20
        given = ("--suite", tmp_path / "copy" / "suite.yaml", "--archive-size", size)
        assert start(tmp_path / "copy", *given).status == 0
        archives = sorted((tmp_path / "copy").glob("*.zip"))
        assert [path.name for path in archives] == [
            f"records-{number:02}.zip" for number in range(1, -(-3 // runs) + 1)
        ]
        assert max(path.stat().st_size for path in archives) <= size * 2**20
        assert held(archives) == held([finished / "records-01.zip"])


def test_a_run_that_cannot_end_in_time_is_stopped_with_its_state(
    start: Start, tmp_path: Path
) -> None:
    endless = QUICK["recipe"] | {"epochs": 10**6}
    given = ("--suite", suite(tmp_path, methods=["standard", "fgsm-rs"], recipe=endless))
    found = start(tmp_path, *given, minutes=1)
    assert found.status == 2 and len(found.errors.splitlines()) == 1, found
    assert found.errors.startswith("error: --minutes 1: too few for one run, of ")
    assert found.out.count("its state stays for the next time") == 2
    states = list((tmp_path / "results" / "artifacts").rglob("state-*.pt"))
    assert len({path.parent for path in states}) == 2
    assert not list(tmp_path.glob("*.zip")) and not record_files(tmp_path / "results")
    again = start(tmp_path, *given, minutes=1)
    assert again.status == 2 and "2 to resume" not in again.errors
    assert max(path.name for path in (tmp_path / "results").rglob("state-*.pt")) > max(
        path.name for path in states
    )


def test_a_run_is_not_begun_where_one_of_another_seed_took_longer_than_there_is(
    start: Start, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    for path in record_files(tmp_path / "copy" / "results"):
        if load_run(path).spec.label == "regmix":
            content = json.loads(path.read_text())
            content["training_cost"]["seconds"] = 3600
            path.write_text(json.dumps(content))
    seeds = suite(tmp_path, methods=["regmix", "standard"], seeds=[0, 1])
    found = start(tmp_path / "copy", "--suite", seeds, minutes=30)
    assert found.status == 0 and "3 of 4 runs are whole; the same command goes on" in found.out
    assert "RegMix · digits · smallcnn · Linf 32/255 · seed 1: not begun, as it takes 1:09:" in (
        found.out
    )


def test_the_end_of_the_time_ends_whatever_goes_on(script: ModuleType) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        with pytest.raises(Termination), script.terminated_at(time.monotonic() + 0.01):
            while True:
                pass
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "minutes", "said"),
    [
        (("--data-dir", "gone"), 10, "--data-dir gone is no folder"),
        (("--data-dir", "."), 10, "cifar10 is not in "),
        ((), 0, "--minutes 0"),
        ((), -3, "--minutes -3"),
        ((), float("nan"), "--minutes nan"),
        ((), float("inf"), "--minutes inf"),
        (("--archive-size", 0), 10, "--archive-size 0"),
        (("--archive-size", "nan"), 10, "--archive-size nan"),
        (("--archive-size", "inf"), 10, "--archive-size inf"),
        (("--archives", "/dev/null"), 10, "/dev/null is not a folder"),
        (("--suite", "cifar10-31"), 10, "suite 'cifar10-31': did you mean 'cifar10-30'"),
        (("--suite", "gone.yaml"), 10, "cannot read suite gone.yaml"),
        (("--from", "gone.zip"), 10, "cannot read gone.zip"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_nothing_written(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    minutes: float,
    said: str,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found = start(tmp_path / "new", *arguments, minutes=minutes)
    assert found.status == 2 and said in found.errors, found
    assert found.errors.startswith("error: ") and len(found.errors.splitlines()) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_archive_that_holds_no_record_is_too_small(
    start: Start, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    before = held([tmp_path / "copy" / "records-01.zip"])
    for size in (0.001, 0.0101):
        given = ("--suite", tmp_path / "copy" / "suite.yaml", "--archive-size", size)
        found = start(tmp_path / "copy", *given)
        assert found.status == 2 and f"--archive-size {size}: the record of " in found.errors, found
        assert len(found.errors.splitlines()) == 1
    assert held(sorted((tmp_path / "copy").glob("*.zip"))) == before


@pytest.mark.parametrize(
    "name",
    ["../../out.json", "/out.json", "a.json", "artifacts/0123456789ab/lock", "a/b/c/d.json"],
)
def test_an_archive_that_leads_elsewhere_is_refused(
    start: Start, tmp_path: Path, name: str
) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("digits/smallcnn/a.json", "{}")
        archive.writestr(name, "{}")
    given = ("--suite", suite(tmp_path), "--from", tmp_path / "bad.zip")
    found = start(tmp_path / "new" / "study", *given)
    assert found.status == 2 and len(found.errors.splitlines()) == 1, found
    assert not list((tmp_path / "new").rglob("*.*"))


@pytest.mark.parametrize("cut", [0, 100])
def test_a_file_that_is_no_archive_is_refused(start: Start, tmp_path: Path, cut: int) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04" * cut)
    found = start(tmp_path / "new", "--suite", suite(tmp_path), "--from", tmp_path / "bad.zip")
    assert found.status == 2 and "is no archive of records" in found.errors, found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("digits/smallcnn/a.json", "{}"),
        ("digits/smallcnn/a.json", "no JSON"),
        ("digits/smallcnn/.bashrc", "#"),
        ("digits/smallcnn/a.exe", "MZ"),
    ],
)
def test_an_archive_of_something_else_is_refused_before_it_is_written(
    start: Start, tmp_path: Path, name: str, content: str
) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, content)
    given = ("--suite", suite(tmp_path), "--from", tmp_path / "bad.zip")
    found = start(tmp_path / "new" / "study", *given)
    assert found.status == 2 and len(found.errors.splitlines()) == 1, found
    assert "bad.zip is no archive of records: " in found.errors
    assert not list((tmp_path / "new").rglob("*.*"))


@pytest.mark.parametrize("name", ["cifar10-30", "matched-cifar10-30"])
def test_the_runs_of_a_packaged_study_begin_in_its_order(
    script: ModuleType, tmp_path: Path, name: str
) -> None:
    cells = plan_runs(load_suite(name), device="cpu")
    waiting = script.Study(cells, tmp_path, {}).waiting()
    assert [cell.spec.method.name for cell in waiting][: len(script.ORDER)] == list(script.ORDER)
    assert waiting == list(cells)  # the suite says so itself
