"""Scores of a model that is given: a record like any other, and equal to its run's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from support.harness import cli
from support.quick_attacks import shorten

from regmix_bench import evaluate
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.audit import audit_record
from regmix_bench.evaluation.scorer import Extras, discard_journals, score_weights
from regmix_bench.grid.plan import plan
from regmix_bench.loading.trained import load_model
from regmix_bench.records import paths, store
from regmix_bench.records.frame import load_results
from regmix_bench.records.schema import Cost, EvalRecord, RunRecord
from regmix_bench.runs import runner
from regmix_bench.system.files import file_digest
from regmix_bench.types import Checkpoint

GRID: dict[str, Any] = {
    "methods": ["fgsm-rs"],
    "eps": ["24/255"],
    "eval_examples": 40,
    "train_examples": 900,
    "recipe": {"epochs": 2, "schedule": "cosine", "augmentation": "none", "precision": "fp32"},
}
CODE = """
from regmix_bench.models import build_model

def build():
    return build_model("smallcnn", (1, 8, 8), 10)
"""


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory) -> tuple[Path, RunRecord]:
    """A results folder with one run, its adversarial images saved."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        (spec,) = plan([GRID])
        record = runner.run_spec(
            spec, results, device="cpu", save_adversarial=True, reference="fgsm-rs"
        )
    assert record.status == "success", record.error
    return results, record


@pytest.fixture
def evaluated(trained_run, tmp_path, monkeypatch):
    """Runs ``regmix-bench eval`` in an empty folder; returns its record and what it printed."""
    results, _ = trained_run
    monkeypatch.chdir(tmp_path)
    shorten(monkeypatch)

    def run(*arguments: str, code: int = 0) -> tuple[EvalRecord | None, str]:
        before = set(store.record_files(results))
        printed = cli("eval", *arguments, "--results", results, "--device", "cpu")
        assert printed.status == code, printed
        new = set(store.record_files(results)) - before
        if code:
            assert not new
            assert printed.errors.startswith("error: ") and len(printed.errors.splitlines()) == 1
            return None, printed.errors
        if not new:
            return None, printed.out
        (path,) = new
        found = store.load_record(path)
        assert isinstance(found, EvalRecord)
        return found, printed.out

    yield run
    for path in store.record_files(results):
        found = store.load_record(path)
        if isinstance(found, EvalRecord):
            path.unlink()
            paths.outcomes_path(path, "given").unlink()


def outcomes(results: Path, record: RunRecord | EvalRecord) -> pd.DataFrame:
    checkpoint = "selected" if isinstance(record, RunRecord) else "given"
    path = paths.record_path(results, record.spec)
    return pd.read_parquet(paths.outcomes_path(path, checkpoint))


def weights_of(trained_run) -> Path:
    results, record = trained_run
    file = record.checkpoints["selected"].file
    return paths.artifacts_dir(results, record.run_id) / file


def test_a_callable_with_the_weights_of_a_run_has_its_flags(trained_run, evaluated) -> None:
    results, run = trained_run
    Path("mymodel.py").write_text(CODE)
    record, printed = evaluated(
        *("mymodel:build", "--weights", str(weights_of(trained_run))),
        *("--dataset", "digits", "--eval-examples", "40", "--eps", "24/255"),
    )
    assert record is not None and record.spec.model.kind == "callable"
    pd.testing.assert_frame_equal(outcomes(results, record), outcomes(results, run))
    (expected,) = (e for e in run.evaluations if e.checkpoint == "selected")
    (found,) = record.evaluations
    assert found.checkpoint == "given"
    names = ("clean_acc", "pgd_acc", "autoattack_acc", "after_attack", "n_examples", "checks")
    for name in names:
        assert getattr(found, name) == getattr(expected, name)
    assert 0 < found.autoattack_acc < found.clean_acc
    assert f"AutoAttack {found.autoattack_acc:.1%}" in printed
    assert os.fspath(results) not in paths.record_path(results, record.spec).read_text()


def test_a_run_brings_its_own_data_and_budget(trained_run, evaluated) -> None:
    results, run = trained_run
    record, _ = evaluated(run.run_id)
    assert record is not None and record.spec.model.name == f"{run.run_id}:selected"
    assert record.spec.eval_threats == run.spec.eval_threats
    assert (record.spec.eval_examples, record.n_test) == (40, 40)
    pd.testing.assert_frame_equal(outcomes(results, record), outcomes(results, run))
    again, printed = evaluated(run.run_id[:6])
    assert again is None and f"{record.evaluations[0].clean_acc:.1%}" in printed


def test_square_alone_is_a_score_of_its_own(trained_run, evaluated) -> None:
    results, run = trained_run
    arguments = (run.run_id, "--attacks", "square", "--eps", "8/255,24/255")
    record, printed = evaluated(*arguments)
    assert record is not None and record.spec.scoring.attacks == ("square",)
    assert [str(e.threat.epsilon) for e in record.evaluations] == ["8/255", "24/255"]
    for e in record.evaluations:
        assert e.autoattack_version == "custom" and list(e.after_attack) == ["square"]
    assert "square" in printed and "AutoAttack" not in printed
    frame = load_results(results)
    mine = frame[frame["run_id"] == record.run_id]
    assert list(mine["autoattack_version"]) == ["custom"] * 2 and mine["method"].isna().all()


def test_saved_images_and_diagnoses_are_made_when_asked_for(trained_run, evaluated) -> None:
    results, run = trained_run
    record, _ = evaluated(run.run_id, "--attacks", "apgd-ce")
    assert record is not None and record.evaluations[0].diagnoses == ()
    path = paths.record_path(results, record.spec)
    images = paths.adversarial_path(results, record.run_id, "given")
    assert not images.exists()

    _, printed = evaluated(run.run_id, "--attacks", "apgd-ce", "--save-adversarial", "--diagnose")
    (result,) = store.load_record(path).evaluations
    assert images.is_file() and result.adversarial_digest
    assert len(result.diagnoses) == 6
    for diagnosis in result.diagnoses:
        assert diagnosis.name in printed
    assert not list(images.parent.glob("scoring-*"))


def test_questions_asked_later_attack_nothing_again(trained_run, evaluated, monkeypatch) -> None:
    results, run = trained_run
    record, _ = evaluated(run.run_id, "--attacks", "apgd-ce", "--save-adversarial")
    assert record is not None
    path = paths.record_path(results, record.spec)
    files = [paths.adversarial_path(results, record.run_id, "given")]
    files.append(paths.outcomes_path(path, "given"))
    before = [file.stat().st_mtime_ns for file in files]

    def attacked(*_: object) -> None:
        raise AssertionError("attacked again")

    monkeypatch.setattr("regmix_bench.evaluation.given.score_weights", attacked)
    _, printed = evaluated(run.run_id, "--attacks", "apgd-ce", "--diagnose")
    again = store.load_record(path)
    assert isinstance(again, EvalRecord)
    (result,) = again.evaluations
    assert len(result.diagnoses) == 6 and "more-steps" in printed
    undiagnosed = result.model_copy(update={"diagnoses": ()})
    assert again.model_copy(update={"evaluations": (undiagnosed,)}) == record
    assert [file.stat().st_mtime_ns for file in files] == before


def test_a_kill_before_the_record_leaves_the_images_of_the_old_one(
    trained_run, evaluated, monkeypatch
) -> None:
    results, run = trained_run
    arguments = (run.run_id, "--attacks", "apgd-ce")
    record, _ = evaluated(*arguments, "--save-adversarial")
    assert record is not None
    images = paths.adversarial_path(results, record.run_id, "given")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("regmix_bench.evaluation.given.save_record", killed)
        evaluate(run.run_id, attacks="apgd-ce", results=results, force=True)
    assert file_digest(images) == record.evaluations[0].adversarial_digest

    evaluated(*arguments, "--force")
    assert not images.exists()


def test_nothing_of_an_earlier_try_is_left_beside_a_record(trained_run, evaluated) -> None:
    results, run = trained_run
    arguments = (run.run_id, "--attacks", "apgd-ce")
    record, _ = evaluated(*arguments)
    assert record is not None
    folder = paths.artifacts_dir(results, record.run_id)
    (folder / "scoring-given-Linf-24-255").mkdir(parents=True)
    (folder / "error.txt").write_text("of a try that failed")
    evaluated(*arguments)
    assert [path.name for path in folder.iterdir()] == [paths.LOCK]


def test_a_screened_number_is_never_autoattacks(trained_run, evaluated) -> None:
    results, run = trained_run
    record, printed = evaluated(run.run_id, "--screen", "--save-adversarial")
    assert record is not None and record.spec.scoring.screen
    (result,) = record.evaluations
    (standard,) = (e for e in run.evaluations if e.checkpoint == "selected")
    assert result.autoattack_acc is None and result.screened_acc <= standard.autoattack_acc
    assert f"PGD → AutoAttack {result.screened_acc:.1%}" in printed
    frame = load_results(results)
    (row,) = frame[frame["run_id"] == record.run_id].to_dict("records")
    assert pd.isna(row["autoattack_acc"]) and row["screened_acc"] == result.screened_acc
    path = paths.find_record(results, record.spec)
    assert path is not None
    assert audit_record(path, device="cpu").findings == ()


def test_a_model_has_one_record_whatever_it_is_called(trained_run, evaluated) -> None:
    results, run = trained_run
    arguments = (run.run_id, "--attacks", "apgd-ce")
    first, _ = evaluated(*arguments, "--label", "one\n name")
    assert first is not None and first.spec.label == "one name"
    frame = outcomes(results, first)

    second, printed = evaluated(*arguments, "--label", "two")
    assert "recorded already" in printed
    assert second is not None and second.run_id == first.run_id
    assert second.model_dump(exclude={"spec"}) == first.model_dump(exclude={"spec"})
    pd.testing.assert_frame_equal(outcomes(results, second), frame)
    again, printed = evaluated(*arguments)
    assert again is None and printed.startswith("two · digits · smallcnn")

    alike, _ = evaluated(*arguments, "--label", "t-wo")
    assert alike is not None and len(outcomes(results, alike)) == 40
    same_file, _ = evaluated(*arguments, "--label", "t wo")
    assert same_file is None and len(outcomes(results, alike)) == 40

    third, _ = evaluated(*arguments, "--label", "three", "--force")
    assert third is not None and third.spec.label == "three"
    same = [path for path in store.record_files(results) if first.run_id in path.name]
    assert same == [paths.record_path(results, third.spec)]
    assert len(list(same[0].parent.glob(f"*{first.run_id}*"))) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("RUN", "--label", " "), ["label is empty"]),
        (("nosuchrun",), ["'nosuchrun'"]),
        (("no:such", "--eps", "8/255"), ["--dataset"]),
        (("no:such", "--dataset", "digits"), ["--threats"]),
        (("no:such", "--dataset", "digits", "--eps", "8/255"), ["no:such"]),
        (("gone.pt", "--dataset", "digits", "--eps", "8/255"), ["gone.pt"]),
        (("RUN", "--eps", "8"), ["epsilon 8", "8/255"]),
        (("RUN", "--norm", "L3"), ["'L3'", "'L2'"]),
        (("RUN", "--attacks", "sqare"), ["'sqare'", "'square'"]),
        (("RUN", "--attacks", "square,square"), ["twice"]),
        (
            ("RUN", "--attacks", "square", "--set", "scoring.autoattack_version=plus"),
            ["custom", "names its attacks"],
        ),
        (("RUN", "--set", "scoring.autoattack_version=custom"), ["attacks"]),
        (("RUN", "--set", "scoring.autoattack_version=best"), ["'best'", "standard"]),
        (("RUN", "--checkpoint", "best"), ["'best'"]),
        (("RUN", "--eval-examples", "361"), ["361", "360"]),
        (("RUN", "--eval-examples", "0"), ["0"]),
        (("RUN", "--weights", "x.safetensors"), ["--weights"]),
    ],
)
def test_bad_input_is_one_line(trained_run, evaluated, arguments, said) -> None:
    _, run = trained_run
    _, error = evaluated(*(run.run_id if a == "RUN" else a for a in arguments), code=2)
    for text in said:
        assert text in error


BROKEN = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.layer, self.how = nn.Linear(64, 10), how

    def forward(self, x):
        logits = self.layer(x.flatten(1))
        return {"few": logits[:, :7], "nan": logits / 0 * 0, "none": None}[self.how]

def few(): return Model("few")
def nan(): return Model("nan")
def none(): return Model("none")
def text(): return "model"
"""


@pytest.mark.parametrize(
    ("name", "said"), [("few", "10 classes"), ("nan", "NaN"), ("none", "logits"), ("text", "str")]
)
def test_a_model_that_cannot_be_scored_is_refused(evaluated, name: str, said: str) -> None:
    Path("broken_models.py").write_text(BROKEN)
    _, error = evaluated(f"broken_models:{name}", "--dataset", "digits", "--eps", "8/255", code=2)
    assert said in error


LATE = """
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        if len(x) > 2 and x.requires_grad:
            raise ValueError("too many\\nimages")
        return self.layer(x.flatten(1))
"""


def test_a_model_that_fails_late_is_one_line_and_a_traceback_on_disk(evaluated) -> None:
    Path("late_model.py").write_text(LATE)
    _, error = evaluated("late_model:Model", "--dataset", "digits", "--eps", "8/255", code=2)
    assert "ValueError: too many images" in error
    kept = Path(error.split("the traceback is in ")[1].strip())
    assert "late_model.py" in kept.read_text()


def test_a_record_of_other_images_is_refused(trained_run, evaluated) -> None:
    results, run = trained_run
    path = paths.record_path(results, run.spec)
    content = path.read_text()
    path.write_text(content.replace(str(run.data_digest), "0" * 64))
    try:
        _, error = evaluated(run.run_id, code=2)
    finally:
        path.write_text(content)
    assert "digits" in error and "SHA-256" in error


def test_state_from_another_checkpoint_is_refused(trained_run, evaluated, monkeypatch) -> None:
    """A scorer that was stopped, and weights that are others when it goes on."""
    results, run = trained_run
    file = weights_of(trained_run)
    test = runner.prepare(run.spec, torch.device("cpu")).test
    model = AttackedModel.of(load_model(run, results), test.x)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    arguments = {"extras": Extras(), "on_attack": stopped}
    with pytest.raises(KeyboardInterrupt):
        score_weights(model, "a" * 64, test, run.spec, {"selected": True}, results, **arguments)
    folder = paths.artifacts_dir(results, run.run_id)
    assert list(folder.glob("scoring-*/apgd-ce-*"))
    with pytest.raises(runner.UserError, match="weights' SHA-256 is aaa"):
        score_weights(model, "b" * 64, test, run.spec, {"selected": True}, results, **arguments)
    discard_journals(results, run.run_id)
    assert not list(folder.glob("scoring-*")) and file.is_file()


ORDERS: list[dict[Checkpoint, bool]] = [
    {"selected": True, "last": False},
    {"selected": False, "last": True},
    {"selected": True, "last": True},
]


@pytest.mark.parametrize("asked", ORDERS, ids=str)
def test_weights_that_are_two_checkpoints_are_attacked_once(
    asked: dict[Checkpoint, bool], trained_run
) -> None:
    results, run = trained_run
    test = runner.prepare(run.spec, torch.device("cpu")).test
    model = AttackedModel.of(load_model(run, results), test.x)
    record = paths.record_path(results, run.spec)
    files = {name: paths.outcomes_path(record, name) for name in asked}
    kept = {file: file.read_bytes() for file in files.values() if file.exists()}
    short = {"autoattack_version": "custom", "attacks": ("apgd-ce",)}
    scoring = run.spec.scoring.model_copy(update=short)
    spec = run.spec.model_copy(update={"scoring": scoring})

    def scored(these: dict[Checkpoint, bool]) -> tuple[dict[Checkpoint, Any], Cost]:
        found = score_weights(
            *(model, "a" * 64, test, spec, these, results),
            extras=Extras(),
            on_attack=lambda *_: None,
        )
        discard_journals(results, run.run_id)
        return found.of, found.cost

    try:
        together, cost = scored(asked)
        written = {name: file.read_bytes() for name, file in files.items()}
        costs = []
        for name, attack in asked.items():
            alone, of_one = scored({name: attack})
            assert together[name] == alone[name]
            assert together[name][0].checkpoint == name
            assert written[name] == files[name].read_bytes()
            costs.append(of_one.forward_images)
        assert cost.forward_images == max(costs)
    finally:
        for file in files.values():
            file.unlink()
        for file, content in kept.items():
            file.write_bytes(content)
