"""What a grid will take, found before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from regmix_bench.errors import UserError
from regmix_bench.grid import look_ahead
from regmix_bench.grid.fit import DataSize, drawn, sizes_of
from regmix_bench.grid.launchers import Placement
from regmix_bench.grid.plan import plan

DIGITS = DataSize(1_294, 143, 360, (1, 8, 8), 10, 1_294, 1_294)
GRID = {"eps": ["8/255"], "recipe": {"precision": "fp32", "epochs": 2}}


def place(jobs: int = 1) -> Placement:
    return Placement(Path("results"), torch.device("cpu"), jobs)


@pytest.mark.parametrize(
    ("method", "passes"),
    [("standard", 2), ("fgsm-rs", 4), ("pgd-at", 22), ("regmix", 7), ("trades", 25)],
)
def test_the_passes_of_a_step_are_those_that_it_makes(method: str, passes: float) -> None:
    (spec,) = plan([GRID | {"methods": [method]}])
    assert look_ahead.step_passes(spec, DIGITS.shape, DIGITS.num_classes) == passes


def test_runs_are_estimated_on_data_that_is_here_and_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGMIX_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(look_ahead.Pace, "of", lambda *_: look_ahead.Pace(2e-6, 1e-6))
    specs = plan([GRID | {"methods": ["pgd-at", "standard"], "datasets": ["digits", "cifar10"]}])
    sizes = sizes_of(specs, None)
    assert sizes[drawn(specs[0])] == DIGITS and isinstance(sizes[drawn(specs[-1])], UserError)
    found = look_ahead.look_ahead(specs, place(), sizes)
    assert list(found.runs) == [spec.run_id for spec in specs if spec.dataset == "digits"]
    pgd_at, standard = found.runs.values()
    assert pgd_at.training == 2 * (22 * 1_294 + 25 * 143)
    assert pgd_at.scoring == standard.scoring > 1e6
    assert pgd_at.seconds == pytest.approx(2e-6 * pgd_at.training + 1e-6 * pgd_at.scoring)
    assert found.seconds == pytest.approx(1 + pgd_at.seconds + standard.seconds)
    assert found.data["digits"] == "1,294 images to train on, 143 to validate, 360 to score"
    assert "give --download" in found.data["cifar10"]
    at_once = look_ahead.look_ahead(specs, place(jobs=2), sizes)
    assert at_once.seconds == 5 + max(pgd_at.seconds, (pgd_at.seconds + standard.seconds) / 2)


def test_gpus_share_a_run_and_a_cluster_has_a_pace_of_its_own() -> None:
    (spec,) = plan([GRID | {"methods": ["standard"]}])
    results, cpu = Path("results"), torch.device("cpu")
    assert look_ahead.shared_by(Placement(results, torch.device("cuda"), 1, devices=2)) == 2
    assert look_ahead.shared_by(Placement(results, cpu, 1, devices=2)) == 1
    cluster = Placement(results, cpu, 1, address="ray://head:10001")
    found = look_ahead.look_ahead([spec], cluster, {drawn(spec): DIGITS})
    assert (found.seconds, found.device) == (None, "the cluster at ray://head:10001")
    (run,) = found.runs.values()
    assert run.training == 2 * (2 * 1_294 + 25 * 143) and run.seconds is None


def test_a_method_that_fails_in_a_step_leaves_the_others_their_estimates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (spec,) = plan([GRID | {"methods": ["standard"]}])
    monkeypatch.setattr(look_ahead, "step_passes", lambda *_: 1 / 0)
    found = look_ahead.look_ahead([spec], place(), {drawn(spec): DIGITS})
    assert (found.runs, found.untried) == ({}, 1)


def test_a_network_is_timed_both_ways() -> None:
    model = look_ahead.ModelRunner(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)),
                                   look_ahead.Execution())  # fmt: skip
    pace = look_ahead.Pace.of(model, DIGITS.shape, 16, torch.device("cpu"))
    assert 0 < pace.scoring < 1 and 0 < pace.training < 1
