"""What a person or a log file sees of a run while it goes on."""

from __future__ import annotations

import pytest
from rich.console import Console
from synthetic import make_spec

from regmix_bench import progress
from regmix_bench.progress import Display, describe
from regmix_bench.records import EpochLog


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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the display sees."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_are_plain_lines(capsys, clock) -> None:
    spec = make_spec("fgsm-pgi[lambda_=1]")  # of 50 epochs
    with Display(3) as display:
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


def test_time_left_is_judged_by_the_epochs_of_this_process(capsys, clock) -> None:
    spec = make_spec()
    with Display(1) as display:
        display.on_start(spec)
        clock[0] += 10
        display.on_epoch(spec, make_log(40))
    assert "1:40 left" in capsys.readouterr().out


def test_a_terminal_shows_the_name_with_its_brackets(monkeypatch, capsys, clock) -> None:
    monkeypatch.setattr(
        progress, "Console", lambda **_: Console(force_terminal=True, width=200, highlight=False)
    )
    spec = make_spec("fgsm-pgi[lambda_=1]")
    with Display(1) as display:
        display.on_start(spec)
        display.on_epoch(spec, make_log(25))
        display._bars.refresh()
        display.say("[red] stays as typed")
    shown = capsys.readouterr().out
    assert "[1/1] fgsm-pgi[lambda_=1]" in shown
    assert "25/50" in shown and "PGD-10 40.0%" in shown
    assert "[red] stays as typed" in shown


def test_each_run_is_numbered(capsys) -> None:
    with Display(2) as display:
        for label in ("trades", "mart"):
            display.on_start(make_spec(label))
    assert [line[:5] for line in capsys.readouterr().out.splitlines()] == ["[1/2]", "[2/2]"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3661, "1:01:01")])
def test_durations(seconds: float, text: str) -> None:
    assert progress._duration(seconds) == text


def test_describe_names_what_tells_runs_apart() -> None:
    assert describe(make_spec(seed=4)) == "trades · digits · smallcnn · Linf 32/255 · seed 4"
