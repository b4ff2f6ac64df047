"""What shares a ranking, which comparison leads, and what stands beside one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.histories import planted_history
from support.published import ROW, put
from support.sites import rankings, site_files
from support.synthetic import make_spec, write_run

from regmix_bench.records.schema import Cost, Work
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.site.leaderboard import Ranking, Rankings
from regmix_bench.specs import Recipe, Scoring
from regmix_bench.types import ThreatModel


def board(results: Path, **choices: Any) -> tuple[Ranking, ...]:
    return Rankings.of(Contents.of(results, **choices)).rankings


UNLIKE: list[dict[str, Any]] = [
    {"recipe": Recipe(epochs=5)},
    {"recipe": Recipe(epochs=50, batch_size=64)},
    {"recipe": Recipe(epochs=50, precision="bf16")},
    {"recipe": Recipe(epochs=50, true_class_mass=0.6)},
    {"recipe": Recipe(epochs=50, ema_decay=0.99)},
    {"recipe": Recipe(epochs=50, selection="last")},
    {"train_examples": 500},
    {"eval_examples": 100},
    {"scoring": Scoring(autoattack_seed=1)},
    {"scoring": Scoring(screen=True)},
    {"scoring": Scoring(search_precision="bf16")},
    {"arch": "resnet8"},
    {"train_threat": ThreatModel("Linf", "8/255")},
    {"eval_threats": (ThreatModel("Linf", "8/255"),)},
    {"data_digest": "e" * 64},
]


def test_unlike_runs_share_no_ranking_nor_a_choice(tmp_path: Path) -> None:
    labels = ["pgd-at", "trades", "mart", "fgsm-rs"]
    for number, changes in enumerate(UNLIKE):
        fields = dict(changes)
        digest = {"data_digest": fields.pop("data_digest")} if "data_digest" in fields else {}
        label = labels[number % len(labels)]
        write_run(tmp_path, make_spec(label, seed=1, **fields), **digest)
    for label in labels:
        write_run(tmp_path, make_spec(label))
    contents = Contents.of(tmp_path)
    shown = rankings(dict(site_files(contents)))
    sizes = [len(rows) for rows in shown.values()]
    assert sizes == [len(labels)] + [1] * len(UNLIKE)
    choices = Rankings.of(contents).choices
    told = {tuple(text for name, text in one.items() if name != "stem") for one in choices}
    assert len(told) == len(choices) == len(UNLIKE) + 1


def test_rows_stand_by_their_robust_accuracy_with_its_standings(tmp_path: Path) -> None:
    rights = {"pgd-at": 280, "trades": 330, "mart": 100, "fgsm-rs": 281}
    for label, right in rights.items():
        for seed in range(4):
            write_run(
                tmp_path,
                make_spec(label, seed=seed),
                autoattack=right + seed % 2,
                reference="pgd-at",
            )
    write_run(tmp_path, make_spec("gat", seed=0), scored={"autoattack_acc": None})
    (ranking,) = board(tmp_path)
    found = [(row.label, row.place, row.verdict, row.best) for row in ranking.rows]
    assert found == [
        ("trades", 1, "better", True),
        ("fgsm-rs", 2, "not distinguishable", False),
        ("pgd-at", 3, "reference", False),
        ("mart", 4, "worse", False),
        ("gat", None, "", False),
    ]
    level = ranking.reference
    assert level is not None
    for row in ranking.rows:
        if row.reach is not None:  # what is drawn says what the chip says
            above = row.reach[0] > level.drawn[0]
            below = row.reach[1] < level.drawn[0]
            assert (row.verdict == "better", row.verdict == "worse") == (above, below)


@pytest.mark.parametrize(
    "larger",
    [
        {"eval_examples": 100},
        {"train_examples": 100},
        {"eval_threats": (ThreatModel("Linf", "8/255"),)},
    ],
)
def test_a_rehearsal_and_another_threat_lead_nothing(
    tmp_path: Path, larger: dict[str, Any]
) -> None:
    for label in ("pgd-at", "trades", "mart"):
        write_run(tmp_path, make_spec(label, arch="resnet8", **larger))
    write_run(tmp_path, make_spec("pgd-at"))
    first, second = board(tmp_path)
    assert (len(first.rows), len(second.rows)) == (1, 3)
    assert bool(second.rehearsal) == ("eval_threats" not in larger) and not first.rehearsal


def test_most_methods_lead_and_then_most_seeds(tmp_path: Path) -> None:
    for arch, labels, seeds in (
        ("smallcnn", ("pgd-at", "trades"), 3),
        ("resnet8", ("pgd-at", "trades", "mart"), 1),
        ("resnet18", ("pgd-at", "trades", "mart"), 2),
    ):
        for label in labels:
            for seed in range(seeds):
                write_run(tmp_path, make_spec(label, arch=arch, seed=seed))
    assert [ranking.data for ranking in board(tmp_path)] == [
        "digits, resnet18",
        "digits, resnet8",
        "digits, smallcnn",
    ]


def test_rows_of_unlike_tricks_lead_nothing_though_they_were_asked_for(tmp_path: Path) -> None:
    for mass in (0.5, 0.6, 0.7):
        write_run(tmp_path, make_spec("pgd-at", recipe=Recipe(epochs=50, true_class_mass=mass)))
    for label in ("pgd-at", "trades"):
        write_run(tmp_path, make_spec(label, arch="resnet8"))
    first, second = board(tmp_path, across=("tricks",))
    assert (first.data, len(first.rows)) == ("digits, resnet8", 2)
    assert len(second.rows) == 3 and "tricks of each row's own" in second.protocol


def test_the_heading_is_the_recipe_in_a_line(tmp_path: Path) -> None:
    recipe = Recipe(epochs=30, schedule="cosine", true_class_mass=0.6, precision="bf16")
    cost = Cost(seconds=1.0, forward_images=1, backward_images=1)
    kept = {"n_train": 1294, "history": planted_history([0.5]), "training_cost": cost}
    write_run(tmp_path, make_spec("pgd-at", recipe=recipe), **kept)
    (ranking,) = board(tmp_path)
    assert ranking.title == "digits, smallcnn, L∞ 32/255"
    assert ranking.protocol == (
        "30 epochs of 1,294 images, batch 128, cosine schedule, bf16, mass 0.6,"
        " AutoAttack on 360 images"
    )
    assert ranking.weights == "checkpoint of highest validation PGD-10"


def test_published_numbers_stand_below_and_in_no_ranking(tmp_path: Path) -> None:
    write_run(tmp_path, make_spec("pgd-at"), autoattack=100)
    elsewhere = {"threat": {"norm": "Linf", "epsilon": "8/255"}, "label": "of another threat"}
    put(tmp_path, ROW, ROW | elsewhere, ROW | {"arch": "ResNet-18", "label": "of another class"})
    contents = Contents.of(tmp_path, with_published=True)
    text = dict(site_files(contents))["index.html"].decode()
    before, _, below = text.partition('<section class="published"')
    panel = below.partition("</section>")[0]
    assert "AT [theirs]" in panel and "44.04 ± 0.15" in panel and "raw, last" in panel
    assert 'href="https://example.org/1"' in panel
    assert "of another" not in panel and "AT [theirs]" not in before
    assert "<strong" not in text


def test_minutes_are_those_of_rows_that_had_the_machine_to_themselves(tmp_path: Path) -> None:
    def record(label: str, seed: int, worked: float) -> None:
        work = Work(images=1000, processor_seconds=worked)
        write_run(
            tmp_path,
            make_spec(label, seed=seed),
            history=planted_history([0.5], seconds=[10.0], work=[work]),
            environment={"threads": 1},
            training_cost=Cost(seconds=12.0, forward_images=1, backward_images=1),
        )

    for seed in (0, 1):
        record("pgd-at", seed, 9.9)
        record("trades", seed, 5.0 if seed else 9.9)
    (ranking,) = board(tmp_path)
    minutes = {row.label: row.minutes.shown for row in ranking.rows}
    assert ranking.timed and minutes == {"pgd-at": pytest.approx(0.2), "trades": None}
    text = dict(site_files(Contents.of(tmp_path)))["index.html"].decode()
    assert ">Minutes<" in text and "had the machine to themselves" in text
