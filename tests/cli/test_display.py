"""What a person or a log file sees of a run while it goes on."""

from __future__ import annotations

import pytest
from rich.console import Console
from support.synthetic import make_spec

from regmix_bench.cli import display as progress
from regmix_bench.records.schema import EpochLog, MatrixProduct, Work
from regmix_bench.records.words import spec_words
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


def counting(runs: int) -> progress.Display:
    """A display that counts with so many runs."""
    display = progress.Display()
    display.on_plan({}, runs)
    return display


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
    told = [line.rpartition(" left  ")[2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert told == [
        "12,550 images/s, 139 TFLOP/s, MFU 17.5%",
        "2,600 images/s, 6.0 GFLOP/s",
        "31 images/s",
    ]


def test_a_run_that_goes_back_behind_its_first_epoch_is_judged_anew(capsys, clock) -> None:
    spec = make_spec()  # of 50 epochs
    with counting(1) as display:
        display.on_start(spec)
        for epoch in (40, 39, 49):
            clock[0] += 10
            display.on_epoch(spec, make_log(epoch))
    assert [line.split()[-2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "1:40",  # 10 s for the fortieth, ten to go
        "3:40",  # 20 s for the thirty-ninth, eleven to go
        "0:03",
    ]


def test_time_left_is_judged_by_the_epochs_of_this_process(capsys, clock) -> None:
    spec = make_spec()
    with counting(1) as display:
        display.on_start(spec)
        clock[0] += 10
        display.on_epoch(spec, make_log(40))
    assert "1:40 left" in capsys.readouterr().out


def test_runs_that_go_on_together_each_keep_their_name_and_their_time(capsys, clock) -> None:
    early, late = make_spec(seed=0), make_spec(seed=1)
    with counting(2) as display:
        display.on_start(early)
        clock[0] += 10
        display.on_start(late)
        clock[0] += 10
        display.on_epoch(early, make_log(1))
        display.on_epoch(late, make_log(1))
        display.on_end(Ending(early, error="out of luck"))
        display.on_attack(late, "32/255", "fab-t", 0.5)
    first, second = (f"[{s.seed + 1}/2] {spec_words(s)}" for s in (early, late))
    numbers = "loss 1.250  val clean 90.0%  PGD-10 40.0%"
    assert capsys.readouterr().out.splitlines() == [
        f"{first}: started",
        f"{second}: started",
        f"{first}: epoch 1/50  {numbers}  16:20 left",
        f"{second}: epoch 1/50  {numbers}  8:10 left",
        f"{first}: failed: out of luck",
        f"{second}: AutoAttack at 32/255: 50.0% after fab-t",
    ]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        progress, "Console", lambda **_: Console(force_terminal=True, width=200, highlight=False)
    )


def test_a_terminal_shows_a_bar_for_each_run_that_goes_on(terminal, capsys, clock) -> None:
    specs = [make_spec(seed=seed) for seed in (0, 1, 2)]
    with counting(3) as display:
        for spec in specs:
            display.on_start(spec)
        display.on_epoch(specs[1], make_log(20))
        display.on_end(Ending(specs[0]))
        capsys.readouterr()
        display.bars.refresh()
        shown = capsys.readouterr().out
    # A slow terminal has been drawn to before of itself.
    rows = [row for row in shown.splitlines() if "/" in row][-3:]
    assert "runs done" in rows[0] and "1/3" in rows[0]
    assert "[2/3]" in rows[1] and "20/50" in rows[1] and "loss 1.250" in rows[1]
    assert "[3/3]" in rows[2] and "0/50" in rows[2]


def test_a_terminal_shows_the_name_with_its_brackets(terminal, capsys, clock) -> None:
    spec = make_spec("fgsm-pgi[lambda_=1]")
    with counting(1) as display:
        display.on_start(spec)
        display.on_epoch(spec, make_log(25))
        display.bars.refresh()
        display.say("[red] stays as typed")
    shown = capsys.readouterr().out
    assert "[1/1] fgsm-pgi[lambda_=1]" in shown
    assert "25/50" in shown and "PGD-10 40.0%" in shown
    assert "[red] stays as typed" in shown


def test_each_run_is_numbered(capsys) -> None:
    with counting(2) as display:
        for label in ("trades", "mart"):
            display.on_start(make_spec(label))
    assert [line[:5] for line in capsys.readouterr().out.splitlines()] == ["[1/2]", "[2/2]"]
