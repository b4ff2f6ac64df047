"""A signal ends what goes on, whatever the code makes of it in which it arrives."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.synthetic import make_spec

from regmix_bench import cli
from regmix_bench.cli import program
from regmix_bench.records import store
from regmix_bench.runs.runner import run_spec
from regmix_bench.system.signals import Termination, handle_signals, no_signal_lost
from regmix_bench.training.trainer import Trainer

NUMBERS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Termination}


@pytest.fixture(autouse=True)
def handled() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    handle_signals()
    yield
    handle_signals()  # which forgets what was raised
    for number, handler in before.items():
        signal.signal(number, handler)


def passed_on(number: signal.Signals) -> None:
    signal.raise_signal(number)


def made_an_error(number: signal.Signals) -> None:
    try:
        signal.raise_signal(number)
    except BaseException as error:
        raise SystemError("returned a result with an exception set") from error


def made_an_error_without_cause(number: signal.Signals) -> None:
    try:
        signal.raise_signal(number)
    except BaseException as error:
        said = f"Error calling function `str`: {error}"
    raise ValueError(said)


def dropped(number: signal.Signals) -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(number)

    sys.unraisablehook, before = lambda _: None, sys.unraisablehook
    try:
        Finalized()
    finally:
        sys.unraisablehook = before


fates = pytest.mark.parametrize(
    "fate", [passed_on, made_an_error, made_an_error_without_cause, dropped]
)


@fates
@pytest.mark.parametrize("number", NUMBERS, ids=["SIGINT", "SIGTERM"])
def test_it_is_raised_at_the_end_at_the_latest(
    fate: Callable[[signal.Signals], None], number: signal.Signals
) -> None:
    with pytest.raises(NUMBERS[number]), no_signal_lost():
        fate(number)


def test_an_error_that_no_signal_has_caused_stays_one() -> None:
    with pytest.raises(ValueError, match="of its own"), no_signal_lost():
        raise ValueError("of its own")
    with no_signal_lost():
        pass


def test_a_second_sigterm_does_not_cut_the_end_short() -> None:
    with pytest.raises(Termination):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)


def test_ctrl_c_stays_ignored_where_a_shell_ignores_it() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    handle_signals()
    signal.raise_signal(signal.SIGINT)


@fates
def test_it_is_no_failure_of_the_run(
    fate: Callable[[signal.Signals], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "run", lambda *_: fate(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_spec(make_spec(), tmp_path, device="cpu")
    assert not store.record_files(tmp_path)


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, ""),
        (signal.SIGTERM, 143, "terminated: the same command goes on from what is finished\n"),
    ],
    ids=["SIGINT", "SIGTERM"],
)
@pytest.mark.parametrize("fate", [passed_on, made_an_error, made_an_error_without_cause])
def test_every_command_ends_with_its_status(
    fate: Callable[[signal.Signals], None],
    number: signal.Signals,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(program, "app", lambda **_: fate(number))
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert (left.value.code, capsys.readouterr().err) == (status, said)
