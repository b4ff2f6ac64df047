"""``run`` from Python: the runs of the command, and its records as values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.harness import SUITE, cli

from regmix_bench import RunRecord, UserError, load_results, run
from regmix_bench.api.planned import Plan
from regmix_bench.attacks import ATTACKS
from regmix_bench.attacks.protocol import Attack, AttackedData
from regmix_bench.attacks.white_box import FGSM
from regmix_bench.records import store
from regmix_bench.records.sequence import Records
from regmix_bench.runs.observers import Ending, Silent
from regmix_bench.types import ThreatModel

SETTINGS = tuple(f"recipe.{key}={value}" for key, value in SUITE["recipe"].items())
QUICK: dict[str, Any] = {
    "methods": ["fgsm-rs", "standard"],
    "eps": "32/255",
    "eval_eps": ["96/255"],
    "eval_examples": 20,
    "attacks": "apgd-ce",
    "settings": (*SETTINGS, "data.train_examples=100", "scoring.autoattack_batch_size=8"),
    "device": "cpu",
}


class Heard(Silent):
    """Remembers what is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_plan(self, states: Any, waiting: int) -> None:
        self.told.append(("plan", sorted(states.values()), waiting))

    def on_start(self, spec: Any) -> None:
        self.told.append(("start", spec.label))

    def on_end(self, ending: Ending) -> None:
        self.told.append(("end", ending.spec.label, ending.error))


def test_python_and_the_command_plan_the_same_runs(tmp_path: Path) -> None:
    found = run(methods="trades,regmix", eps="8/255", seeds=7, dry_run=True, results=tmp_path / "r")
    assert isinstance(found, Plan)
    ids = [cell.run_id for cell in found.cells]
    assert ids == ["ab4b23ee7f75", "2442e20e77b3"] == [spec.run_id for spec in found.specs]
    shown = cli(
        *("run", "--methods", "trades,regmix", "--eps", "8/255", "--seeds", "7", "--dry-run"),
        *("--results", tmp_path / "r"),
    )
    listed = [line for line in shown.out.splitlines() if line.startswith("to run")]
    assert [line.split()[-1] for line in listed] == ids
    assert not (tmp_path / "r").exists()


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Records, list[Any]]:
    """A grid of two runs: its folder, what was returned, and what was heard."""
    results, heard = tmp_path_factory.mktemp("grid") / "results", Heard()
    found = run(**QUICK, results=str(results), observer=heard)
    assert isinstance(found, Records)
    return results, found, heard.told


def test_a_grid_returns_its_records(grid: tuple[Path, Records, list[Any]]) -> None:
    results, found, told = grid
    assert [record.spec.label for record in found] == ["fgsm-rs", "standard"]
    assert all(record.status == "success" for record in found)
    assert found[-1] == store.load_run(found.paths[1]) and list(found[:1]) == [found[0]]
    assert {path.resolve() for path in found.paths} == set(store.record_files(results))
    assert told == [
        ("plan", ["to run", "to run"], 2),
        *(("start", "fgsm-rs"), ("end", "fgsm-rs", None)),
        *(("start", "standard"), ("end", "standard", None)),
    ]


def test_a_finished_grid_is_only_read(grid: tuple[Path, Records, list[Any]]) -> None:
    results, found, _ = grid
    heard = Heard()
    again = run(**QUICK, results=results, observer=heard)
    assert isinstance(again, Records) and list(again) == list(found)
    assert heard.told == [("plan", ["done", "done"], 0)]


def test_a_specification_is_one_run(grid: tuple[Path, Records, list[Any]], tmp_path: Path) -> None:
    _, found, _ = grid
    spec, heard = found[1].spec, Heard()
    record = run(spec, results=tmp_path, device="cpu", observer=heard)
    assert isinstance(record, RunRecord)
    assert record.run_id == found[1].run_id
    assert record.evaluations == found[1].evaluations
    assert heard.told == [("start", "standard"), ("end", "standard", None)]
    for options in ({"methods": "trades"}, {"settings": ["recipe.lr=1"]}, {"dry_run": True}):
        with pytest.raises(UserError, match="says all of its run"):
            run(spec, results=tmp_path, **options)


class Fragile(Attack):
    """FGSM, while nothing is broken."""

    name = "fragile"
    broken = False
    calls = 0

    def obstacle(self, threat: ThreatModel, data: AttackedData) -> str | None:
        return "it takes no test set of 11 images" if data.n_images == 11 else None

    def perturb(self, model: Any, x: Any, y: Any, threat: ThreatModel, *, seed: int) -> Any:
        Fragile.calls += 1
        if Fragile.broken:
            raise LookupError("no such\npixel")
        return FGSM().perturb(model, x, y, threat, seed=seed)


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ATTACKS, "registered", {"fragile": Fragile})
    monkeypatch.setattr(Fragile, "broken", False)
    monkeypatch.setattr(Fragile, "calls", 0)


def test_a_run_whose_attack_fails_keeps_the_other_scores_and_tries_it_alone_again(
    fragile: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training and the attacks that ended well are not done a second time."""
    grid = {**QUICK, "methods": "fgsm-rs", "attacks": "fgsm,fragile", "eval_eps": ["8/255"]}
    (whole,) = run(**grid, results=tmp_path / "whole")
    monkeypatch.setattr(Fragile, "broken", True)
    (first,) = run(**grid, results=tmp_path / "r")
    score = first.evaluations[0]
    assert first.status == "success" and score.failed_attacks == {
        "fragile": "LookupError: no such pixel"
    }
    assert score.robust_acc is None and score.checks == ("failed-attack",)
    assert score.after_attack == {"fgsm": whole.evaluations[0].after_attack["fgsm"]}
    frame = load_results(tmp_path / "r")
    assert frame["checks"][0] == "failed-attack" and frame["autoattack_acc"].isna()[0]

    calls = Fragile.calls
    (again,) = run(**grid, results=tmp_path / "r")
    assert again == first and Fragile.calls == calls
    monkeypatch.setattr(Fragile, "broken", False)
    heard = Heard()
    (mended,) = run(**grid, results=tmp_path / "r", retry_failed=True, observer=heard)
    assert heard.told[0] == ("plan", ["failed"], 1)
    assert mended.evaluations == tuple(
        e.model_copy(update={"outcomes_digest": m.outcomes_digest})
        for e, m in zip(whole.evaluations, mended.evaluations, strict=True)
    )
    assert mended.history == first.history  # with the same seconds
    assert not list((tmp_path / "r" / "artifacts" / mended.run_id).glob("scoring-*"))


def test_the_command_says_which_attack_failed(
    fragile: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fragile, "broken", True)
    shown = cli(
        *("run", "--methods", "fgsm-rs", "--eps", "32/255", "--eval-examples", 20),
        *("--set", "recipe.epochs=1", "--set", "data.train_examples=60"),
        *("--attacks", "fragile", "--device", "cpu", "--results", tmp_path / "r"),
    )
    assert shown.status == 0
    assert "fragile failed, and is tried again" in shown.out
    assert "LookupError: no such pixel" in shown.out


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize("attacks", [["--attacks", "square"], []])
@pytest.mark.parametrize("size", [(14, 14), (32, 48)])
def test_an_attack_that_is_not_defined_on_the_images_is_refused_by_the_plan(
    tmp_path: Path, dry: list[str], attacks: list[str], size: tuple[int, int]
) -> None:
    y = np.arange(24) % 2
    x = np.random.default_rng(0).integers(0, 255, (24, *size), dtype=np.uint8)
    arrays = {"train_images": x, "train_labels": y, "test_images": x, "test_labels": y}
    np.savez(tmp_path / "images.npz", **arrays)
    grid = ("--methods", "standard,trades", "--archs", "smallcnn", "--norm", "L2", "--eps", "0.5")
    shown = cli(
        *("run", *grid, "--datasets", f"npz:{tmp_path}/images.npz", *attacks, *dry),
        *("--device", "cpu", "--results", tmp_path / "r"),
    )
    assert (shown.status, shown.out) == (2, "")
    height, width = size
    assert shown.errors == (
        "error: attack 'square' is not defined under L2 here: its first squares do not fit images"
        f" of {height}×{width} pixels\n"
    )
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("classes", "named", "attack", "said"),
    [
        (2, False, "quick-apgd", "it needs 4 classes, and there are 2"),
        (3, True, "quick-apgd", "it needs 4 classes, and there are 3"),
        (0, False, "quick-apgd[n_target_classes=10]", "it needs 11 classes, and there are 10"),
    ],
)
def test_an_attack_that_needs_more_classes_is_refused_by_the_plan(
    tmp_path: Path, dry: list[str], classes: int, named: bool, attack: str, said: str
) -> None:
    dataset = "digits"
    if classes:
        y = np.arange(24) % classes
        x = np.random.default_rng(0).integers(0, 255, (24, 8, 8), dtype=np.uint8)
        arrays = {"train_images": x, "train_labels": y, "test_images": x, "test_labels": y}
        names = {"class_names": np.array(["a", "b", "c"])} if named else {}
        np.savez(tmp_path / "images.npz", **arrays, **names)
        dataset = f"npz:{tmp_path}/images.npz"
    shown = cli(
        *("run", "--methods", "standard", "--datasets", dataset, "--attacks", attack, *dry),
        *("--device", "cpu", "--results", tmp_path / "r"),
    )
    assert (shown.status, shown.out) == (2, "") and not (tmp_path / "r").exists()
    refused = f"error: attack '{attack}' is not defined under Linf here: {said}\n"
    assert shown.errors == refused


def test_what_only_the_images_say_is_asked_before_the_training(
    fragile: None, tmp_path: Path
) -> None:
    """Nobody knows how many images there are until they are loaded."""
    grid = {**QUICK, "attacks": "fragile"}
    with pytest.raises(UserError, match="'fragile' is not defined under Linf here: it takes no"):
        run(**(grid | {"eval_examples": 11}), results=tmp_path / "r")
    assert not (tmp_path / "r" / "artifacts").exists() and Fragile.calls == 0
    (spec, *_) = run(**(grid | {"eval_examples": 11}), dry_run=True, results=tmp_path / "r").specs
    with pytest.raises(UserError, match="it takes no test set of 11 images"):
        run(spec, results=tmp_path / "r", device="cpu")
    assert not (tmp_path / "r" / "artifacts").exists() and Fragile.calls == 0


@pytest.mark.parametrize("switch", ["graphs", "sync_bn"])
def test_what_the_machine_cannot_do_is_refused_before_a_run_is_begun(
    tmp_path: Path, switch: str
) -> None:
    observer = Heard()
    with pytest.raises(UserError, match=f"^{switch.replace('_', '-')} 'on': "):
        run(
            methods="standard,trades",
            results=tmp_path / "new",
            device="cpu",
            observer=observer,
            **{switch: "on"},
        )
    assert [word for word, *_ in observer.told] == ["plan"] and not (tmp_path / "new").exists()
