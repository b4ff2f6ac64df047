"""What ``list`` says of what has been run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from support.checkpoints import write_checkpoints
from support.synthetic import make_eval_spec, make_record, make_spec, write_run
from support.tuning import write_studies

from regmix_bench import UserError, list_entries
from regmix_bench.records.running import StatusFile
from regmix_bench.records.store import save_record
from regmix_bench.specs import MethodSpec
from regmix_bench.types import ThreatModel


def test_a_run_is_listed_with_its_tricks_also_where_it_failed(tmp_path: Path) -> None:
    given = write_run(tmp_path, make_eval_spec(), checkpoint="given")
    failed = make_record(make_spec("fgsm-pgi"), status="error", error="x")
    recipe = {"ema_decay": 0.9, "awp_gamma": 0.005}
    paths = [
        write_checkpoints(tmp_path, {"selected": (0, 1)}, (0.4, 0.5)),
        write_checkpoints(tmp_path, {"selected": (0, 1)}, (0.4, 0.5), **recipe),
        save_record(tmp_path, failed),
        given,
    ]
    found = {entry["run_id"]: entry["tricks"] for entry in list_entries("runs", results=tmp_path)}
    said = [found[next(run_id for run_id in found if str(run_id) in path.name)] for path in paths]
    assert said == ["none", "EMA 0.9, AWP 0.005", "mass 0.6", ""]


def test_studies_are_listed_with_what_they_came_to(tmp_path: Path) -> None:
    (first, *_) = write_studies(tmp_path, trials=2)
    listed = list_entries("studies", results=tmp_path)
    assert [row["study"] for row in listed] == [
        f"planted/{method}" for method in ("fgsm-pgi", "regmix", "trades")
    ]
    assert first.best and listed[0]["tuned"] == first.best.value
    assert (listed[0]["status"], listed[0]["trials"]) == ("finished", "2")
    assert list_entries("studies", ["planted/trades"], results=tmp_path) == listed[2:]
    with pytest.raises(UserError, match="unknown study 'planted/trade'"):
        list_entries("studies", ["planted/trade"], results=tmp_path)


@pytest.mark.parametrize("folder", ["none", "none/below"])
def test_a_folder_that_is_not_there_is_not_one_without_runs(tmp_path: Path, folder: str) -> None:
    assert list_entries("runs", results=tmp_path) == []
    with pytest.raises(UserError, match="there is no results folder"):
        list_entries("runs", results=tmp_path / folder)


def test_runs_are_sorted_by_seed_and_chosen_by_what_their_names_say(tmp_path: Path) -> None:
    for method, seed in [("grad-align", 10), ("grad-align", 2), ("trades", 2)]:
        failed = {"status": "error", "error": "x"} if method == "trades" else {}
        spec = make_spec(
            seed=seed, method=MethodSpec(name=method, version=1, params={}, label=method)
        )
        save_record(tmp_path, make_record(spec, **failed))

    def listed(*words: str) -> list[str]:
        runs = list_entries("runs", words, results=tmp_path)
        return [" ".join(str(run["run"]).split(" · ")[::4]) for run in runs]

    assert listed() == ["GradAlign seed 2", "GradAlign seed 10", "TRADES seed 2"]
    assert listed("grad-align") == listed("success", "running") == listed()[:2]
    assert listed("trades", "grad-align", "seed 2") == [listed()[0], listed()[2]]
    assert listed("failed") == listed("error") == listed()[2:]
    assert listed("trades", "success") == listed("mart") == []
    for wrong, near in {"trade": "trades", "seed 3": "seed 2", "erorr": "error"}.items():
        with pytest.raises(UserError, match=f"{wrong}'.*{near}"):
            listed(wrong)


def test_norms_of_a_run_that_was_cut_off_are_as_they_are_typed(tmp_path: Path) -> None:
    norms: tuple[Literal["Linf", "L2"], ...] = ("Linf", "L2")
    for norm in norms:
        spec = make_spec(train_threat=ThreatModel(norm, "0.5"))
        StatusFile(tmp_path, spec).write(None)
    found = list_entries("runs", ["interrupted"], results=tmp_path)
    assert sorted(str(run["run"]).split(" · ")[-2] for run in found) == ["L2 0.5", "Linf 0.5"]


@pytest.mark.parametrize(
    ("what", "name", "told"),
    [
        ("methods", "trades", {"cost": "25 passes", "paper": "Zhang et al. 2019", "loss": "L ="}),
        ("attacks", "square", {"cost": "about 5,000 passes"}),
        (
            "datasets",
            "npz",
            {
                "dataset": "npz:PATH",
                "default architecture": "smallcnn up to 16 pixels, preactresnet18 up to 64 pixels,"
                " timm-resnet18 beyond",
            },
        ),
        ("datasets", "digits", {"images": "1 × 8 × 8", "default architecture": "smallcnn"}),
        ("archs", "smallcnn", {"cost": "weights, and"}),
        ("archs", "timm:resnet50", {"architecture": "timm:NAME"}),
        ("suites", "smoke", {"methods": "pgd-at, regmix", "epochs": "2"}),
        ("figures", "pareto", {"figure": "pareto"}),
    ],
)
def test_what_is_named_is_told_of_in_full(what: str, name: str, told: dict[str, str]) -> None:
    (entry,) = list_entries(what, [name])  # type: ignore[arg-type]
    for key, part in told.items():
        assert part in str(entry[key])
    with pytest.raises(UserError, match=f"unknown {what[:-1]} 'x{name}'"):
        list_entries(what, [f"x{name}"])  # type: ignore[arg-type]


def test_parameters_have_default_values_and_meaning() -> None:
    (entry,) = list_entries("methods", "trades")
    assert entry["parameters"][-2] == {  # type: ignore[index]
        "name": "beta",
        "default": "6.0",
        "allowed": "number, ≥ 0; tuned from 1 to 20, log",
        "description": "Weight of the divergence",
    }
