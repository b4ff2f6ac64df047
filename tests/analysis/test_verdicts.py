from __future__ import annotations

import pandas as pd
import pytest
from support.synthetic import forget_outcomes, make_spec, write_run

from regmix_bench.analysis import verdicts
from regmix_bench.analysis.blocks import blocks_of
from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.analysis.pairs import compare_methods
from regmix_bench.errors import UserError
from regmix_bench.records import paths, store
from regmix_bench.types import ThreatModel, ThreatUnion


def blocks_in(results):
    return [
        block for cohort in sort_into_cohorts(load_runs(results)) for block in blocks_of(cohort)
    ]


def judged(results, reference=None):
    blocks = blocks_in(results)
    found = verdicts.judge_blocks(blocks, reference)
    assert set(found) == {block.stem for block in blocks}
    return next(iter(found.values()))


def seeds_of(results, label, counts, **changes):
    """One run for each number of images right under AutoAttack."""
    epsilon = changes.pop("epsilon", "32/255")
    for seed, count in enumerate(counts):
        write_run(results, make_spec(label, epsilon, seed=seed), autoattack=count, **changes)


@pytest.fixture
def results(tmp_path):
    """Three methods of three seeds: pgd-at, one far worse, one like it."""
    seeds_of(tmp_path, "pgd-at", (300, 302, 301))
    seeds_of(tmp_path, "standard", (100, 104, 99))
    seeds_of(tmp_path, "trades", (300, 301, 302))
    return tmp_path


def test_flags_are_those_of_the_outcomes_by_seed(results):
    (block,) = blocks_in(results)
    found = verdicts.read(block).rights
    assert {label: right.sum(axis=1).tolist() for label, right in found.items()} == {
        "standard": [100, 104, 99],
        "pgd-at": [300, 302, 301],
        "trades": [300, 301, 302],
    }
    assert set(verdicts.outcome_files([block])) == set(results.glob("*/*/*.outcomes.parquet"))


def test_each_row_is_compared_with_the_reference(results):
    found = judged(results, "pgd-at")
    assert found.reference == "pgd-at"
    words = {label: one.relation for label, one in found.verdicts.items()}
    assert words == {"standard": "worse", "trades": "not distinguishable"}
    (block,) = blocks_in(results)
    right = verdicts.read(block).rights
    worse = found.verdicts["standard"]
    labels = ("standard", "trades", "pgd-at")
    both = compare_methods([right[label] for label in labels])
    assert worse.difference == both.values[0, 2] == pytest.approx((303 - 903) / 3 / 360)
    assert worse.interval == tuple(ends[0, 2] for ends in both.intervals())
    assert worse.p_value == both.p_values()[0, 2]
    assert judged(results, "standard").verdicts["trades"].relation == "better"


def test_a_union_has_verdicts_on_the_images_that_hold_under_every_threat(tmp_path):
    threats = (ThreatModel("Linf", "32/255"), ThreatModel("L2", "0.5"))
    for label, moved in {"pgd-at": 0, "standard": 40}.items():
        for seed, count in enumerate((280, 282, 281)):
            spec = make_spec(label, seed=seed, eval_threats=threats)
            write_run(tmp_path, spec, autoattack=count, fixed=(0, moved))
    *each, union = blocks_in(tmp_path)
    assert union.eval_threat == ThreatUnion(threats[::-1]), "whatever the order"
    assert [block.eval_threat for block in each] == sorted(threats, key=lambda t: t.norm)
    rights = verdicts.read(union).rights
    # Of as many images under each threat, others: 40 less hold under both.
    assert rights["standard"].sum(axis=1).tolist() == [240, 242, 241]
    alone = [verdicts.read(block).rights["standard"] for block in each]
    assert (rights["standard"] == (alone[0] & alone[1])).all()
    found = verdicts.judge_blocks(blocks_in(tmp_path), "pgd-at")
    said = {stem: one.verdicts["standard"] for stem, one in found.items()}
    assert said[union.stem].relation == "worse"
    assert said[union.stem].difference == pytest.approx(-40 / 360)
    assert {said[block.stem].difference for block in each} == {0}


def test_the_notes_state_the_margin_and_the_rate_of_seed_pairs(results):
    # Seeds 104 and 99 of `standard` differ by 5 images: p = 1/16. None is called different.
    notes = " ".join(judged(results, "pgd-at").notes)
    assert "within ±1 point" in notes and "hold together for the 2 rows and all pairs" in notes
    assert "Too few" not in notes
    assert "calls 0 of 9 seed pairs" in notes
    seeds_of(results, "mart", (300, 294))
    notes = " ".join(judged(results, "pgd-at").notes)
    assert "calls 1 of 10 seed pairs" in notes
    # The row of two seeds is none of the family.
    assert (
        "hold together for the 2 rows and all pairs" in notes
        and "Too few seeds: fewer than 3" in notes
    )


def test_the_reference_that_the_runs_name_is_taken(tmp_path):
    seeds_of(tmp_path, "pgd-at", (300, 302), reference="pgd-at")
    seeds_of(tmp_path, "trades", (310, 311), reference="pgd-at")
    seeds_of(tmp_path, "mart", (290, 292))  # recorded before runs named one
    found = judged(tmp_path)
    assert (found.reference, set(found.verdicts)) == ("pgd-at", {"trades", "mart"})
    assert judged(tmp_path, "mart").reference == "mart"


def test_without_one_reference_there_is_no_verdict_and_a_note_why(results):
    found = judged(results)
    assert (found.reference, found.verdicts) == (None, {})
    assert found.notes[0] == (
        "No verdicts: the runs name no reference; `regmix-bench report --reference LABEL`"
        " chooses one."
    )
    # Which is the best needs none.
    assert set(found.best) == {"pgd-at", "trades"} and "Bold: the best group" in found.notes[1]
    assert "seed pairs" in found.notes[2]


def test_runs_that_name_different_references_have_none(tmp_path):
    seeds_of(tmp_path, "pgd-at", (300, 302), reference="pgd-at")
    seeds_of(tmp_path, "trades", (310, 311), reference="trades")
    found = judged(tmp_path)
    assert found.verdicts == {}
    assert "the runs name several references (pgd-at, trades);" in found.notes[0]


def test_a_reference_that_is_no_row_anywhere_is_refused(results):
    with pytest.raises(UserError, match="unknown reference 'pgdat': did you mean 'pgd-at'"):
        judged(results, "pgdat")


def test_a_reference_of_another_table_is_a_note(results):
    seeds_of(results, "mart", (200, 201), epsilon="48/255")
    notes = {
        stem: found.notes[0]
        for stem, found in verdicts.judge_blocks(blocks_in(results), "mart").items()
    }
    assert notes == {
        "digits-smallcnn-4a2cf431-Linf-32-255": "No verdicts: there is no row mart here.",
        "digits-smallcnn-4a2cf431-Linf-48-255": "What one seed is worth: McNemar's exact test at"
        " 5 % calls 0 of 1 seed pairs of one method different.",
    }


@pytest.mark.parametrize("counts", [(250,), (250, 251)])
def test_below_three_seeds_there_is_a_difference_without_interval_or_verdict(results, counts):
    before = judged(results, "pgd-at").verdicts
    seeds_of(results, "mart", counts)
    found = judged(results, "pgd-at")
    few = found.verdicts["mart"]
    assert (found.by_label["mart"].seeds, few.interval, few.p_value) == (len(counts), None, None)
    assert few.relation == "too few seeds"
    assert few.difference == pytest.approx((sum(counts) / len(counts) - 301) / 360)
    # It takes nothing from the verdicts of the others.
    assert {name: found.verdicts[name] for name in before} == before
    alone = judged(results, "mart")
    assert alone.reference == "mart"
    assert {one.relation for one in alone.verdicts.values()} == {"too few seeds"}
    assert "hold for" not in " ".join(alone.notes)


def test_two_seeds_that_agree_are_no_verdict(tmp_path):
    seeds_of(tmp_path, "pgd-at", (55, 55), reference="pgd-at")
    seeds_of(tmp_path, "trades", (56, 56), reference="pgd-at")
    assert judged(tmp_path).verdicts["trades"].relation == "too few seeds"
    for label, count in (("pgd-at", 55), ("trades", 56)):
        write_run(tmp_path, make_spec(label, "32/255", seed=2), autoattack=count)
    found = judged(tmp_path, "pgd-at").verdicts["trades"]
    assert found.p_value is not None and found.p_value > 0.05
    assert found.interval is not None and found.interval[0] < 0 < found.interval[1]


def test_a_seed_that_lacks_its_outcomes_is_left_out_and_the_note_says_so(results):
    forget_outcomes(next(results.glob("*/*/trades-*-s1-*.json")))
    found = judged(results, "pgd-at")
    assert {row.label: row.seeds for row in found.rows} == {
        "pgd-at": 3,
        "standard": 3,
        "trades": 2,
    }
    (note,) = (note for note in found.notes if "outcomes per image alone" in note)
    assert note.endswith(": trades on 2 of 3.")
    for record in results.glob("*/*/trades-*.json"):
        if paths.outcomes_path(record, "selected").exists():
            forget_outcomes(record)
    found = judged(results, "pgd-at")
    assert set(found.verdicts) == {"standard"}
    assert "No verdict: trades: no outcomes per image." in found.notes
    alone = judged(results, "trades")
    assert (alone.reference, alone.verdicts) == (None, {})
    assert alone.notes[0] == "No verdicts: trades has no outcomes per image."


def test_outcomes_that_a_record_names_and_that_are_gone_are_refused(results):
    next(results.glob("*/*/trades-*-s1-*.outcomes.parquet")).unlink()
    with pytest.raises(UserError, match=r"is missing, the outcomes that trades-.*-s1-.*json names"):
        judged(results, "pgd-at")


def test_two_rows_of_one_label_need_the_whole_one(results):
    other = {"method": make_spec("pgd-at").method.model_copy(update={"version": 2})}
    for seed in range(2):
        write_run(results, make_spec("pgd-at", seed=seed, **other), autoattack=250)
    assert "there are several rows pgd-at" in judged(results, "pgd-at").notes[0]
    (block,) = blocks_in(results)
    label = next(row.label for row in block.rows if row.label.startswith("pgd-at #"))
    assert judged(results, label).reference == label


def test_outcomes_that_disagree_with_their_record_are_refused(results):
    file = next(results.glob("*/*/trades-*-s1-*.outcomes.parquet"))
    frame = pd.read_parquet(file)
    store.write_parquet(file, frame.assign(broken_by=""))
    with pytest.raises(UserError, match="its SHA-256 differs"):
        judged(results, "pgd-at")


def test_outcomes_of_other_images_are_refused(results):
    path = write_run(results, make_spec("mart"), outcomes=True)
    file = paths.outcomes_path(path, "selected")
    frame = pd.read_parquet(file)
    digest = store.write_parquet(file, frame.assign(index=frame["index"] + 1))
    record = store.load_run(path)
    scores = [one.model_copy(update={"outcomes_digest": digest}) for one in record.evaluations]
    store.save_record(results, record.model_copy(update={"evaluations": tuple(scores)}))
    with pytest.raises(UserError, match="different images"):
        judged(results, "pgd-at")


def test_the_frame_holds_every_verdict(results):
    seeds_of(results, "mart", (200, 201), epsilon="48/255")
    frame = verdicts.frame(verdicts.judge_blocks(blocks_in(results), "pgd-at"))
    assert frame["label"].tolist() == ["pgd-at", "trades", "standard"]
    assert frame["best_group"].tolist() == [True, True, False]
    for row in frame.itertuples():
        assert row.best_low < row.to_best < row.best_high and row.seeds == 3
    assert frame["verdict"].tolist()[1:] == ["not distinguishable", "worse"]
    for row in frame[1:].itertuples():
        assert row.low < row.difference < row.high and 0 < row.p_value <= 1
        assert row.reference_seeds == 3
    assert frame["verdict"].isna()[0] and frame["p_value"].isna()[0]
    assert verdicts.frame({}).empty


def test_the_spread_needs_two_methods_of_two_seeds(results, tmp_path_factory):
    (block,) = blocks_in(results)
    found = verdicts.spread(block)
    assert found is not None and found.seeds >= 0 and found.images > 0
    lone = tmp_path_factory.mktemp("lone")
    seeds_of(lone, "pgd-at", (300, 302))
    seeds_of(lone, "mart", (300,))
    (block,) = blocks_in(lone)
    assert verdicts.spread(block) is None
