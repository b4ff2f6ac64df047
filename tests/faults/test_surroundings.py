"""Surroundings that nobody thinks of: no home, a variable of nonsense, Ctrl-C at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.harness import SUITE, Answer, allow_interrupt, answer, start, wait_for
from support.synthetic import make_spec, write_run

Tell = Callable[[Answer, str], None]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surroundings") / "results"
    for label in ("trades", "pgd-at"):
        write_run(folder, make_spec(label))
    return folder


@pytest.fixture(scope="module")
def plain(results: Path) -> dict[str, bytes]:
    """The files of a report in usual surroundings."""
    out = results.with_name("plain")
    assert answer(start("report", "--results", results, "--out", out)).status == 0
    return written(out)


def written(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}


@pytest.mark.parametrize(
    "variable", [{"PYTHONOPTIMIZE": "2"}, {"MPLBACKEND": "nonsense"}, {"LC_ALL": "C"}]
)
def test_a_report_under(
    results: Path, plain: dict[str, bytes], tmp_path: Path, tell: Tell, variable: dict[str, str]
) -> None:
    command = ("report", "--results", results, "--out", tmp_path / "other")
    found = answer(start(*command, env=variable))
    assert found.status == 0, found
    assert written(tmp_path / "other") == plain
    tell(found, "all: the report is the same to the byte")


def nobody(*command: str) -> tuple[str, ...]:
    """The command as a user whom the machine does not know."""
    unshare = shutil.which("unshare")
    program = (str(unshare), "--user", "--map-user=54321")
    if unshare is None or subprocess.run([*program, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    return (*program, *command)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_a_closed_stream(tmp_path: Path, tell: Tell, closed: tuple[int, ...]) -> None:
    """As of a job that a daemon starts: no file takes the place of standard output."""
    suite = tmp_path / "mine.yaml"

    def close() -> None:
        for number in closed:
            os.close(number)

    found = answer(start("suite", "init", suite, preexec_fn=close, stdin=subprocess.DEVNULL))
    assert found.status == 0 and "next:" not in suite.read_text()
    tell(found, "the file that was asked for")


@pytest.mark.parametrize("unset", [("HOME",), ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME")])
def test_no_home_and_no_name(tmp_path: Path, tell: Tell, unset: tuple[str, ...]) -> None:
    suite = SUITE | {"methods": ["fgsm-rs"], "recipe": SUITE["recipe"] | {"epochs": 1}}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    command = nobody("env", *(f"--unset={name}" for name in unset), sys.executable)
    found = answer(
        start(
            *("-m", "regmix_bench.cli", "run", tmp_path / "suite.yaml", "--device", "cpu"),
            *("--results", tmp_path / "results"),
            program=command,
            env={"TMPDIR": str(tmp_path)},
        )
    )
    assert found.status == 0, found
    assert not found.errors, found
    tell(found, "all: caches lie in a private folder among the temporary files")


@pytest.mark.parametrize("seconds", [0.03, 0.06, 0.1, 0.2])
def test_an_interrupt_at_once(tell: Tell, seconds: float) -> None:
    # Python itself needs some of the time, which is not ours: it ends then by the signal.
    begun = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "print(flush=True); from regmix_bench.cli import main; main()"
    )
    process = start("--help", program=(sys.executable, "-c", begun), preexec_fn=allow_interrupt)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    found = answer(process)
    assert not found.errors
    if found.status == -signal.SIGINT:
        # Python's own end is not ours either, and comes when all is said.
        assert found.out.rstrip().endswith("╯")
        return
    assert found.status in (0, 130), found
    tell(found, "nothing had begun")


def processes(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            facts = (folder / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if int(facts[3]) == session and facts[0] != "Z":
            found.append(int(folder.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_report_leaves_no_process(tmp_path: Path, tell: Tell, number: signal.Signals) -> None:
    for epsilon in range(30):
        for label in ("trades", "pgd-at"):
            write_run(tmp_path / "results", make_spec(label, f"{8 + epsilon}/255"))
    options = ("--results", tmp_path / "results", "--out", tmp_path / "out", "--format", "figures")
    process = start("report", *options, start_new_session=True)
    wait_for(lambda: len(processes(process.pid)) > 2, process)
    process.send_signal(number)
    found = Answer(process.wait(), "", "")
    wait_for(lambda: not processes(process.pid))
    tell(Answer(-9, "", "") if found.status == -number else found, "all: no process stays")


@pytest.mark.parametrize("formats", ["csv,html", "figures"])
def test_two_reports_into_one_folder(
    results: Path, tmp_path: Path, tell: Tell, formats: str
) -> None:
    options = ("--results", results, "--out", tmp_path / "out", "--format", formats)
    both = [start("report", *options) for _ in range(2)]
    found = sorted((answer(each) for each in both), key=lambda each: each.status)
    assert found[0].status == 0, found
    assert found[1].status in (0, 2), found
    if found[1].status:
        assert "another process writes" in found[1].errors
    checked = answer(start("report", *options[:4], "--check"))
    assert checked.status == 0, checked
    tell(found[1], "the report of the one, whole")


def test_a_killed_group_leaves_no_folder(tmp_path: Path, tell: Tell) -> None:
    suite = SUITE | {"methods": ["fgsm-rs"], "recipe": SUITE["recipe"] | {"epochs": 500}}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = start(
        *("run", tmp_path / "suite.yaml", "--device", "cpu", "--devices", "2"),
        *("--results", tmp_path / "results"),
        env={"TMPDIR": str(temporary)},
    )
    wait_for(lambda: any((tmp_path / "results").rglob("state-*")), process)
    process.kill()
    found = answer(process)
    wait_for(lambda: not list(temporary.glob("regmix-bench-*")))
    assert os.path.isdir(temporary)
    tell(found, "the newest state; nothing stays among the temporary files")
