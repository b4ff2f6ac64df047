from __future__ import annotations

from pathlib import Path

import pytest
from support.synthetic import make_eval_spec, make_spec, write_run

from regmix_bench.records.schema import AnyRecord, RunRecord
from regmix_bench.records.sequence import Records
from regmix_bench.records.store import load_record
from regmix_bench.records.words import away_words, record_words, records_table, shown_score
from regmix_bench.specs import EvalSpec, ModelSource
from regmix_bench.types import ThreatModel


def of_run(label: str) -> EvalSpec:
    """What scores a run of ours once more."""
    return make_eval_spec(label, model=ModelSource(kind="run", name="eef7:last", sha256="0" * 64))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (make_spec(), "TRADES · digits · smallcnn · Linf 32/255 · seed 0"),
        (make_eval_spec(), "net · digits · smallcnn · Linf 32/255 · evaluated"),
        (of_run("trades"), "TRADES · digits · smallcnn · Linf 32/255 · evaluated"),
        (of_run("pgd-at (last)"), "PGD-AT (last) · digits · smallcnn · Linf 32/255 · evaluated"),
        (make_eval_spec("trades"), "trades · digits · smallcnn · Linf 32/255 · evaluated"),
    ],
    ids=["a run", "an evaluation", "of a run", "of its last epoch", "of weights called so"],
)
def test_a_record_is_shown_in_a_line_and_as_a_table(spec, words: str, tmp_path: Path) -> None:
    record: AnyRecord = load_record(write_run(tmp_path, spec))
    assert record_words(record) == words
    scores = "clean 94.4% PGD-20 86.1% AutoAttack 83.3%"
    kind = type(record).__name__
    assert repr(record) == f"<{kind} {spec.run_id}: {words} · {scores}>"
    page = record._repr_html_()
    assert all(f"<td>{share}</td>" in page for share in ("94.4%", "86.1%", "83.3%", "360"))


def test_a_grid_is_shown_as_a_table_of_its_runs(tmp_path: Path) -> None:
    found = Records([write_run(tmp_path, make_spec(seed=seed)) for seed in range(2)])
    assert repr(found) == "<Records 2 runs>" and repr(found[:1]) == "<Records 1 run>"
    assert found._repr_html_().count("<td>83.3%</td>") == 2


def test_a_failed_run_says_why() -> None:
    spec = make_spec()
    record = RunRecord(run_id=spec.run_id, spec=spec, status="error", error="ValueError: <b>")
    assert "failed: ValueError: <b>" in repr(record) and "&lt;b&gt;" in record._repr_html_()


HOME, OTHER = ThreatModel("Linf", "32/255"), ThreatModel("L2", "0.5")
ALL = " at all of Linf 32/255, L2 0.5"


@pytest.mark.parametrize(
    ("spec", "fixed", "shown", "away"),
    [
        (make_spec(eval_threats=(HOME, OTHER)), (0, 200), "83.3%", ""),
        (make_spec(eval_threats=(OTHER, HOME)), (200, 0), "83.3%", ""),
        (make_spec(eval_threats=(OTHER,)), (0,), "83.3%", " at L2 0.5"),
        (
            make_eval_spec(eval_threats=(HOME, OTHER)),
            (0, 200),
            "27.8%",
            " at all of Linf 32/255, L2 0.5",
        ),
    ],
    ids=["its own first", "its own last", "another alone", "all of a given model"],
)
def test_a_list_has_the_score_under_a_run_s_own_threat_or_all_of_a_given_model_s(
    spec, fixed, shown: str, away: str, tmp_path: Path
) -> None:
    record: AnyRecord = load_record(write_run(tmp_path, spec, fixed=fixed))
    score = shown_score(record)
    assert score is not None and f"{score.autoattack_acc:.1%}" == shown
    assert away_words(record, score) == away
    _, ((name, *cells),) = records_table([record])
    assert name == record_words(record) + away and shown in cells
    assert f"AutoAttack {shown}" in repr(record)
