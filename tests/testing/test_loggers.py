"""The contract of loggers, and how the command reports a contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import plug_ins
from support.harness import cli

from regmix_bench.methods import METHODS
from regmix_bench.runs.loggers import LOGGERS, Logger
from regmix_bench.testing import check_logger


class Quiet(Logger):
    """Keeps nothing."""

    name = "quiet"


class Loud(Quiet):
    """Prints."""

    def on_epoch(self, spec, log) -> None:
        print("epoch", log.epoch)


class Fragile(Quiet):
    """Takes every run to end well."""

    def on_end(self, ending) -> None:
        assert ending.left is None


class Once(Quiet):
    """Refuses a file that is there."""

    def open(self, results: Path) -> None:
        (results / "log.txt").open("x").close()


class Meddler(Quiet):
    """Writes among the records."""

    def open(self, results: Path) -> None:
        path = results / "digits" / "smallcnn" / "mine.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"kind": "run"}))


@pytest.mark.parametrize(
    ("logger", "rule", "reason"),
    [
        (Loud, "it leaves output and records alone", "it prints 'epoch 1"),
        (Fragile, "it hears runs of every kind", "AssertionError"),
        (Once, "it hears the same run again", "FileExistsError"),
        (Meddler, "it leaves output and records alone", "mine.json"),
    ],
)
def test_a_logger_that_breaks_a_rule_is_told(logger, rule, reason) -> None:
    LOGGERS.register("quiet", logger)
    found = {failure.rule: failure.reason for failure in check_logger("quiet")}
    assert reason in found.get(rule, ""), found


def test_a_logger_that_keeps_the_contract_breaks_no_rule() -> None:
    LOGGERS.register("quiet", Quiet)
    assert check_logger("quiet") == check_logger("csv") == []


def test_the_command_reports_every_rule() -> None:
    LOGGERS.register("quiet", Quiet)
    answered = cli("test", "quiet")
    assert (answered.status, answered.errors) == (0, "")
    first, *rules, last = answered.out.splitlines()
    assert first == "logger quiet of this process"
    assert all(rule.startswith("  ok    ") for rule in rules)
    assert last == "5 of 5 rules are kept"
    LOGGERS.register("quiet", Loud)
    answered = cli("test", "quiet", "--kind", "logger")
    assert answered.status == 1
    assert "  FAIL  it leaves output and records alone: it prints 'epoch 1" in answered.out
    assert answered.out.endswith("4 of 5 rules are kept\n")


def test_what_cannot_be_tested_is_one_line() -> None:
    plug_ins.register()
    METHODS.register("stripes", METHODS["standard"])
    for arguments, complaint in (
        (("stripes",), "'stripes' is a method and a dataset: say which by --kind"),
        (("stripe",), "unknown plug-in 'stripe': did you mean 'stripes'?"),
        (("stripes[size=0]", "--kind", "dataset"), "greater than or equal to 6"),
        (("digits", "--kind", "arch"), "unknown arch 'digits'"),
        (("digits", "--kind", "norm"), "'norm'"),
        (("trades[", "--kind", "method"), "cannot be read"),
    ):
        answered = cli("test", *arguments)
        assert answered.status == 2, answered
        assert answered.out == ""
        assert answered.errors.count("\n") == 1
        assert complaint in answered.errors
