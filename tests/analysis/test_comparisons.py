"""Two models on the same images, and the two commands that ask what a difference is worth."""

from __future__ import annotations

import re

import pytest
from support.checkpoints import write_checkpoints
from support.harness import cli
from support.synthetic import make_eval_spec, make_spec, write_run

from regmix_bench.analysis import comparisons as pairs
from regmix_bench.analysis.statistics import mcnemar
from regmix_bench.errors import UserError
from regmix_bench.records.paths import run_id_of
from regmix_bench.records.schema import TransferRecord, TransferSide
from regmix_bench.records.store import save_record
from regmix_bench.specs import ModelSource, Scoring
from regmix_bench.types import ThreatModel

RAND = Scoring(autoattack_version="rand")
SCREENED = Scoring(screen=True)
SCREENED_SCORE = {"scored": {"autoattack_acc": None, "screened_acc": 300 / 360}}
BOTH = (ThreatModel("Linf", "32/255"), ThreatModel("Linf", "48/255"))


def test_images_lost_and_gained_are_counted(tmp_path):
    one = write_run(tmp_path, make_spec("pgd-at"), autoattack=300)
    two = write_run(tmp_path, make_spec("trades"), autoattack=290, fixed=20)
    (pair,) = pairs.compare_records([one, two])
    # Images 0 to 299 against 20 to 309.
    assert (pair.right, pair.lost, pair.gained, pair.n_examples) == ((300, 290), 20, 10, 360)
    assert pair.p_value == mcnemar(20, 10)
    (back,) = pairs.compare_records([two, one])
    assert (back.lost, back.gained, back.p_value) == (10, 20, pair.p_value)


def test_screened_scores_are_a_pair_among_themselves(tmp_path):
    paths = [
        write_run(tmp_path, make_spec(label, scoring=SCREENED), **SCREENED_SCORE)
        for label in ("pgd-at", "trades")
    ]
    (pair,) = pairs.compare_records(paths)
    assert (pair.attack, pair.right) == ("PGD → AutoAttack", (300, 300))


def test_a_training_and_a_given_model_are_a_pair_too(tmp_path):
    one = write_run(tmp_path, make_spec("pgd-at"), autoattack=300)
    two = write_run(tmp_path, make_eval_spec(), autoattack=280, checkpoint="given")
    (pair,) = pairs.compare_records([one, two], checkpoint="selected")
    assert (pair.lost, pair.gained) == (20, 0)


@pytest.mark.parametrize(
    ("other", "eps"),
    [({}, "48/255"), ({"eval_threats": BOTH[1:]}, None), ({"scoring": RAND}, None)],
)
def test_where_there_is_no_pair_evaluations_are_named(tmp_path, other, eps):
    one = write_run(tmp_path, make_spec("pgd-at"))
    two = write_run(tmp_path, make_spec("trades", **other))
    with pytest.raises(UserError) as alone:
        pairs.compare_records([one, two], epsilon=eps)
    assert "Evaluations" not in str(alone.value)
    source = ModelSource(kind="run", name=f"{run_id_of(one)}:selected", sha256="a" * 64)
    spec = make_eval_spec(model=source, eval_threats=BOTH[1:])
    write_run(tmp_path, spec, checkpoint="given")
    with pytest.raises(UserError) as found:
        pairs.compare_records([one, two], epsilon=eps)
    said = f". Evaluations: {spec.run_id[:8]} is pgd-at {run_id_of(one)} under AutoAttack at Linf"
    assert str(found.value) == f"{alone.value}{said} 48/255"


@pytest.mark.parametrize("choice", ["selected", "last"])
def test_raw_weights_are_compared_whether_or_not_there_is_an_average_too(tmp_path, choice):
    names = ("selected", "last", "raw-selected", "raw-last")
    right = dict(zip(names, (range(20), range(19), range(8), range(2, 9)), strict=True))
    val = (0.5, 0.4)
    # Its raw weights have the tricks of the other training, which are none.
    one = write_checkpoints(tmp_path, right, val, val, robust=names, ema_decay=0.9)
    other = {"selected": range(6), "last": range(4)}
    two = write_checkpoints(tmp_path, other, val, label="trades", robust=tuple(other))
    (pair,) = pairs.compare_records([one, two], checkpoint=f"raw-{choice}")
    found = {"selected": ((8, 6), 2, 0), "last": ((7, 4), 5, 2)}[choice]
    assert (pair.right, pair.lost, pair.gained) == found
    with pytest.raises(UserError, match="were trained with other tricks"):
        pairs.compare_records([one, two], checkpoint=choice)


def test_a_checkpoint_without_a_score_is_refused_with_those_that_have_one(tmp_path):
    right = {"selected": range(6), "last": range(4)}
    runs = [
        write_checkpoints(tmp_path, right, (0.5, 0.4), seed=seed, robust=("last",))
        for seed in (0, 1)
    ]
    with pytest.raises(UserError, match=r"of the selected checkpoint: there is one of last$"):
        pairs.compare_records(runs)


def test_epsilon_chooses_among_the_common_threats(tmp_path):
    paths = [
        write_run(tmp_path, make_spec(label, eval_threats=BOTH)) for label in ("pgd-at", "trades")
    ]
    assert [pair.threat for pair in pairs.compare_records(paths)] == list(BOTH)
    (pair,) = pairs.compare_records(paths, epsilon="96/510")  # 48/255, typed in another way
    assert pair.threat == BOTH[1]
    with pytest.raises(UserError, match="unknown common ε '49/255': did you mean '48/255'"):
        pairs.compare_records(paths, epsilon="49/255")


@pytest.mark.parametrize(
    ("specified", "written", "reason"),
    [
        (
            {"epsilon": "48/255"},
            {},
            "no threat in common: TRADES [0-9a-f]+ was attacked under Linf 32/255",
        ),
        ({}, {"data_digest": "e" * 64}, "were scored on other images"),
        ({}, {"n": 350}, "were scored on other images"),
        ({"scoring": RAND}, {}, "by AutoAttack, pgd-at .* AutoAttack rand"),
        ({"scoring": SCREENED}, SCREENED_SCORE, "by AutoAttack, pgd-at .* by PGD → AutoAttack"),
        (
            {},
            {"scored": {"autoattack_seed": 1, "autoattack_batch_size": 100}},
            "in different ways: autoattack_seed 0 → 1; autoattack_batch_size 500 → 100: no pair",
        ),
        (
            {},
            {"scored": {"substitutions": ("no fab-t",)}},
            "substitutions none → no fab-t: no pair",
        ),
        ({}, {"outcomes": False}, "no outcomes per image at .*pgd-at"),
        ({}, {"checkpoint": "last"}, "has no AutoAttack score of the selected checkpoint"),
    ],
)
def test_what_is_no_pair_is_refused(tmp_path, specified, written, reason):
    one = write_run(tmp_path, make_spec("trades"))
    two = write_run(tmp_path, make_spec("pgd-at", **specified), **written)
    with pytest.raises(UserError, match=reason):
        pairs.compare_records([one, two])


def test_a_transfer_is_no_model(tmp_path):
    one = write_run(tmp_path, make_spec("pgd-at"))
    side = TransferSide(run_id="a" * 12, label="x", arch="smallcnn", seed=0, sha256="b" * 64)
    other = side.model_copy(update={"run_id": "b" * 12})
    record = TransferRecord(
        run_id="c" * 12,
        dataset="digits",
        data_digest="d" * 64,
        eval_examples=None,
        n_examples=360,
        threat=BOTH[0],
        attack="pgd-20",
        seed=0,
        runs=(side, other),
        clean_acc=(1.0, 1.0),
        accuracy=((0.0, 0.0), (0.0, 0.0)),
    )
    with pytest.raises(UserError, match="records a transfer, not a model"):
        pairs.compare_records([one, save_record(tmp_path, record)])


def test_compare_prints_both_accuracies_and_the_verdict(tmp_path):
    one = write_run(tmp_path, make_spec("pgd-at"), autoattack=300)
    two = write_run(tmp_path, make_spec("trades"), autoattack=290)
    ids = [path.stem.rsplit("-", 1)[-1] for path in (one, two)]
    found = cli("compare", *ids, "--results", tmp_path)
    assert found.status == 0, found
    assert found.out.splitlines() == [
        "AutoAttack at Linf 32/255, 360 images",
        f"  pgd-at {ids[0]}: 83.3% [79.1%, 86.8%]",
        f"  TRADES {ids[1]}: 80.6% [76.2%, 84.3%]",
        "  the second loses 10 images and gains 0",
        f"  TRADES {ids[1]} is worse than pgd-at {ids[0]} (McNemar's exact test, p = 0.002)",
        "too few seeds, one each, to compare their methods: `report` does from 3 on",
    ]
    assert "is better than" in cli("compare", two, one).out
    same = write_run(tmp_path, make_spec("pgd-at", seed=1), autoattack=300)
    assert "is not distinguishable from" in cli("compare", one, same).out


def test_power_prints_what_finds_a_difference(tmp_path):
    for label, counts in {"pgd-at": (300, 310, 305), "trades": (290, 300, 280)}.items():
        for seed, count in enumerate(counts):
            write_run(tmp_path, make_spec(label, seed=seed), autoattack=count, fixed=seed)
    found = cli("power", "2", "--results", tmp_path)
    assert found.status == 0, found
    lines = found.out.splitlines()
    assert lines[0].startswith("digits-smallcnn-4a2cf431-Linf-32-255: chance to find 2 points")
    assert "in a table of 1 comparison with at most 5% false finds" in lines[0]
    chances = [[int(x) for x in re.findall(r"(\d+)%", line)] for line in lines[2:]]
    assert [line.split()[0] for line in lines[2:]] == ["360", "1,000", "10,000"]
    assert all(row == sorted(row) for row in chances)
    assert chances[0][-1] < chances[2][-1]


@pytest.mark.parametrize("points", ["10", "60"])
def test_power_has_a_number_in_every_cell(tmp_path, points):
    """A large difference is far out in the noncentral t distribution."""
    for label in ("pgd-at", "trades", "mart"):
        for seed, count in enumerate((300, 301, 299)):
            write_run(tmp_path, make_spec(label, seed=seed), autoattack=count, fixed=seed)
    found = cli("power", points, "--results", tmp_path)
    assert "in a table of 2 comparisons" in found.out and "nan" not in found.out
    assert found.out.count("100%") >= 12


@pytest.mark.parametrize("points", ["0", "101", "nan"])
def test_power_refuses_what_is_no_difference(tmp_path, points):
    write_run(tmp_path, make_spec("pgd-at"))
    found = cli("power", points, "--results", tmp_path)
    assert found.status == 2 and "between 0 and 100 points" in found.errors


def test_power_needs_two_methods_of_two_seeds(tmp_path):
    write_run(tmp_path, make_spec("pgd-at"))
    found = cli("power", "1", "--results", tmp_path)
    assert found.status == 2 and "two methods" in found.errors


def test_one_specification_in_two_folders_has_two_names_and_one_record_is_no_pair(tmp_path) -> None:
    one, two = (write_run(tmp_path / name, make_spec(), autoattack=k) for name, k in FOLDERS)
    (pair,) = pairs.compare_records([one, two])
    assert len(set(pair.names)) == 2 and str(two) in pair.names[1] and "worse than" in repr(pair)
    with pytest.raises(UserError, match="both runs are the one in "):
        pairs.compare_records([one, one.parent / ".." / one.parent.name / one.name])


FOLDERS = (("here", 300), ("there", 250))
