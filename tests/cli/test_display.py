"""What a person or a log file sees of a run while it goes on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from support.harness import SUITE
from support.synthetic import make_spec
from support.terminal import Terminal, run_in_terminal

from regmix_bench.cli import display as progress
from regmix_bench.cli.flags import NO_FLAGS, Flags
from regmix_bench.records.progress import Progress
from regmix_bench.records.schema import EpochLog, MatrixProduct, Work
from regmix_bench.records.words import spec_words
from regmix_bench.runs.forecast import Estimate, Forecast
from regmix_bench.runs.observers import Ending
from regmix_bench.specs import Scoring


def make_log(epoch: int) -> EpochLog:
    return EpochLog(
        epoch=epoch,
        lr=0.1,
        loss=1.25,
        val_clean_acc=0.9,
        val_fgsm_acc=0.5,
        val_pgd_acc=0.4,
        seconds=1,
    )


def counting(runs: int, flags: Flags = NO_FLAGS) -> progress.Display:
    """A display that counts with so many runs."""
    display = progress.Display(flags)
    display.on_plan({}, runs)
    return display


def trained(epoch: int, left: float) -> Progress:
    """The progress of a run that has trained an epoch of 50."""
    return Progress(stage="training", epoch=epoch, epochs=50, share=epoch / 100, seconds_left=left)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the display sees."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_names_autoattack_only_where_it_is_the_authors(capsys) -> None:
    spec = make_spec("trades")
    scoring = Scoring(autoattack_version="custom", attacks=("pgd", "square"))
    spec = spec.model_copy(update={"scoring": scoring})
    with counting(1) as display:
        display.on_start(spec)
        display.on_attack(spec, "32/255", "pgd", 0.75)

    assert capsys.readouterr().out.endswith(": pgd + square at 32/255: 75.0% after pgd\n")


def test_without_a_terminal_there_are_plain_lines(capsys, clock) -> None:
    spec = make_spec("fgsm-pgi[lambda_=1]")  # of 50 epochs
    with counting(3) as display:
        display.on_start(spec)
        for epoch in range(1, 51):
            clock[0] += 2
            display.on_progress(spec, trained(epoch, 100.0 - 2 * epoch))
            display.on_epoch(spec, make_log(epoch))
        display.on_attack(spec, "32/255", "apgd-ce", 0.75)

    output = capsys.readouterr()
    lines = output.out.splitlines()
    name = "[1/3] fgsm-pgi[lambda_=1] · digits · smallcnn · Linf 32/255 · seed 0"
    assert lines[0] == f"{name}: started"
    assert lines[1] == f"{name}: epoch 1/50  loss 1.250  val clean 90.0%  PGD-10 40.0%  1:38 left"
    assert "epoch 50/50" in lines[-2] and lines[-2].endswith("0:00 left")
    assert lines[-1] == f"{name}: AutoAttack at 32/255: 75.0% after apgd-ce"
    # One line in five seconds, not one an epoch; no control sequence among them.
    assert 15 < len(lines) < 25
    assert "\x1b" not in output.out and output.err == ""


def test_hours_are_warned_of_once_where_no_forecast_is_shown(capsys, clock) -> None:
    for left, flags in ((7300.0, NO_FLAGS), (7100.0, NO_FLAGS), (7300.0, Flags(quiet=True))):
        spec = make_spec()
        with counting(1, flags) as display:
            display.on_start(spec)
            for _ in range(3):
                clock[0] += 6
                display.on_progress(spec, trained(1, left))
        said = capsys.readouterr().out
        assert said.count("2 hours or so on this machine: --archs smallcnn") == (
            left > 7200 and not flags.quiet
        )


def test_what_is_said_follows_the_flags(capsys, clock) -> None:
    spec = make_spec()
    said = {}
    for name, flags in {"quiet": Flags(quiet=True), "verbose": Flags(verbose=True)}.items():
        with counting(1, flags) as display:
            display.on_start(spec)
            for epoch in (1, 2, 3):
                display.on_epoch(spec, make_log(epoch))
            display.on_note(spec, "something is odd")
            display.on_end(Ending(spec, error="out of luck"))
        said[name] = capsys.readouterr()
    assert said["verbose"].out.count("epoch") == 3 and said["verbose"].err == ""
    assert said["quiet"].out == ""
    assert [line.rpartition(": ")[2] for line in said["quiet"].err.splitlines()] == [
        "something is odd",
        "out of luck",
    ]


def test_a_line_has_the_rates_that_the_epoch_recorded(capsys, clock) -> None:
    product = MatrixProduct(precision="bf16", flop_per_second=798e12)
    works = {
        48: Work(images=12_550, flop=139.3e12, product=product),
        49: Work(images=2_600, flop=5.98e9),
        50: Work(images=31),
    }
    spec = make_spec()  # of 50 epochs
    with counting(1) as display:
        display.on_start(spec)
        for epoch, work in works.items():
            clock[0] += 10
            display.on_epoch(spec, make_log(epoch).model_copy(update={"work": work}))
    told = [line.rpartition("40.0%  ")[2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert told == [
        "12,550 images/s, 139 TFLOP/s, MFU 17.5%",
        "2,600 images/s, 6.0 GFLOP/s",
        "31 images/s",
    ]


class Screen:
    """A display on a terminal of so many columns, and what that shows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, columns: int, rows: int = 24) -> None:
        self.file, self.read = io.StringIO(), 0
        self.terminal = Terminal(rows)
        console = Console(
            file=self.file, force_terminal=True, width=columns, height=rows, highlight=False
        )
        monkeypatch.setattr(progress, "say", lambda *lines, error=False: console.print(*lines))
        self.display = progress.Display(console=console)

    def look(self) -> list[str]:
        """The lines that are shown now."""
        if self.display.screen.is_started:
            self.display.screen.refresh()
        text = self.file.getvalue()
        self.terminal.feed(text[self.read :].replace("\n", "\r\n"))
        self.read = len(text)
        return self.terminal.lines()


def scoring(attack: str, done: int, left: float = 200.0) -> Progress:
    return Progress(
        stage="scoring", checkpoint="selected", threat="32/255", attack=attack,
        images_done=done, images=10_000, share=0.8, seconds_left=left,
    )  # fmt: skip


@pytest.mark.parametrize("columns", [80, 140, 60])
def test_on_a_terminal_no_line_wraps_and_no_bar_is_lost(monkeypatch, clock, columns: int) -> None:
    screen = Screen(monkeypatch, columns)
    specs = [make_spec("a method of a long name (λ = 3)", seed=seed) for seed in (0, 1, 2)]
    with screen.display as display:
        display.on_plan({}, 3)
        assert screen.look()[0].startswith("grid") and "0/3 runs" in screen.look()[0]
        runs = {spec.run_id: Estimate(1e6, 1e6, 100.0) for spec in specs}
        display.on_forecast(lambda: Forecast(runs, {}, "CPU", 1))
        (grid,) = screen.look()
        assert "5:00" in grid and grid.endswith("left") == (columns >= 72)
        display.on_start(specs[0])
        _, cell = screen.look()
        assert "starting" in cell and "s0" in cell and "1:40" in cell

        clock[0] += 20
        display.on_progress(specs[0], trained(12, 180.0))
        display.on_epoch(specs[0], make_log(12))
        grid, cell = screen.look()
        assert "epoch 12/50" in cell and "3:00" in cell and "━" in cell
        assert ("loss 1.250" in cell) == (columns == 140)
        assert "10:35" in grid  # the others take as much longer than forecast as this one

        clock[0] += 100
        display.on_progress(specs[0], scoring("apgd-dlr", 1_024))
        display.on_attack(specs[0], "32/255", "apgd-ce", 0.75)
        _, cell = screen.look()
        done = "apgd-dlr 10%" if columns == 60 else "apgd-dlr 1,024/10,000"
        assert done in cell and "━" in cell

        display.on_end(Ending(specs[0], error="out of luck " * 20))
        display.on_start(specs[1])
        shown = screen.look()
        assert "1/3 runs, 1 fail" in shown[-2] and "s1" in shown[-1]
        assert " ".join(shown[:-2]).count("out of luck") == 20
    assert screen.look()[-1].endswith("out of luck")  # the bars are gone
    assert screen.terminal.widest <= columns


def test_runs_side_by_side_have_a_line_each_and_those_without_room_are_counted(
    monkeypatch, clock
) -> None:
    screen = Screen(monkeypatch, 80, rows=8)
    with screen.display as display:
        display.on_plan({}, 20)
        for seed in range(12):
            display.on_start(make_spec(seed=seed))
        shown = screen.look()
    assert len(shown) == 7 and shown[0].startswith("grid") and shown[-1] == "and 7 more"
    assert [line.split()[2:3] for line in shown[1:6]] == [["32/255"]] * 5


def test_a_terminal_shows_what_others_wrote_as_it_is(monkeypatch, clock) -> None:
    screen = Screen(monkeypatch, 80)
    spec = make_spec("fgsm[red]\x1b[31m")
    with screen.display as display:
        display.on_plan({}, 1)
        display.on_start(spec)
        display.on_note(spec, "[red] stays as typed\x1b[2J")
        shown = "\n".join(screen.look())
    assert "[red]\nstays as typed\\u001b[2J" in shown and "fgsm[red]\\u001b" in shown


def test_each_run_is_numbered(capsys) -> None:
    with counting(2) as display:
        for label in ("trades", "mart"):
            display.on_start(make_spec(label))
    assert [line[:5] for line in capsys.readouterr().out.splitlines()] == ["[1/2]", "[2/2]"]


def test_the_words_for_a_run_name_what_tells_runs_apart() -> None:
    assert spec_words(make_spec(seed=4)) == "TRADES · digits · smallcnn · Linf 32/255 · seed 4"


def test_a_grid_that_is_stopped_and_goes_on_fits_its_terminal(tmp_path: Path) -> None:
    """Two runs at a time until Ctrl-C, the plan, then one after the other, at 80 columns."""
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(SUITE | {"recipe": SUITE["recipe"] | {"epochs": 30}}))
    command = ("run", suite.name, "--device", "cpu")

    def both_train(lines: list[str]) -> bool:
        return sum("epoch" in line and "epoch 1/" not in line for line in lines) == 2

    status, stopped = run_in_terminal([*command, "--jobs", "2"], tmp_path, interrupt=both_train)
    assert status == 130
    assert stopped.lines()[0] == "2 runs: 0 done, 0 to resume, 2 to run, 0 failed"
    assert stopped.lines()[-1] == "interrupted: the same command resumes at the last checkpoint"
    assert sum(line.startswith("stopped: ") and "epoch" in line for line in stopped.lines()) == 2
    status, planned = run_in_terminal([*command, "--dry-run"], tmp_path)
    lines = planned.lines()
    assert status == 0 and "2 to resume" in lines[0]
    assert sum(line.startswith("to resume  ") for line in lines) == 2
    facts = [line.split()[0] for line in lines[-8:] if line and not line.startswith(" ")]
    assert facts[-5:] == ["passes", "time", "device", "data", "folder"]
    status, finished = run_in_terminal(command, tmp_path)
    assert status == 0
    lines = finished.everything()
    assert "2 to resume" in lines[0]
    assert lines[-1] == "next: regmix-bench report"
    assert sum(line.startswith(("Standard", "FGSM-RS")) for line in lines) == 2
    assert max(terminal.widest for terminal in (stopped, planned, finished)) <= 80
    for terminal in (stopped, finished):
        going = [s for s in terminal.states if any(line.startswith("grid") for line in s)]
        cells = [
            line for state in going for line in state if " · s0" in line[:40] and "[" not in line
        ]
        assert going and cells and all("─" in line or "━" in line for line in cells)
    assert any("left" in line for state in finished.states for line in state if "grid" in line)
