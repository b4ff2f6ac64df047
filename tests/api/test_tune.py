"""Tuning from the call to the suite: no look at the test images, and a record that says how."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import plug_ins
from support.harness import Answer, cli, wait_for

from regmix_bench import UserError, run, tune
from regmix_bench.data import DATASETS, Dataset
from regmix_bench.grid.plan import plan_runs
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.records.schema import EpochLog
from regmix_bench.records.studies import load_study, study_files
from regmix_bench.runs.observers import Silent

QUICK: dict[str, Any] = {"methods": "fgsm-pgi,regmix[reset=2]", "eps": "32/255", "device": "cpu"}
#: What a suite says, beside its methods, that tuning has nothing to do with.
SCORED: dict[str, Any] = {
    "datasets": ["stripes"],
    "eps": ["32/255"],
    "threats": ["Linf:32/255", "L2:0.5"],
    "pgd_eps": ["8/255"],
    "data": {"eval_examples": 30, "train_examples": 42},
    "recipe": {"lr": 0.05, "precision": "fp32", "validation_precision": "fp32"},
    "scoring": {"search_precision": "fp32"},
    "evaluate": "last",
    "reference": "fgsm-pgi",
}


class WithoutTest(Dataset):
    """A dataset whose test part raises."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("test_images", "test_labels"):
            raise AssertionError("the test images were looked at")
        return super().__getattribute__(name)


class Untested(plug_ins.Stripes):
    """Stripes of which nobody may see the test."""

    name = "untested"

    def load(self, data_dir: Path, download: bool) -> Dataset:
        return WithoutTest(**vars(super().load(data_dir, download)))


@pytest.fixture(autouse=True)
def _registered() -> None:
    plug_ins.register()
    DATASETS.register(Untested.name, Untested)


class Heard(Silent):
    """Counts the epochs that are trained."""

    epochs = 0

    def on_epoch(self, spec: Any, log: EpochLog) -> None:
        self.epochs += 1


def test_tuning_reads_no_test_image_and_what_is_finished_is_read(tmp_path: Path) -> None:
    heard = Heard()
    options: dict[str, Any] = {**QUICK, "datasets": "untested", "trials": 2, "results": tmp_path}
    found = tune(objective="apgd-ce", include="recipe.lr", observer=heard, **options)
    assert heard.epochs == 2 * 2 * 2
    assert [study.label for study in found.studies] == ["fgsm-pgi", "regmix[reset=2]"]
    for study in found.studies:
        assert [trial.state for trial in study.trials] == ["complete"] * 2
        assert study.finished and study.passes > 0 and "recipe.lr" in study.space
        assert len({trial.run_id for trial in study.trials}) == 2
    assert not list((found.folder / "artifacts").iterdir())

    before = {path: path.read_bytes() for path in found.folder.glob("*.*")}
    again = tune(objective="apgd-ce", include="recipe.lr", observer=heard, **options)
    assert again == found and heard.epochs == 8
    assert {path: path.read_bytes() for path in found.folder.glob("*.*")} == before

    with pytest.raises(UserError, match=r"fgsm-pgi in .* is of another objective"):
        tune(include="recipe.lr", **options)


def trials_of(results: Path) -> list[tuple[object, ...]]:
    """Return all that a study of FGSM-PGI says of its trials, without what the clock decides."""
    (path,) = study_files(results)
    return [
        (t.number, t.run_id, t.state, t.values, t.value, t.passes, t.epochs)
        for t in load_study(path).trials
    ]


def test_killed_five_times_the_command_ends_with_the_trials_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    def command(results: Path) -> Answer:
        asked = ("--methods", "fgsm-pgi", "--datasets", "stripes", "--eps", "32/255")
        effort = ("--trials", 10, "--set", "recipe.epochs=5", "--device", "cpu")
        return cli("tune", *asked, *effort, "--results", results)

    def ended(results: Path) -> int:
        return sum(len(trials_of(path)) for path in (results,) if study_files(path))

    undisturbed, killed = tmp_path / "a", tmp_path / "b"
    assert command(undisturbed).status == 0
    for number in range(1, 6):
        if not (child := os.fork()):
            command(killed)
            os._exit(0)
        wait_for(lambda number=number: ended(killed) >= number)  # type: ignore[misc]
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert len(trials_of(killed)) < 10
    assert command(killed).status == 0
    assert trials_of(killed) == trials_of(undisturbed)
    assert not list((killed / "tuning").glob("*/artifacts/*"))


def test_two_trials_at_a_time_are_the_same_that_follow_each_other(tmp_path: Path) -> None:
    heard = Heard()
    data = plug_ins.write_stripes(tmp_path / "bars.npz")  # workers know no class of this process
    options: dict[str, Any] = {"methods": "fgsm-pgi", "datasets": f"npz:{data}", "eps": "32/255"}
    options |= {"trials": 4, "device": "cpu", "settings": ["recipe.epochs=2"]}
    tune(results=tmp_path / "a", **options)
    tune(results=tmp_path / "b", jobs=2, observer=heard, **options)
    assert heard.epochs == 4 * 2
    # No trial among the first five depends on those before it.
    assert trials_of(tmp_path / "b") == trials_of(tmp_path / "a")


def test_run_takes_the_best_and_its_record_says_at_which_effort(tmp_path: Path) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(json.dumps({**SCORED, "methods": ["fgsm-pgi", "regmix[reset=2]"]}))
    found = tune(suite, trials=3, halving=True, device="cpu", results=tmp_path)
    assert found.suite is not None
    records = run(
        found.suite,
        results=tmp_path,
        device="cpu",
        attacks="apgd-ce",
        settings=["scoring.autoattack_batch_size=60"],
    )
    for record, study in zip(records, found.studies, strict=True):
        best = study.best
        assert best is not None and record.tuned == study.tuned(record.spec.training_id)
        assert record.tuned and record.tuned.trials == 3 and record.tuned.equal == "trials"
        for key, value in best.values.items():
            assert {**record.spec.method.params}[key.rpartition(".")[2]] == value

    # But for what was tuned, the suite plans what was asked for.
    for planned, record in zip(plan_runs(load_suite(str(found.suite))), records, strict=True):
        asked = plan_runs([{**SCORED, "methods": [planned.spec.label]}])[0].spec
        assert planned.spec == asked and record.spec.training_id == asked.training_id

    # What is not the training of the study is not said to be.
    grids = load_suite(str(found.suite))
    assert all(planned.tuned for planned in plan_runs(grids, {"eval_eps": ["8/255"]}))
    for given, settings in (
        ({"methods": ["fgsm-pgi[lambda_=77]"]}, []),
        ({}, ["recipe.epochs=3"]),
        ({"eps": ["8/255"]}, []),
    ):
        assert not any(planned.tuned for planned in plan_runs(grids, given, settings))


def test_the_best_of_a_method_in_a_file_is_run_with_that_file(
    tmp_path: Path, forget: Callable[[], None]
) -> None:
    file, results = tmp_path / "mine.py", tmp_path / "r"
    file.write_text(plug_ins.METHOD_FILE)
    place = ("--results", results, "--data-dir", tmp_path, "--device", "cpu")
    asked = ("--methods", f"{file}:Plain", "--datasets", "stripes", "--eps", "32/255", *place)
    found = cli("tune", *asked, "--trials", 2)
    suite = results / "tuning/stripes-one-layer-Linf-32-255/suite.yaml"
    assert found.out.splitlines()[-1] == (
        f"next: regmix-bench run {suite} --method-files {file}:Plain --results {results}"
        f" --data-dir {tmp_path}"
    )
    forget()
    said = json.loads(cli("tune", *asked, "--trials", 2, "--json").out)["result"]
    assert said["suite"] == str(suite) and said["best"]["plain"]["value"] > 0

    forget()
    assert "unknown method 'plain'" in cli("run", suite, "--dry-run").words
    (record,) = run(
        suite,
        method_files=f"{file}:Plain",
        results=results,
        device="cpu",
        attacks="apgd-ce",
        settings=["scoring.autoattack_batch_size=60"],
    )
    assert record.status == "success" and record.tuned and record.tuned.trials == 2
    assert record.tuned.values == said["best"]["plain"]["values"]
    assert record.spec.method.code is not None

    forget()  # other code is another method
    file.write_text(plug_ins.METHOD_FILE + "# changed\n")
    assert "is of another version of the method" in cli("tune", *asked).words
    (planned,) = plan_runs(load_suite(str(suite)))
    assert planned.tuned is None


def test_the_model_that_gives_pseudo_labels_is_part_of_what_a_trial_costs(tmp_path: Path) -> None:
    said = ["data.labelled=30", "recipe.unlabelled=rst", "scoring.autoattack_batch_size=60"]
    options: dict[str, Any] = {"methods": "fgsm-rs", "datasets": "stripes", "eps": "32/255"}
    options |= {"settings": said, "device": "cpu", "results": tmp_path}
    (study,) = tune(trials=1, **options).studies
    (record,) = run(attacks="apgd-ce", **options)
    taught = record.labels and record.labels.pseudo_label_cost
    assert taught is not None and taught.passes > 0
    assert study.passes == record.training_cost.passes + taught.passes


def test_methods_that_a_suite_trains_on_other_images_are_tuned_apart(tmp_path: Path) -> None:
    suite = tmp_path / "mine.yaml"
    grids = [{"methods": ["fgsm-pgi"]}, {"methods": ["regmix"], "data": {"train_examples": 42}}]
    suite.write_text(json.dumps({"datasets": ["stripes"], "eps": ["32/255"], "grids": grids}))
    with pytest.raises(UserError, match="planned with different train_examples"):
        tune(suite, trials=1, device="cpu", results=tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": "standard"}, "standard has nothing to tune"),
        ({"trials": 0}, "--trials 0"),
        ({"trials": 3, "budget": "90m"}, "not of both"),
        ({"budget": "soon"}, "neither images through the network"),
        ({"budget": "1e11d"}, "neither images through the network"),
        ({"eps": "8/255,32/255"}, "2 budgets are planned"),
        ({"datasets": "stripes,digits"}, "2 data sets are planned"),
        ({"name": "../elsewhere"}, "is no name of a folder"),
        ({"seed": -1}, "--seed -1"),
        ({"include": "recipe.epochs"}, "declares no range"),
        ({"archs": "resnet18,one-layer"}, "2 architectures are planned"),
        ({"settings": ["recipe.batch_size=1"]}, "recipe.batch_size"),
        ({"objective": "square"}, "objective"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as refused:
        tune(**{**QUICK, "datasets": "stripes", "results": tmp_path / "r", **options})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("package", "options", "extra"), [("optuna", {}, "tune"), ("ray", {"launcher": "ray"}, "ray")]
)
def test_without_a_package_the_line_to_install_it_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    options: dict[str, Any],
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"pip install .regmix-bench\[{extra}\]"):
        tune(**QUICK, datasets="stripes", results=tmp_path / "r", **options)
    assert not (tmp_path / "r").exists()


def test_the_record_of_a_study_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = tune(**{**QUICK, "methods": "fgsm-rs"}, datasets="stripes", trials=1, results=tmp_path)
    (path,) = study_files(tmp_path)
    assert load_study(path) == found.studies[0]
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"schema_version": 99}))
    with pytest.raises(UserError, match="upgrade regmix-bench"):
        load_study(path)
