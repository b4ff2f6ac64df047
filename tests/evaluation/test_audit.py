"""The audit of a run that lies whole beside this file, and of copies of it that were tampered with.

`whole_run` is what `regmix-bench run --methods fgsm-rs --eps 32/255 --eval-eps 24/255,32/255
--epochs 3 --eval-examples 60 --save-adversarial` left, less what an audit does not read.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import torch
from support.harness import cli
from support.synthetic import make_eval_spec, make_record

from regmix_bench.data import load_data
from regmix_bench.errors import UserError
from regmix_bench.evaluation.audit import audit_record
from regmix_bench.evaluation.findings import Audit
from regmix_bench.records import paths, store
from regmix_bench.records.adversarial import SavedImages, read_adversarial, write_adversarial
from regmix_bench.specs import ModelSource
from regmix_bench.system.files import file_digest

KEPT = Path(__file__).parents[1] / "whole_run"


class Copy:
    """A copy of the kept run, and ways to tamper with it without breaking its digests."""

    def __init__(self, results: Path) -> None:
        shutil.copytree(KEPT, results)
        (self.record,) = store.record_files(results)
        self.run = store.load_run(self.record)
        self.images = paths.adversarial_path(results, self.run.run_id, "selected")
        self.outcomes = paths.outcomes_path(self.record, "selected")
        folder = paths.artifacts_dir(results, self.run.run_id)
        self.weights = folder / self.run.checkpoints["selected"].file

    @property
    def saved(self) -> list[SavedImages]:
        return list(read_adversarial(self.images))

    def victim(self) -> tuple[int, SavedImages, int, torch.Tensor]:
        """The number of a part of AutoAttack, itself, and a row of it with its clean image."""
        part = next(n for n, saved in enumerate(self.saved) if saved.attack == "apgd-ce")
        saved = self.saved[part]
        return part, saved, 2, load_data("digits", "test")[0][saved.index[2]]

    def rewrite_images(self, parts: list[SavedImages], fix: bool = True) -> None:
        digest = write_adversarial(self.images, parts)
        if fix:
            self.rewrite_evaluations(adversarial_digest=digest)

    def rewrite_outcomes(self, frame: pd.DataFrame) -> None:
        self.rewrite_evaluations(outcomes_digest=store.write_parquet(self.outcomes, frame))

    def rewrite_evaluations(self, **changes: Any) -> None:
        def change(content: dict[str, Any]) -> None:
            for evaluation in content["evaluations"]:
                if evaluation["checkpoint"] == "selected":
                    evaluation |= changes

        self.rewrite_record(change)

    def rewrite_record(self, change: Callable[[dict[str, Any]], None]) -> None:
        content = json.loads(self.record.read_bytes())
        change(content)
        self.record.write_text(json.dumps(content))

    def audit(self) -> Audit:
        return audit_record(self.record, device="cpu")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "results")


@pytest.fixture
def command() -> Callable[..., tuple[int, list[str], str]]:
    def call(*arguments: object) -> tuple[int, list[str], str]:
        found = cli("audit", "--quiet", *arguments)
        return found.status, found.out.splitlines(), found.errors

    return call


def guilty(found: Audit) -> set[int]:
    return {finding.index for finding in found.findings if finding.index is not None}


def test_every_image_of_the_kept_run_passes(command) -> None:
    (record,) = store.record_files(KEPT)
    assert command(record, "--device", "cpu") == (0, ["audited: 120 of 120"], "")
    run_id = store.load_run(record).run_id
    by_id = command(run_id[:4], "--results", KEPT, "--device", "cpu")
    assert by_id == (0, ["audited: 120 of 120"], "")


def test_the_kept_run_is_worth_auditing() -> None:
    (record,) = store.record_files(KEPT)
    run = store.load_run(record)
    evaluations = [e for e in run.evaluations if e.adversarial_digest]
    assert [str(e.threat) for e in evaluations] == ["Linf 24/255", "Linf 32/255"]
    assert all(0.5 < e.autoattack_acc < e.pgd_acc < e.clean_acc < 1 for e in evaluations)
    images = paths.adversarial_path(KEPT, run.run_id, "selected")
    assert {saved.attack for saved in read_adversarial(images)} >= {"pgd", "apgd-ce", "apgd-t"}


Tamper = Callable[[torch.Tensor, torch.Tensor], None]


def _beyond(image: torch.Tensor, clean: torch.Tensor) -> None:
    image[0, 3, 3] = clean[0, 3, 3] + (0.2 if clean[0, 3, 3] < 0.5 else -0.2)


def _below_zero(image: torch.Tensor, clean: torch.Tensor) -> None:
    image[0].view(-1)[clean.view(-1).argmin()] = -0.01


def _harmless(image: torch.Tensor, clean: torch.Tensor) -> None:
    image.copy_(clean)


def _not_a_number(image: torch.Tensor, clean: torch.Tensor) -> None:
    image[0, 3, 3] = float("nan")


@pytest.mark.parametrize(
    ("tamper", "fix", "reason"),
    [
        (_beyond, False, "away in Linf, beyond 24/255"),
        (_beyond, True, "away in Linf, beyond 24/255"),
        (_below_zero, True, "has values from -0.00999"),
        (_harmless, True, "does not fool the model: its own class leads by"),
        (_not_a_number, True, "holds a value that is not a finite number"),
    ],
)
def test_a_spoilt_image_is_named(
    copy: Copy, command, tamper: Tamper, fix: bool, reason: str
) -> None:
    parts = copy.saved
    number, saved, row, clean = copy.victim()
    tamper(parts[number].images[row], clean)
    copy.rewrite_images(parts, fix=fix)

    status, output, errors = command(copy.record, "--device", "cpu")
    assert (status, errors) == (1, "")
    assert output[-1] == "audited: 119 of 120"
    assert (output[0].endswith("adversarial-selected.parquet is not the recorded one")) != fix
    index = int(saved.index[row])
    (line,) = [line for line in output if line.startswith("image ")]
    assert line.startswith(f"image {index}, selected, Linf 24/255, apgd-ce: ") and reason in line
    # What that image was the evidence for is no longer borne out.
    assert any("autoattack_acc is" in line for line in output)


def _without_row(part: SavedImages, row: int) -> SavedImages:
    rest = torch.arange(len(part.index)) != row
    return dataclasses.replace(part, index=part.index[rest], images=part.images[rest])


def test_a_missing_image_is_named(copy: Copy) -> None:
    parts = copy.saved
    number, saved, row, _ = copy.victim()
    parts[number] = _without_row(saved, row)
    copy.rewrite_images(parts)
    found = copy.audit()
    assert guilty(found) == {int(saved.index[row])} and found.n_passed == 119
    assert any("broken_by is apgd-ce in the outcomes" in str(f) for f in found.findings)
    assert any("autoattack_acc is" in f.reason for f in found.findings)


def test_without_any_images_every_break_is_missed(copy: Copy) -> None:
    outcomes = pd.read_parquet(copy.outcomes)
    broken = outcomes[
        (outcomes["broken_by"] != "") | outcomes["pgd_correct"].ne(outcomes["clean_correct"])
    ]
    copy.rewrite_images([])
    found = copy.audit()
    assert len(broken) > 10 and found.n_passed == 120 - len(broken)


@pytest.mark.parametrize(
    ("changes", "reason", "passed"),
    [
        ({}, "is saved twice", 119),
        ({"attack": "apgd-t"}, "is saved twice", 119),
        ({"attack": "fab"}, "is of an attack that did not run", 119),
        ({"index": torch.tensor([10**6])}, "is not among the images that were scored", 120),
    ],
)
def test_an_image_too_many_is_named(copy: Copy, changes, reason: str, passed: int) -> None:
    _, saved, _, _ = copy.victim()
    extra = dataclasses.replace(saved, index=saved.index[:1], images=saved.images[:1])
    extra = dataclasses.replace(extra, **changes)
    copy.rewrite_images([*copy.saved, extra])
    found = copy.audit()
    assert [f.reason for f in found.findings] == [reason]
    assert guilty(found) == {int(extra.index)} and found.n_passed == passed


def _broken(frame: pd.DataFrame) -> Any:
    return frame["broken_by"] == "apgd-ce"


def _held(frame: pd.DataFrame) -> Any:
    return frame["clean_correct"] & frame["pgd_correct"] & (frame["broken_by"] == "")


def _fell_to_pgd(frame: pd.DataFrame) -> Any:
    return frame["clean_correct"] & ~frame["pgd_correct"]


CHANGES: list[tuple[str, Any, Callable[[pd.DataFrame], Any]]] = [
    ("broken_by", "", _broken),
    ("broken_by", "square", _broken),
    ("broken_by", "apgd-ce", _held),
    ("apgd-ce_broke", False, _broken),
    ("apgd-ce_broke", True, _held),
    ("apgd-ce_norm", 0.05, _broken),
    ("apgd-ce_norm", float("nan"), _broken),
    ("apgd-ce_margin", 0.3, _broken),
    ("pgd_correct", False, _held),
    ("pgd_correct", True, _fell_to_pgd),
    ("pgd_norm", 0.05, _fell_to_pgd),
    ("pgd_margin", 0.3, _fell_to_pgd),
    ("clean_correct", True, lambda frame: ~frame["clean_correct"]),
    ("clean_correct", False, _held),
    ("label", 11, _held),
]


def test_every_changed_outcome_is_named(copy: Copy) -> None:
    outcomes = pd.read_parquet(copy.outcomes).reset_index(drop=True)
    untouched, expected = outcomes.copy(), set()
    for column, value, where in CHANGES:
        row = untouched.index[where(untouched)][0]
        untouched = untouched.drop(index=row)
        outcomes.loc[row, column] = value
        place = (outcomes.loc[row, "epsilon"], outcomes.loc[row, "index"])
        expected.add((*place, f"{column} is {value} in the outcomes"))
    copy.rewrite_outcomes(outcomes)

    found = copy.audit()
    named = {(str(f.threat.epsilon), f.index, f.reason.partition(",")[0]) for f in found.findings}
    assert named == expected and len(found.findings) == len(CHANGES)
    assert found.n_passed == 120 - len(CHANGES)


def test_a_removed_outcome_is_named(copy: Copy) -> None:
    outcomes = pd.read_parquet(copy.outcomes)
    copy.rewrite_outcomes(outcomes.iloc[1:])
    (finding,) = copy.audit().findings
    assert finding.index == outcomes["index"].iloc[0]
    assert finding.reason == "has no row in the outcomes file"


def test_every_changed_number_of_the_record_is_noticed(copy: Copy) -> None:
    fields = {
        "n_examples": 59,
        "clean_acc": 0.95,
        "pgd_acc": 1.0,
        "after_attack": {"apgd-ce": 1.0, "apgd-t": 1.0, "fab-t": 1.0, "square": 1.0},
        "autoattack_acc": 0.9,
    }
    copy.rewrite_evaluations(**fields)
    found = copy.audit()
    assert guilty(found) == set() and found.n_passed == 120
    claims = [f"{name} is {value} in the record" for name, value in fields.items()]
    assert len(found.findings) == 2 * len(fields)  # once for each budget
    for finding, claim in zip(found.findings, 2 * claims, strict=True):
        assert finding.reason.startswith(claim)


def _disturb(weights: Path) -> None:
    with safetensors.safe_open(weights, "pt") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    classifier = next(tensor for tensor in tensors.values() if tensor.shape == (10,))
    classifier += torch.linspace(0, 3, 10)
    safetensors.torch.save_file(tensors, weights, about)


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (None, "is missing, the outcomes that"),
        (0, "does not hold the outcomes that its record counts"),
    ],
)
def test_outcomes_of_a_checkpoint_without_saved_images_are_read_too(
    copy: Copy, right: int | None, said: str
) -> None:
    digest = "0" * 64
    if right is not None:
        frame = pd.read_parquet(copy.outcomes)
        frame["pgd_correct"] = frame.index < right
        digest = store.write_parquet(paths.outcomes_path(copy.record, "last"), frame)

    def claim(content: dict[str, Any]) -> None:
        for evaluation in content["evaluations"]:
            if evaluation["checkpoint"] == "last":
                evaluation["outcomes_digest"] = digest

    copy.rewrite_record(claim)
    found = [finding for finding in copy.audit().findings if finding.checkpoint == "last"]
    assert found and all(said in finding.reason for finding in found)


@pytest.mark.parametrize("fix", [False, True], ids=["digest as recorded", "digest rewritten"])
def test_other_weights_are_noticed(copy: Copy, fix: bool) -> None:
    _disturb(copy.weights)

    def fixed(content: dict[str, Any]) -> None:
        content["checkpoints"]["selected"]["sha256"] = file_digest(copy.weights)

    if fix:
        copy.rewrite_record(fixed)
    found = copy.audit()
    assert ("SHA-256 of the weights" in found.findings[0].reason) != fix
    assert found.n_passed < 110


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _drop_column(copy: Copy) -> None:
    copy.rewrite_outcomes(pd.read_parquet(copy.outcomes).drop(columns="apgd-t_norm"))


def _other_images(copy: Copy) -> None:
    copy.rewrite_images(
        [dataclasses.replace(part, images=part.images[..., :4]) for part in copy.saved]
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda copy: _cut(copy.images), "does not hold adversarial images: "),
        (lambda copy: _cut(copy.outcomes), "is not the outcomes file of its record: "),
        (_drop_column, "apgd-t_norm"),
        (lambda copy: copy.images.unlink(), "adversarial-selected.parquet: it stays on"),
        (lambda copy: copy.weights.unlink(), "selected-0003.safetensors: it stays on"),
        (
            lambda copy: copy.rewrite_record(lambda record: record.update(data_digest="0" * 64)),
            "dataset 'digits' here is not that of",
        ),
        (lambda copy: copy.rewrite_evaluations(adversarial_digest=None), "--save-adversarial"),
        (_other_images, "holds images of shape (1, 8, 4), not (1, 8, 8)"),
    ],
)
def test_what_cannot_be_audited_is_one_line(copy: Copy, command, spoil, message: str) -> None:
    spoil(copy)
    status, output, errors = command(copy.record, "--device", "cpu")
    assert (status, output) == (2, [])
    assert errors.count("\n") == 1 and message in errors


def _evaluated(copy: Copy, kind: str) -> Path:
    """The record that `regmix-bench eval` would have made of the kept model."""
    run, results = copy.run, copy.record.parents[2]
    name = {"run": f"{run.run_id}:selected", "weights": copy.weights.name}[kind]
    shared = ("dataset", "eval_examples", "arch", "eval_threats", "scoring")
    model = ModelSource(kind=kind, name=name, sha256=run.checkpoints["selected"].sha256)
    spec = make_eval_spec("kept", model=model, **{f: getattr(run.spec, f) for f in shared})
    selected = [e for e in run.evaluations if e.checkpoint == "selected"]
    given = tuple(e.model_copy(update={"checkpoint": "given"}) for e in selected)
    record = make_record(spec, data_digest=run.data_digest, evaluations=given)
    path = store.save_record(results, record)
    images = paths.adversarial_path(results, spec.run_id, "given")
    images.parent.mkdir()
    shutil.copy(copy.images, images)
    shutil.copy(copy.outcomes, paths.outcomes_path(path, "given"))
    return path


def test_a_model_that_was_given_is_audited_alike(copy: Copy, command) -> None:
    everything = (0, ["audited: 120 of 120"], "")
    assert command(_evaluated(copy, "run"), "--device", "cpu") == everything
    record = _evaluated(copy, "weights")
    assert command(record, "--model", copy.weights, "--device", "cpu") == everything
    status, output, errors = command(record, "--device", "cpu")
    assert (status, output) == (2, []) and f"no model file at {copy.weights.name}" in errors
    _disturb(copy.weights)
    status, output, _ = command(record, "--model", copy.weights, "--device", "cpu")
    assert status == 1
    assert output[0] == "given: the SHA-256 of the weights is not the recorded one"


@pytest.mark.parametrize("given", [{"model": "other:model"}, {"weights": Path("other.pt")}])
def test_a_training_brings_its_own_model(given: dict[str, Any]) -> None:
    (record,) = store.record_files(KEPT)
    with pytest.raises(UserError, match="leave out --model and --weights"):
        audit_record(record, **given)


@pytest.mark.parametrize("what", ["weights", "images", "outcomes"])
def test_what_may_not_be_read_is_one_line(copy: Copy, refuse_reading, what: str) -> None:
    file = getattr(copy, what)
    refuse_reading(file)
    with pytest.raises(UserError, match=f"cannot read {file}: Permission denied"):
        copy.audit()
