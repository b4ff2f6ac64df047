from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from support.synthetic import make_spec, write_run

from regmix_bench.analysis.drops import Verdict
from regmix_bench.analysis.junit import as_junit
from regmix_bench.analysis.references import renew_references
from regmix_bench.analysis.regression import compare_with_references as check
from regmix_bench.types import ThreatModel


def test_junit_is_well_formed_and_says_why(tmp_path: Path) -> None:
    held = tmp_path / "held" / "leaderboard.json"
    write_run(tmp_path / "held", make_spec())
    renew_references(tmp_path / "held", held)
    write_run(tmp_path / "now", make_spec(), autoattack=200)
    root = ElementTree.fromstring(as_junit(check(tmp_path / "now", held)))
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    assert suite.get("tests") == root.get("tests") == "3"
    assert suite.get("failures") == root.get("failures") == "1"
    names = [case.get("name") for case in suite]
    metrics = ("clean", "PGD-20", "robust")
    assert names == [f"TRADES · seed 0 · selected Linf 32/255 {metric}" for metric in metrics]
    assert [case.find("failure") is not None for case in suite] == [False, False, True]
    failure = suite[2].find("failure")
    assert failure is not None and failure.get("type") == "regressed"
    message = failure.get("message")
    assert message is not None and message.startswith(
        "regressed: reference 0.8333, now 0.5556, difference -0.2778, tolerance "
    )
    assert message.endswith("paired: 100 lost, 0 gained of 360 images")


@given(st.text())
@settings(max_examples=25, deadline=None)
def test_junit_survives_any_error_message(x: str) -> None:
    verdict = Verdict(
        *(f"{x}.json", x, x, "digits", "smallcnn", 0, "selected", ThreatModel("Linf", "8/255")),
        *("pgd_acc", 360, 0.5, None, None, None, "missing", f"\x1b[31m\x00{x}"),
    )
    (case,) = ElementTree.fromstring(as_junit([verdict])).iter("testcase")
    assert case.find("failure") is not None
