from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.histories import planted_history
from support.saved_views import make_views, save_views
from support.synthetic import forget_outcomes, make_eval_spec, make_record, make_spec, write_run

from regmix_bench.analysis.drops import ALPHA, CorrectCounts, Verdict, judge_counts
from regmix_bench.analysis.references import METRICS, renew_references
from regmix_bench.analysis.regression import compare_with_references as check
from regmix_bench.errors import UserError
from regmix_bench.records import paths, store
from regmix_bench.records.migrations import LEADERBOARD
from regmix_bench.records.schema import EpochLog
from regmix_bench.specs import Recipe, Scoring
from regmix_bench.system.files import file_digest
from regmix_bench.types import ThreatModel

N = 360
L1 = {"norm": "L1", "epsilon": "1"}


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A leaderboard that holds one run, with its outcomes."""
    write_run(tmp_path / "held", make_spec())
    renew_references(tmp_path / "held", tmp_path / "held" / paths.LEADERBOARD)
    return tmp_path / "held" / paths.LEADERBOARD


def failed(verdicts: Iterable[Verdict]) -> bool:
    return any(verdict.failed for verdict in verdicts)


def by_metric(verdicts: list[Verdict]) -> dict[str, Verdict]:
    assert len({verdict.metric for verdict in verdicts}) == len(verdicts)
    return {verdict.metric: verdict for verdict in verdicts}


def test_records_are_ok_beside_themselves(held: Path) -> None:
    verdicts = check(held.parent, held)
    assert [verdict.metric for verdict in verdicts] == ["clean_acc", "pgd_acc", "autoattack_acc"]
    assert not failed(verdicts)
    for verdict in verdicts:
        assert (verdict.verdict, verdict.difference) == ("ok", 0)
        assert verdict.tolerance == 7 / N
        assert verdict.note == "paired: 0 lost, 0 gained of 360 images"


def test_a_union_is_held_where_each_threat_alone_shows_no_loss(tmp_path: Path) -> None:
    threats = (ThreatModel("Linf", "32/255"), ThreatModel("L2", "0.5"))
    board = tmp_path / "held" / paths.LEADERBOARD
    for folder, moved in {"held": 0, "now": 40}.items():
        for seed in (0, 1):
            spec = make_spec(seed=seed, eval_threats=threats)
            write_run(tmp_path / folder, spec, autoattack=290, fixed=(0, moved))
    renew_references(tmp_path / "held", board)
    assert not failed(check(board.parent, board))
    found = check(tmp_path / "now", board)
    assert {(str(v.threat), v.seed) for v in found if v.failed} == {
        ("all of Linf 32/255, L2 0.5", seed) for seed in (0, 1, None)
    }
    union = next(v for v in found if v.verdict == "regressed")
    assert (union.metric, union.note) == (
        "autoattack_acc",
        "paired: 40 lost, 0 gained of 360 images",
    )


@pytest.mark.parametrize("forged", ["autoattack_acc", "threats"])
def test_a_union_of_what_is_not_held_is_refused(tmp_path: Path, forged: str) -> None:
    threats = (ThreatModel("Linf", "32/255"), ThreatModel("L2", "0.5"))
    write_run(tmp_path, make_spec(eval_threats=threats))
    renew_references(tmp_path, board := tmp_path / paths.LEADERBOARD)
    content = json.loads(board.read_text())
    (union,) = content["runs"][0]["unions"]
    union[forged] = None if forged == "autoattack_acc" else [*union["threats"][:1], L1]
    board.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"no autoattack_acc|not among its evaluations"):
        check(tmp_path, board)


def test_the_leaderboard_speaks_the_records_language(held: Path) -> None:
    board = json.loads(held.read_text())
    assert board["schema_version"] == LEADERBOARD.version
    (entry,) = board["runs"]
    record = json.loads((held.parent / entry["record"]).read_text())
    for name in ("run_id", "spec", "data_digest", "evaluations"):
        assert entry[name] == record[name]
    outcomes = held.parent / entry["outcomes"]["selected"]["file"]
    assert file_digest(outcomes) == entry["outcomes"]["selected"]["sha256"]


def test_a_planted_loss_is_caught_at_the_printed_tolerance(held: Path, tmp_path: Path) -> None:
    printed = by_metric(check(held.parent, held))["autoattack_acc"].tolerance
    assert printed is not None
    for lost, expected in [(round(printed * N), "regressed"), (round(printed * N) - 1, "ok")]:
        results = tmp_path / f"lost-{lost}"
        write_run(results, make_spec(), autoattack=300 - lost)
        verdicts = by_metric(check(results, held))
        assert verdicts["autoattack_acc"].verdict == expected
        assert verdicts["autoattack_acc"].note == f"paired: {lost} lost, 0 gained of 360 images"
        assert verdicts["autoattack_acc"].difference == pytest.approx(-lost / N)
        assert verdicts["pgd_acc"].verdict == verdicts["clean_acc"].verdict == "ok"
        assert failed(verdicts.values()) == (expected == "regressed")


def test_a_gain_is_improved_and_does_not_fail(held: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "now", make_spec(), autoattack=307)
    verdicts = check(tmp_path / "now", held)
    assert by_metric(verdicts)["autoattack_acc"].verdict == "improved"
    assert not failed(verdicts)


def test_images_that_trade_places_widen_the_tolerance(held: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "now", make_spec(), fixed=10)
    verdict = by_metric(check(tmp_path / "now", held))["autoattack_acc"]
    assert verdict.note == "paired: 10 lost, 10 gained of 360 images"
    assert verdict.verdict == "ok" and verdict.difference == 0
    assert verdict.tolerance is not None and verdict.tolerance > 7 / N


@given(st.integers(0, 60), st.integers(0, 60), st.booleans())
@settings(deadline=None)
def test_the_tolerance_is_exactly_the_border(lost: int, gained: int, paired: bool) -> None:
    spec = make_spec()
    blank = Verdict(
        *("r.json", "l", "n", "d", "a", 0, "selected", spec.train_threat, "pgd_acc"),
        *(N, None, None, None, None, "ok", ""),
    )
    counts = CorrectCounts(N, 300, 300 - lost + gained, (lost, gained) if paired else None)
    verdict = judge_counts(blank, counts)
    assert verdict.tolerance is not None and verdict.difference is not None
    border = round(verdict.tolerance * N)
    assert (verdict.verdict == "regressed") == (lost - gained >= border)
    if paired:
        assert (verdict.verdict == "improved") == (gained - lost >= border)


@pytest.mark.parametrize("side", ["reference", "now"])
def test_without_outcomes_the_comparison_is_binomial(held: Path, tmp_path: Path, side: str) -> None:
    now = write_run(tmp_path / "now", make_spec(), autoattack=290)
    assert by_metric(check(tmp_path / "now", held))["autoattack_acc"].verdict == "regressed"
    forget_outcomes(now if side == "now" else held.parent / now.relative_to(tmp_path / "now"))
    verdict = by_metric(check(tmp_path / "now", held))["autoattack_acc"]
    assert verdict.verdict == "ok"
    assert verdict.note.startswith("unpaired: ")
    assert verdict.tolerance is not None
    drop = round(verdict.tolerance * N)
    for lost, expected in [(drop, "regressed"), (drop - 1, "ok")]:
        write_run(tmp_path / "now", make_spec(), autoattack=300 - lost, outcomes=side != "now")
        assert by_metric(check(tmp_path / "now", held))["autoattack_acc"].verdict == expected


def test_outcomes_that_a_record_names_are_not_done_without(held: Path, tmp_path: Path) -> None:
    record = write_run(tmp_path / "now", make_spec(), autoattack=290)
    paths.outcomes_path(record, "selected").unlink()
    for ask in (check, renew_references):
        with pytest.raises(UserError, match=f"outcomes.parquet is missing, .*{record.name} names"):
            ask(tmp_path / "now", held)


def test_neither_are_views_that_a_record_names(held: Path, tmp_path: Path) -> None:
    """Though no number is compared with them: a record without its files is not whole."""
    save_views(write_run(tmp_path / "now", make_spec()), make_views()).unlink()
    with pytest.raises(UserError, match=r"views.safetensors is missing: `regmix-bench inspect`"):
        check(tmp_path / "now", held)


def test_few_images_say_that_they_resolve_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, make_spec(), n=6, clean=6, pgd=6, autoattack=6)
    renew_references(tmp_path, tmp_path / "board.json")
    for verdict in check(tmp_path, tmp_path / "board.json"):
        assert verdict.tolerance is None
        assert "too few to resolve any drop" in verdict.note


def test_a_rerun_in_place_is_compared_unpaired(held: Path) -> None:
    write_run(held.parent, make_spec(), autoattack=200)
    verdict = by_metric(check(held.parent, held))["autoattack_acc"]
    assert verdict.verdict == "regressed"
    assert verdict.note == "unpaired: this run has replaced the reference's outcomes"


def test_outcomes_of_other_images_are_not_paired(held: Path, tmp_path: Path) -> None:
    record = write_run(tmp_path / "now", make_spec(), scored={"outcomes_digest": None})
    path = paths.outcomes_path(record, "selected")
    store.write_parquet(path, pd.read_parquet(path).assign(index=lambda f: f["index"] + 1))
    notes = {verdict.note for verdict in check(tmp_path / "now", held)}
    assert notes == {"unpaired: the outcomes are of different images"}


def test_seeds_are_pooled_and_resolve_less(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / "held", make_spec(seed=seed))
        # One lost point: four of 360 images, which no single seed resolves.
        write_run(tmp_path / "now", make_spec(seed=seed), autoattack=296)
    board = tmp_path / "board.json"
    renew_references(tmp_path / "held", board)
    verdicts = check(tmp_path / "now", board)
    assert len(verdicts) == 3 * 3 + 3
    single = [v for v in verdicts if v.metric == "autoattack_acc" and v.seed is not None]
    assert {v.verdict for v in single} == {"ok"} and len(single) == 3
    (pooled,) = [v for v in verdicts if v.metric == "autoattack_acc" and v.seed is None]
    assert pooled.verdict == "regressed" and failed(verdicts)
    assert pooled.n_examples == 3 * N
    assert pooled.note == "paired: 12 lost, 0 gained of 1080 images"
    assert pooled.record == "digits/smallcnn/trades-Linf-32-255-s*"
    assert pooled.difference == pytest.approx(-12 / 1080)


def test_seeds_are_not_pooled_while_one_is_missing(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / "held", make_spec(seed=seed))
    renew_references(tmp_path / "held", tmp_path / "board.json")
    write_run(tmp_path / "now", make_spec(seed=0))
    verdicts = check(tmp_path / "now", tmp_path / "board.json")
    assert Counter((v.seed, v.verdict) for v in verdicts) == {(0, "ok"): 3, (1, "missing"): 3}


def test_clean_accuracy_is_compared_once_a_checkpoint(tmp_path: Path) -> None:
    threats = tuple(ThreatModel("Linf", f"{k}/255") for k in (16, 32, 48))
    write_run(tmp_path, make_spec(eval_threats=threats))
    renew_references(tmp_path, tmp_path / "board.json")
    verdicts = check(tmp_path, tmp_path / "board.json")
    counted = Counter(verdict.metric for verdict in verdicts)
    assert counted == {"clean_acc": 1, "pgd_acc": 3, "autoattack_acc": 3}
    assert all(verdict.note.startswith("paired: 0 lost") for verdict in verdicts)


def test_threats_typed_in_another_way_are_the_same(tmp_path: Path) -> None:
    write_run(tmp_path / "held", make_spec(epsilon="8/255"))
    renew_references(tmp_path / "held", tmp_path / "board.json")
    write_run(tmp_path / "now", make_spec(epsilon="16/510"))
    verdicts = check(tmp_path / "now", tmp_path / "board.json")
    assert {v.note for v in verdicts} == {"paired: 0 lost, 0 gained of 360 images"}


def test_threats_typed_in_another_order_are_the_same(tmp_path: Path) -> None:
    threats = (ThreatModel("Linf", "32/255"), ThreatModel("L2", "0.5"), ThreatModel("L2", "0.1"))
    attacked = {"eval_threats": threats[:2], "pgd_threats": threats[2:]}
    turned = {"eval_threats": threats[1::-1], "pgd_threats": threats[2:]}
    write_run(tmp_path / "held", make_spec(**attacked))
    renew_references(tmp_path / "held", tmp_path / "board.json")
    write_run(tmp_path / "now", make_spec(**turned))
    verdicts = check(tmp_path / "now", tmp_path / "board.json")
    assert {v.note for v in verdicts} == {"paired: 0 lost, 0 gained of 360 images"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": Recipe(epochs=5)}, "recipe.epochs 50 → 5"),
        ({"train_examples": 500}, "train_examples none → 500"),
        ({"scoring": Scoring(autoattack_seed=3)}, "scoring.autoattack_seed 0 → 3"),
        (
            {"eval_threats": (ThreatModel("Linf", "32/255"), ThreatModel("Linf", "48/255"))},
            "eval_threats Linf 32/255 → Linf 32/255, Linf 48/255",
        ),
    ],
)
def test_another_setting_is_not_comparable(
    held: Path, tmp_path: Path, change: dict[str, object], named: str
) -> None:
    write_run(tmp_path / "now", make_spec(**change), autoattack=100)
    verdicts = check(tmp_path / "now", held)
    assert {(v.verdict, v.note) for v in verdicts} == {("not comparable", named)}
    assert by_metric(verdicts)["autoattack_acc"].now == 100 / N
    assert failed(verdicts)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data_digest": "e" * 64}, f"data_digest {'d' * 64} → {'e' * 64}"),
        ({"scored": {"n_examples": 720}}, "n_examples 360 → 720"),
        ({"scored": {"autoattack_version": "rand"}}, "autoattack_version standard → rand"),
        ({"scored": {"substitutions": ("no fab-t",)}}, "substitutions none → no fab-t"),
    ],
)
def test_the_same_run_measured_otherwise_is_not_comparable(
    held: Path, tmp_path: Path, change: dict[str, object], named: str
) -> None:
    write_run(tmp_path / "now", make_spec(), **change)
    verdicts = check(tmp_path / "now", held)
    assert {(v.verdict, v.note) for v in verdicts} == {("not comparable", named)}
    assert failed(verdicts)


@pytest.mark.parametrize("scoring", [Scoring(), Scoring(screen=True)])
def test_a_screened_accuracy_is_held_by_no_reference(
    held: Path, tmp_path: Path, scoring: Scoring
) -> None:
    now = tmp_path / "now"
    write_run(now, make_spec(scoring=scoring), scored={"autoattack_acc": None})
    verdicts = check(now, held)
    assert [v.metric for v in verdicts] == list(METRICS)
    found = {(v.verdict, v.note, v.now) for v in verdicts if v.metric == "autoattack_acc"}
    screened = ("not comparable", "scoring.screen False → True", None)
    lost = ("missing", "AutoAttack did not run on the selected checkpoint", None)
    assert found == {screened if scoring.screen else lost}
    with pytest.raises(UserError, match="no record with AutoAttack"):
        renew_references(now, now / paths.LEADERBOARD)


def test_the_own_run_is_preferred_then_the_nearest(held: Path, tmp_path: Path) -> None:
    now = tmp_path / "now"
    write_run(now, make_spec(recipe=Recipe(epochs=5, lr=0.5)))
    write_run(now, make_spec(recipe=Recipe(epochs=7)))
    assert {v.note for v in check(now, held)} == {"recipe.epochs 50 → 7"}
    write_run(now, make_spec())
    assert {v.verdict for v in check(now, held)} == {"ok"}


def test_missing_names_its_reason(held: Path, tmp_path: Path) -> None:
    now = tmp_path / "now"

    def outcome() -> tuple[str, str]:
        verdicts = check(now, held)
        assert failed(verdicts) and len(verdicts) == 3
        ((verdict, note),) = {(v.verdict, v.note) for v in verdicts}
        return verdict, note

    assert outcome() == ("missing", "no record of this run")
    write_run(now, make_spec(seed=1))
    assert outcome() == ("missing", "no record of this run")
    error = "Traceback:\n  in step\nFloatingPointError: the loss is nan\n"
    store.save_record(now, make_record(make_spec(), status="error", error=error))
    assert outcome() == ("missing", "the run failed: FloatingPointError: the loss is nan")
    store.save_record(now, make_record(make_spec()))
    assert outcome() == ("missing", "no score of the selected checkpoint under Linf 32/255")
    write_run(now, make_spec(), scored={"autoattack_acc": None})
    assert outcome() == ("missing", "AutoAttack did not run on the selected checkpoint")


def test_only_chooses_references(tmp_path: Path) -> None:
    for label in ("trades", "pgd-at", "fgsm-pgi[lambda_=1]"):
        write_run(tmp_path, make_spec(label))
    board = tmp_path / "board.json"
    renew_references(tmp_path, board)
    assert {v.label for v in check(tmp_path, board)} == {"trades", "pgd-at", "fgsm-pgi[lambda_=1]"}
    assert {v.label for v in check(tmp_path, board, "digits/*/pgd-at-*")} == {"pgd-at"}
    with pytest.raises(UserError, match="unknown reference 'cifar10/"):
        check(tmp_path, board, "cifar10/*")


def test_update_makes_the_present_the_reference(held: Path, tmp_path: Path) -> None:
    now = tmp_path / "now"
    write_run(now, make_spec(), autoattack=100)
    store.save_record(now, make_record(make_spec("mart"), status="error", error="x"))
    store.save_record(now, make_record(make_spec("pgd-at")))
    assert failed(check(now, held))
    board = renew_references(now, held)
    assert [entry.spec.method.label for entry in board.runs] == ["trades"]
    verdicts = check(now, held)
    assert {v.verdict for v in verdicts} == {"ok"}
    assert by_metric(verdicts)["autoattack_acc"].note.startswith("paired")


def test_update_writes_nothing_where_nothing_is_scored(held: Path, tmp_path: Path) -> None:
    before = held.read_bytes()
    with pytest.raises(UserError, match="no record with AutoAttack"):
        renew_references(tmp_path / "empty", held)
    assert held.read_bytes() == before


def test_a_moved_folder_keeps_its_pairs(held: Path, tmp_path: Path) -> None:
    held.parent.rename(tmp_path / "moved")
    verdicts = check(tmp_path / "moved", tmp_path / "moved" / paths.LEADERBOARD)
    assert {v.note for v in verdicts} == {"paired: 0 lost, 0 gained of 360 images"}


def test_tampered_reference_outcomes_are_refused(held: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "now", make_spec())
    (file,) = held.parent.rglob("*.outcomes.parquet")
    store.write_parquet(file, pd.read_parquet(file).assign(broken_by=""))
    with pytest.raises(UserError, match="SHA-256 differs"):
        check(tmp_path / "now", held)


@pytest.mark.parametrize("side", ["held", "now"])
def test_outcomes_that_may_not_be_read_are_one_line(
    held: Path, tmp_path: Path, refuse_reading, side: str
) -> None:
    write_run(tmp_path / "now", make_spec())
    (file,) = (tmp_path / side).rglob("*.outcomes.parquet")
    refuse_reading(file)
    with pytest.raises(UserError, match=f"^cannot read {file}: Permission denied$"):
        check(tmp_path / "now", held)


def broken(file: Path, kind: str) -> None:
    frame = pd.read_parquet(file)
    if kind == "no parquet":
        file.write_bytes(b"PAR1 but not really")
    elif kind == "column gone":
        store.write_parquet(file, frame.drop(columns="broken_by"))
    elif kind == "no epsilon":
        store.write_parquet(file, frame.assign(epsilon="8/0"))
    elif kind == "other counts":
        store.write_parquet(file, frame.assign(broken_by=""))
    elif kind == "other threat":
        store.write_parquet(file, frame.assign(norm="L2"))
    elif kind == "replaced":
        store.write_parquet(file, frame.assign(label=0))
    elif kind == "image twice":
        store.write_parquet(file, frame.assign(index=0))
    else:
        raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no parquet", "is not an outcomes file"),
        ("column gone", "is not an outcomes file"),
        ("no epsilon", "is not an outcomes file"),
        ("other counts", "does not hold the outcomes"),
        ("other threat", "does not hold the outcomes"),
        ("replaced", "is not the outcomes file of its record: its SHA-256 differs"),
        ("image twice", "does not hold the outcomes"),
    ],
)
def test_outcomes_that_disagree_with_their_record_are_refused(
    held: Path, tmp_path: Path, kind: str, message: str
) -> None:
    scored = {} if kind == "replaced" else {"outcomes_digest": None}
    record = write_run(tmp_path / "now", make_spec(), scored=scored)
    file = paths.outcomes_path(record, "selected")
    broken(file, kind)
    with pytest.raises(UserError, match=message) as caught:
        check(tmp_path / "now", held)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    before = held.read_bytes()
    with pytest.raises(UserError, match=message):
        renew_references(tmp_path / "now", held)
    assert held.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a leaderboard"),
        ("[" * 100_000, "is not a leaderboard"),
        ("[]", "is not a leaderboard: it has no schema_version"),
        ('{"schema_version": 1, "runs": []}', "is not a leaderboard: holds no reference"),
        ('{"schema_version": 1, "runs": [{}]}', "is not a leaderboard: runs.0"),
        ('{"schema_version": 0, "runs": []}', "has schema 0, which no migration reads"),
        (
            '{"schema_version": 99}',
            "has schema 99, this version reads up to 4: upgrade regmix-bench",
        ),
    ],
)
def test_a_file_that_is_no_leaderboard_is_one_line(
    tmp_path: Path, content: str, message: str
) -> None:
    board = tmp_path / "board.json"
    board.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        check(tmp_path, board)
    assert "\n" not in str(caught.value)


def test_a_missing_leaderboard_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`regmix-bench check --update` makes them"):
        check(tmp_path, tmp_path / "board.json")
    with pytest.raises(UserError, match="cannot read leaderboard"):
        check(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("run_id",), "0" * 12, "is not that of its specification"),
        (("spec", "seed"), 7, "is not that of its specification"),
        (("evaluations", 0, "autoattack_acc"), None, "has no autoattack_acc"),
        (("evaluations", 0, "autoattack_acc"), 0.5, "does not hold the outcomes"),
        (("spec", "train_threat", "epsilon"), "8/0", "is not a leaderboard: epsilon '8/0'"),
    ],
)
def test_an_edited_reference_is_refused(
    held: Path, tmp_path: Path, path: tuple[str | int, ...], value: object, message: str
) -> None:
    write_run(tmp_path / "now", make_spec())
    content = json.loads(held.read_text())
    place = content["runs"][0]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    held.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        check(tmp_path / "now", held)


@pytest.mark.parametrize("checkpoint", ["selected", "given"])
def test_a_warned_of_score_fails_unless_allowed_by_name(tmp_path: Path, checkpoint) -> None:
    spec = make_spec() if checkpoint == "selected" else make_eval_spec()
    write_run(tmp_path / "held", spec, checkpoint=checkpoint)
    board = tmp_path / "board.json"
    renew_references(tmp_path / "held", board)
    raised = {"checks": ("softmax-output", "zero-gradients")}
    write_run(tmp_path / "now", spec, checkpoint=checkpoint, scored=raised)

    def reliability(*allow: str) -> tuple[str, str]:
        verdicts = by_metric(check(tmp_path / "now", board, allow=allow))
        assert {verdicts.pop(name).verdict for name in METRICS} == {"ok"}
        (verdict,) = verdicts.values()
        assert (verdict.metric, verdict.checkpoint) == ("reliability", checkpoint)
        assert (verdict.reference, verdict.now, verdict.difference) == (None, None, None)
        assert verdict.failed == (verdict.verdict == "unreliable")
        return verdict.verdict, verdict.note

    refused, note = reliability()
    assert refused == "unreliable" and note.startswith("raised softmax-output, zero-gradients: ")
    refused, note = reliability("softmax-output")
    assert refused == "unreliable" and note.startswith("raised zero-gradients: ")
    allowed = ("ok", "raised and allowed: softmax-output, zero-gradients")
    assert reliability("softmax-output", "zero-gradients") == allowed

    renew_references(tmp_path / "now", board, ("zero-gradients", "softmax-output"))
    assert json.loads(board.read_text())["allowed"] == ["softmax-output", "zero-gradients"]
    assert reliability() == allowed
    renew_references(tmp_path / "now", board)
    assert reliability()[0] == "unreliable"


HEALTHY = planted_history((0.3, 0.4, 0.4), (0.4, 0.5, 0.5))
CAUGHT = planted_history((0.3, 0.4, 0.0), (0.4, 0.5, 0.9))
RECOVERED = planted_history((0.3, 0.0, 0.4), (0.4, 0.9, 0.5))


@pytest.mark.parametrize(("now", "epoch"), [(CAUGHT, 3), (RECOVERED, 2)])
def test_catastrophic_overfitting_that_is_new_fails_unless_allowed_by_name(
    tmp_path: Path, now: tuple[EpochLog, ...], epoch: int
) -> None:
    for seed in (0, 1):
        write_run(tmp_path / "held", make_spec(seed=seed), history=HEALTHY)
    board = tmp_path / "board.json"
    renew_references(tmp_path / "held", board)
    assert not failed(check(tmp_path / "held", board))
    write_run(tmp_path / "now", make_spec(seed=0), history=HEALTHY)
    write_run(tmp_path / "now", make_spec(seed=1), history=now)

    def verdicts(*allow: str) -> list[Verdict]:
        found = check(tmp_path / "now", board, allow=allow)
        assert {v.verdict for v in found if v.metric != "overfitting"} == {"ok"}
        return [v for v in found if v.metric == "overfitting"]

    (verdict,) = verdicts()
    assert (verdict.seed, verdict.verdict, verdict.failed) == (1, "overfitted", True)
    assert verdict.note == (
        f"catastrophic from epoch {epoch}, not known of the reference:"
        " --allow catastrophic-overfitting accepts it"
    )
    (verdict,) = verdicts("catastrophic-overfitting")
    assert verdict.verdict == "ok" and verdict.note == f"catastrophic from epoch {epoch}, allowed"

    renew_references(tmp_path / "now", board)
    (verdict,) = verdicts()
    assert verdict.verdict == "ok"
    assert verdict.note == f"catastrophic from epoch {epoch}, that of the reference from {epoch}"
    assert not failed(check(tmp_path / "held", board))  # it no longer does


def test_a_reference_that_knows_no_onset_counts_as_one_that_had_none(tmp_path: Path) -> None:
    write_run(tmp_path, make_spec(), history=CAUGHT)
    board = tmp_path / "board.json"
    renew_references(tmp_path, board)
    content = json.loads(board.read_text())
    del content["runs"][0]["onset"]
    board.write_text(json.dumps(content | {"schema_version": 3}))
    assert by_metric(check(tmp_path, board))["overfitting"].verdict == "overfitted"


def test_another_training_than_the_references_is_not_judged_for_overfitting(tmp_path: Path) -> None:
    write_run(tmp_path / "held", make_spec(), history=HEALTHY)
    board = tmp_path / "board.json"
    renew_references(tmp_path / "held", board)
    write_run(tmp_path / "now", make_spec(recipe=Recipe(epochs=7)), history=CAUGHT)
    assert {v.metric for v in check(tmp_path / "now", board)} == set(METRICS)


@pytest.mark.parametrize("attacks", [("square",), ("fab-t", "mine[steps=3]")])
def test_an_attack_that_failed_fails_unless_it_is_allowed(tmp_path: Path, attacks) -> None:
    """Allowed or not, there is no robust accuracy to compare."""
    write_run(tmp_path / "held", make_spec())
    board = tmp_path / "board.json"
    renew_references(tmp_path / "held", board)
    broken = {
        "autoattack_acc": None,
        "failed_attacks": dict.fromkeys(attacks, "ValueError: no luck"),
        "checks": ("failed-attack",),
    }
    write_run(tmp_path / "now", make_spec(), scored=broken)
    found = by_metric(check(tmp_path / "now", board))
    assert found["autoattack_acc"].verdict == "missing" and failed(found.values())
    assert all(f"{name} failed: ValueError: no luck" in found["pgd_acc"].note for name in attacks)
    assert found["reliability"].note == "raised failed-attack: --allow accepts it by name"
    found = by_metric(check(tmp_path / "now", board, allow=("failed-attack",)))
    assert {name: verdict.verdict for name, verdict in found.items()} == {
        "clean_acc": "ok",
        "pgd_acc": "ok",
        "reliability": "ok",
    }
    with pytest.raises(UserError, match="no record with AutoAttack"):
        renew_references(tmp_path / "now", board)


def test_each_warned_of_evaluation_is_named(tmp_path: Path) -> None:
    threats = tuple(ThreatModel("Linf", f"{k}/255") for k in (16, 32))
    raised = {"checks": ("square-stronger-than-white-box",)}
    for seed in (0, 1):
        write_run(tmp_path, make_spec(eval_threats=threats, seed=seed), scored=raised)
    board = tmp_path / "board.json"
    renew_references(tmp_path, board)
    unreliable = [v for v in check(tmp_path, board) if v.verdict == "unreliable"]
    # Warnings are no counts: those of several seeds are not pooled.
    assert [(v.seed, str(v.threat)) for v in unreliable] == [
        (seed, f"Linf {k}/255") for seed in (0, 1) for k in (16, 32)
    ]
    assert all("square-stronger-than-white-box" in verdict.note for verdict in unreliable)


def test_a_given_model_is_held_like_a_run(tmp_path: Path) -> None:
    square = Scoring(autoattack_version="custom", attacks=("square",))
    for spec in (make_eval_spec(), make_eval_spec(scoring=square)):
        write_run(tmp_path / "held", spec, checkpoint="given")
    board = tmp_path / "board.json"
    assert len(renew_references(tmp_path / "held", board).runs) == 2
    assert {v.note for v in check(tmp_path / "held", board)} == {
        "paired: 0 lost, 0 gained of 360 images"
    }
    write_run(tmp_path / "now", make_eval_spec(), checkpoint="given", autoattack=200)
    verdicts = check(tmp_path / "now", board, "digits/evaluated/*")
    judged = {(v.metric, v.verdict) for v in verdicts if v.verdict != "not comparable"}
    assert judged == {
        ("clean_acc", "ok"),
        ("pgd_acc", "ok"),
        ("autoattack_acc", "regressed"),
    }
    notes = {v.note for v in verdicts if v.verdict == "not comparable"}
    (note,) = notes
    assert "scoring.autoattack_version custom → standard" in note


def test_references_of_version_1_are_still_read(tmp_path: Path) -> None:
    spec = make_spec()
    write_run(tmp_path, spec)
    board = tmp_path / "board.json"
    renew_references(tmp_path, board)
    content = json.loads(board.read_text())
    del content["allowed"]
    for entry in content["runs"]:
        del entry["spec"]["scoring"]["attacks"]
        for evaluation in entry["evaluations"]:
            for added in ("diagnoses", "adversarial_digest"):
                del evaluation[added]
    board.write_text(json.dumps(content | {"schema_version": 1}))
    assert {v.note for v in check(tmp_path, board)} == {"paired: 0 lost, 0 gained of 360 images"}


def test_the_level_is_that_of_the_documentation() -> None:
    assert ALPHA == 0.01
