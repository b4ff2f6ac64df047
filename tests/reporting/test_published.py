from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from support.published import ROW, SOURCE, put, without

from regmix_bench.errors import UserError
from regmix_bench.records.paths import PUBLISHED
from regmix_bench.reporting.published import (
    Percentage,
    Published,
    PublishedTerms,
    arch_class,
    load_published,
)
from regmix_bench.sheets.reader import read_sheet
from regmix_bench.sheets.verification import hold_to_rules
from regmix_bench.types import ThreatModel

# Of the logs of FastAT Benchmark (arXiv:2604.22853, commit b99c0de): data set, method, and seeds 0
# to 2 under AutoAttack and under CR.
FASTAT_SEEDS = """
cifar10 pgd-at-wa 50.56/50.59/50.32 50.55/50.64/50.33
cifar10 nu-at 49.93/50.07/50.29 49.90/50.14/50.28
cifar10 liet 50.11/49.83/50.04 50.08/49.78/49.92
cifar10 fgsm-pgi 49.94/49.80/49.94 49.99/49.75/49.93
cifar10 fgsm-fuap 49.87/49.67/49.65 49.84/49.63/49.65
cifar10 fgsm-cuap 49.80/49.42/49.43 49.79/49.45/49.37
cifar10 fgsm-uap 49.28/49.47/49.56 49.20/49.42/49.48
cifar10 gat 49.29/49.18/48.99 49.28/49.22/48.96
cifar10 fgsm-rs-cs 48.66/49.00/48.25 48.72/49.02/48.35
cifar10 fgsm-pco 48.86/48.24/48.45 48.84/48.17/48.43
cifar10 grad-align 48.32/48.37/47.27 48.37/48.37/47.32
cifar10 n-fgsm 48.12/47.88/47.32 48.20/47.92/47.40
cifar10 n-aaer 47.32/47.24/47.58 47.39/47.33/47.71
cifar10 zero-grad 43.45/47.58/46.80 43.54/47.68/46.90
cifar10 fgsm-mep-cs 45.95/44.43/45.68 45.89/44.48/45.75
cifar10 free-at 44.40/44.14/44.47 44.39/44.05/44.52
cifar10 pgd-at 44.40/44.34/44.24 44.59/44.56/44.35
cifar10 fgsm-rs 48.05/37.45/43.77 48.06/37.54/43.82
cifar10 ssat 36.59/39.57/38.83 36.60/39.54/38.82
cifar10 fgsm-at 37.32/37.56/36.97 37.30/37.53/36.99
cifar10 elle 47.97/46.12/3.30 48.06/46.19/25.06
cifar100 pgd-at-wa 26.83/27.09/26.77 26.82/27.05/26.73
cifar100 liet 26.76/26.50/26.67 26.76/26.48/26.66
cifar100 fgsm-pgi 26.41/26.10/26.35 26.43/26.20/26.31
cifar100 fgsm-rs-cs 26.48/25.98/26.13 26.49/25.99/26.13
cifar100 fgsm-fuap 26.04/25.91/25.91 26.00/25.92/25.91
cifar100 fgsm-cuap 26.09/26.18/25.28 26.07/26.16/25.27
cifar100 fgsm-uap 26.07/25.87/25.59 26.04/25.84/25.59
cifar100 grad-align 25.34/25.52/25.25 25.34/25.56/25.27
cifar100 zero-grad 25.02/24.85/25.13 24.99/24.79/25.07
cifar100 n-fgsm 25.29/24.37/24.93 25.36/24.38/24.94
cifar100 fgsm-mep-cs 25.01/25.03/24.53 24.91/24.99/24.51
cifar100 n-aaer 21.62/22.63/23.96 21.66/22.75/24.02
cifar100 gat 22.13/22.07/21.97 22.02/22.01/21.89
cifar100 free-at 21.48/21.84/21.96 21.43/21.87/21.92
cifar100 pgd-at 21.55/21.59/21.17 20.48/20.88/21.06
cifar100 fgsm-rs 18.91/23.20/22.15 18.94/23.21/22.22
cifar100 elle 23.72/19.00/20.91 23.74/19.04/20.92
cifar100 fgsm-pco 20.30/20.13/19.49 20.23/20.03/19.47
cifar100 ssat 18.08/18.89/19.53 17.94/18.94/19.50
cifar100 fgsm-at 16.08/16.64/17.15 16.09/16.57/17.09
cifar100 nu-at 18.11/13.29/11.82 18.13/17.31/17.53
tiny-imagenet liet 19.94/19.92/19.77 19.91/19.90/19.78
tiny-imagenet pgd-at-wa 19.96/19.66/19.70 19.90/19.65/19.69
tiny-imagenet fgsm-pgi 19.65/19.43/19.56 19.62/19.39/19.55
tiny-imagenet fgsm-cuap 19.18/19.10/19.28 19.26/19.07/19.26
tiny-imagenet fgsm-fuap 19.03/19.30/18.97 18.99/19.31/18.96
tiny-imagenet fgsm-uap 19.14/18.98/18.59 19.15/19.00/18.73
tiny-imagenet elle 19.03/18.77/18.62 19.02/18.78/18.60
tiny-imagenet n-fgsm 18.71/18.86/18.79 18.69/18.81/18.78
tiny-imagenet fgsm-rs-cs 18.62/18.75/18.84 18.57/18.70/18.79
tiny-imagenet fgsm-mep-cs 18.45/18.11/18.14 18.31/18.02/18.06
tiny-imagenet zero-grad 18.85/18.73/16.87 18.79/18.72/16.79
tiny-imagenet grad-align 17.88/18.05/17.68 17.81/18.03/17.59
tiny-imagenet pgd-at 16.97/17.03/17.12 16.71/16.87/16.94
tiny-imagenet fgsm-rs 15.71/16.23/17.04 15.58/16.21/17.00
tiny-imagenet fgsm-at 15.90/10.69/18.02 15.92/10.67/17.94
tiny-imagenet free-at 13.48/13.41/13.64 13.50/13.36/13.66
tiny-imagenet ssat 11.86/12.08/11.89 11.82/12.08/11.85
tiny-imagenet gat 11.26/11.34/11.38 11.20/11.29/11.31
tiny-imagenet fgsm-pco 11.45/11.03/11.24 11.42/10.97/11.20
tiny-imagenet nu-at 9.70/10.35/10.55 9.69/10.36/10.51
"""
LINF = ThreatModel("Linf", "8/255")
ATTACKS = {
    "autoattack": "AutoAttack", "cr": "CR", "pgd-10": "PGD-10", "pgd-20": "PGD-20",
    "pgd-50": "PGD-50",
}  # fmt: skip
ROOT = Path(__file__).parents[2]


def ours(tmp_path: Path) -> tuple[Published, ...]:
    return load_published(tmp_path)


def fastat(rows: tuple[Published, ...]) -> dict[tuple[str, str], Published]:
    return {(row.dataset, row.label): row for row in rows if row.source.name == "FastAT"}


def test_rows_of_fastat_are_the_means_and_deviations_of_their_seeds(tmp_path):
    found = fastat(ours(tmp_path))
    lines = FASTAT_SEEDS.split("\n")[1:-1]
    assert len(lines) == 62
    for line in lines:
        dataset, method, autoattack, cr = line.split()
        row = found.pop((dataset, method))
        seeds = [float(text) for text in autoattack.split("/")]
        shown = row.robust["AutoAttack"]
        assert shown.mean == pytest.approx(statistics.fmean(seeds), abs=0.0101), row.label
        assert shown.deviation == pytest.approx(statistics.stdev(seeds), abs=0.0101), row.label
        assert row.seeds == len(seeds) == 3
        if "CR" in row.robust:
            mean = statistics.fmean(map(float, cr.split("/")))
            assert row.robust["CR"].mean == pytest.approx(mean, abs=0.0101), row.label
        assert row.train_seconds and row.memory_gb and row.clean and row.clean.deviation
        assert row.robust.keys() >= {"PGD-10", "PGD-20", "PGD-50"}
    # What was deleted stands beside them, and says so.
    assert {(row.seeds, "run-left-out" in row.broken) for row in found.values()} == {(1, True)}
    assert found.keys() == {("cifar10", "rs-aaer"), ("tiny-imagenet", "n-aaer")}


def test_the_sheet_of_fastat_has_the_same_numbers_and_breaks_the_same_rules(tmp_path):
    sheet = read_sheet(ROOT / "examples" / "fastat.yaml")
    rows = fastat(ours(tmp_path))
    found: dict[tuple[str, str], set[str]] = {key: set() for key in rows}
    for violation in hold_to_rules(sheet).violations:
        if violation.row is not None:
            found[violation.table, violation.row.replace("_", "-")].add(violation.rule.name)
    for key, row in rows.items():
        # What is not said is said in the note of the source, and the seed that is left is one.
        assert row.broken.keys() - {"too-few-seeds"} == found[key] - {"fact-not-said"}, key
    for name, table in sheet.tables.items():
        for told in table.rows:
            row = rows[name, told.method.replace("_", "-")]
            for attack, claim in told.numbers.items():
                shown = row.clean if attack == "clean" else row.robust.get(ATTACKS[attack])
                if shown is not None:
                    assert shown.mean == claim.mean, (row.label, attack)
                    assert shown.deviation in (claim.deviation, None)


@pytest.mark.parametrize(
    ("dataset", "epsilon", "seeds"),
    [
        ("cifar10", "8/255", (50.08, 49.89, 50.06)),
        ("cifar100", "8/255", (27.05, 27.16, 26.93)),
        ("tiny-imagenet", "8/255", (19.75, 19.77, 19.85)),
        ("cifar10", "16/255", (25.48, 24.65, 25.54)),
        ("cifar100", "16/255", (11.91, 11.76, 12.45)),
        ("tiny-imagenet", "12/255", (11.08, 11.44, 11.35)),
    ],
)
def test_rows_of_liet_are_the_means_and_deviations_of_their_logs(tmp_path, dataset, epsilon, seeds):
    threat = ThreatModel("Linf", epsilon)
    (row,) = [
        row for row in ours(tmp_path)
        if (row.source.name, row.dataset, row.threat) == ("LIET", dataset, threat)
    ]  # fmt: skip
    shown = row.robust["AutoAttack"]
    assert shown.mean == pytest.approx(statistics.fmean(seeds), abs=0.0051)
    assert shown.deviation == pytest.approx(statistics.stdev(seeds), abs=0.0051)


def test_which_weights_of_fastat_were_scored_is_told(tmp_path):
    rows = fastat(ours(tmp_path))
    pgd = rows["cifar10", "pgd-at"]
    assert (pgd.scored.weights, pgd.scored.epoch, pgd.selection) == ("raw", "last", "none")
    assert "better-of-raw-and-averaged" not in pgd.broken
    for dataset in ("cifar10", "cifar100", "tiny-imagenet"):
        averaged = rows[dataset, "pgd-at-wa"]
        assert "better-of-raw-and-averaged" in averaged.broken
        assert averaged.tricks.averaging == "EMA 0.9995"
        # Reruns of CR on what may be other weights were written into these logs.
        assert ("CR" in rows[dataset, "pgd-at"].robust) == (dataset == "cifar10")
    masses = [rows[d, "fgsm-pco"].tricks.true_class_mass for d in ("cifar10", "cifar100")]
    assert masses == [0.4, 0.364]
    # 15 of 177 runs are scored with raw weights.
    kinds = [row.scored.weights for row in rows.values() if row.seeds == 3]
    assert (kinds.count("mixed"), kinds.count("raw")) == (5, 3 + 3)


def test_our_own_file_is_valid_and_names_its_sources(tmp_path):
    rows = ours(tmp_path)
    assert len(rows) == 163
    named = [(row.label, row.source, row.terms, row.arch) for row in rows]
    assert len(set(named)) == len(named)
    assert {row.source.name for row in rows} >= {"FastAT", "MAIR", "NuAT", "DAJAT", "RobustBench"}
    (trades,) = [row for row in rows if "Zhang2019" in row.label and "trades" in row.label]
    assert trades.threat == ThreatModel("Linf", "0.031") != LINF
    mair = [row for row in rows if row.source.name == "MAIR"]
    assert len(mair) == 27
    small = [row for row in mair if row.terms == PublishedTerms("cifar10", "resnet18", LINF)]
    assert [row.robust["AutoAttack"].mean for row in small] == [
        48.67, 47.51, 49.45, 50.80, 50.03, 51.62,
    ]  # fmt: skip
    assert [row.tricks.awp for row in small] == ["none"] * 3 + [0.005] * 3
    extra = [row for row in rows if row.terms.extra_data]
    assert {row.tricks.extra_data for row in extra}.isdisjoint({"none"}) and len(extra) > 10


def test_a_row_joins_its_protocols_and_itself_key_by_key(tmp_path):
    base = without("label") | {"broken": {"no-autoattack": "a", "too-few-seeds": "b"}}
    smoothed = {"protocol": "base", "tricks": {"true_class_mass": 0.6}}
    averaged = {"tricks": {"averaging": "EMA 0.99", "other": "x"}, "seeds": 1}
    row = {
        "protocol": ["smoothed", "averaged"],
        "label": "own",
        "tricks": {"other": "y"},
        "broken": {"no-autoattack": "none", "no-deviation": "c"},
    }
    protocols = {"base": base, "smoothed": smoothed, "averaged": averaged}
    put(tmp_path, row, {"protocol": "base", "label": "plain"}, protocols=protocols)
    own, plain = load_published(tmp_path)
    tricks = own.tricks
    assert (tricks.true_class_mass, tricks.averaging, tricks.other) == (0.6, "EMA 0.99", "y")
    assert own.broken == {"too-few-seeds": "b", "no-deviation": "c"} and own.seeds == 1
    assert plain.tricks.model_dump() == ROW["tricks"] and plain.seeds == 3
    assert plain.broken == {"no-autoattack": "a", "too-few-seeds": "b"}


@pytest.mark.parametrize("key", ["source", "scored", "selection", "tricks", "arch", "seeds"])
def test_a_row_without_what_must_be_known_is_refused_in_a_line(tmp_path, key):
    put(tmp_path, ROW, without(key))
    with pytest.raises(UserError) as caught:
        load_published(tmp_path)
    assert str(caught.value).endswith(f"row 2 ('AT [theirs]').{key}: field required")
    assert "\n" not in str(caught.value)


def test_unknown_is_an_answer_where_it_is_said(tmp_path):
    tricks = dict.fromkeys(ROW["tricks"], "unknown") | {"extra_data": "none"}
    scored = {"weights": "unknown", "epoch": "unknown"}
    unsaid = {"selection": "unknown", "images": "unknown", "seeds": "unknown"}
    put(tmp_path, ROW | unsaid | {"tricks": tricks, "scored": scored})
    (row,) = load_published(tmp_path)
    assert (row.seeds, row.images, row.tricks.true_class_mass) == ("unknown",) * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not YAML"),
        ("[" * 100_000, "is not YAML"),
        ("- {label: x}", "it is not sources, protocols and rows"),
        ("label: x", "it is not sources, protocols and rows"),
        ("rows: {}", "rows is not a list"),
        ("{rows: [], protocol: {}}", "unknown key 'protocol': did you mean 'protocols'?"),
        ("rows: [x]", "row 1 is no mapping"),
        ("{rows: [], protocols: [x]}", "protocols is no mapping"),
        ("{rows: [], sources: {a: {}}}", "source 'a'.name: field required"),
        ("rows: [{protocol: a}]", "unknown protocol of row 1 'a'"),
        ('{rows: [], sources: {"a\\nb": {}}}', "source 'a\\nb'.name: field required"),
        ({"attacks": dict.fromkeys(map(str, range(101)), "x")}, "attacks = "),
        ("{rows: [], protocols: {a: {protocol: a}}}", "unknown protocol of protocol 'a' 'a'"),
        ({"source": "sombody"}, "unknown source of row 1 ('AT [theirs]') 'sombody': did you mean"),
        ({"clean": 852}, "clean = '852': it is no accuracy in percent"),
        ({"clean": "high"}, "clean = 'high': it is no accuracy in percent"),
        ({"clean": float("nan")}, "it is no accuracy in percent"),
        ({"robust": {"PGD-20": "50 +- 1"}}, "robust.PGD-20 = '50 +- 1': it is no accuracy"),
        ({"robust": {}}, "robust = "),
        ({"sauce": "x"}, "'sauce': did you mean 'source'?"),
        ({"threat": {"norm": "Linf", "epsilon": "8/0"}}, "epsilon '8/0' is not a number"),
        ({"threat": {"norm": "linf", "epsilon": "8/255"}}, "did you mean 'Linf'?"),
        ({"threat": "Linf"}, "threat = 'Linf'"),
        ({"selection": "tset"}, "selection = 'tset'"),
        ({"scored": {"weights": "raw"}}, "scored.epoch: field required"),
        ({"tricks": {"awp": 0.01}}, "tricks.true_class_mass: field required"),
        ({"tricks": ROW["tricks"] | {"true_class_mass": 1.5}}, "tricks.true_class_mass"),
        ({"tricks": ROW["tricks"] | {"awp": -1}}, "tricks.awp"),
        ({"broken": {"no-autoatack": "x"}}, "did you mean 'no-autoattack'?"),
        ({"train_seconds": 7}, "seconds and memory need their machine"),
        ({"memory_gb": 1.5}, "seconds and memory need their machine"),
        ({"images": 0}, "images"),
    ],
)
def test_what_is_refused_is_said_in_one_line(tmp_path, text, message):
    path = tmp_path / PUBLISHED
    if isinstance(text, dict):
        put(tmp_path, ROW | text)
    else:
        path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_published(tmp_path)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["name", "citation", "where", "url"])
def test_a_source_says_where_its_numbers_stand(tmp_path, key):
    put(tmp_path, ROW, sources={"somebody": {k: v for k, v in SOURCE.items() if k != key}})
    with pytest.raises(UserError, match=rf"source 'somebody'\.{key}: field required"):
        load_published(tmp_path)
    put(tmp_path, ROW, sources={"somebody": SOURCE | {"url": "file:///x"}})
    with pytest.raises(
        UserError, match=r"source 'somebody'\.url = 'file:///x': string should match"
    ):
        load_published(tmp_path)


def test_a_file_of_the_user_replaces_that_of_the_package(tmp_path):
    before = ours(tmp_path)
    put(tmp_path, ROW)
    (theirs,) = load_published(tmp_path)
    assert theirs.label == ROW["label"] not in {row.label for row in before}
    (tmp_path / PUBLISHED).unlink()
    (tmp_path / PUBLISHED).mkdir()
    with pytest.raises(UserError, match="cannot read published numbers"):
        load_published(tmp_path)


def test_architectures_of_one_class_are_told_by_their_names():
    assert {arch_class(name) for name in ("resnet18", "ResNet-18", "PreActResNet-18")} == {
        "resnet18"
    }
    assert arch_class("WideResNet-34-10") == arch_class("wrn-34-10") == "wrn3410"
    others = ("resnet8", "resnet18", "wrn-28-10", "wrn-34-10", "timm-resnet18")
    assert len({arch_class(name) for name in others}) == len(others)


def test_percentages_are_read_as_they_are_printed():
    assert Percentage.read("50.49 ± 0.15") == Percentage(50.49, 0.15)
    assert Percentage.read("100") == Percentage(100.0)
    for text in ("101", "-1", "1e1", "50.49±0.15", "50.49 ± ", "", "50 ± 100.0", "unknown"):
        with pytest.raises(ValueError, match="no accuracy in percent"):
            Percentage.read(text)
