"""Claims of a record without saved images: what nothing bears out, and what is made anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.harness import cli

from regmix_bench.errors import UserError
from regmix_bench.evaluation.audit import audit_record
from regmix_bench.records import paths, store
from regmix_bench.records.schema import TransferRecord, TransferSide
from regmix_bench.types import ThreatModel

KEPT = Path(__file__).parents[1] / "whole_run"

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[Edit], Path]:
    """The kept run, its record edited; its path is returned."""

    def edit_record(edit: Edit) -> Path:
        shutil.copytree(KEPT, tmp_path / "results")
        (path,) = store.record_files(tmp_path / "results")
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))
        return path

    return edit_record


def last_attacked(content: dict[str, Any]) -> None:
    for score in content["evaluations"]:
        if score["checkpoint"] == "last":
            score |= {"autoattack_acc": 0.95, "after_attack": {"apgd-ce": 0.95}}


def digests_gone(content: dict[str, Any]) -> None:
    score = content["evaluations"][1]
    score |= {"adversarial_digest": None, "outcomes_digest": None, "autoattack_acc": 0.5}


def history_gone(content: dict[str, Any]) -> None:
    content["history"] = []


@pytest.mark.parametrize(
    ("edit", "passed", "said"),
    [
        (last_attacked, "120 of 120, 2", "no saved adversarial image bears out autoattack_acc and"),
        (digests_gone, "60 of 60, 1", "no saved adversarial image bears out autoattack_acc and"),
        (history_gone, "120 of 120, 1", "there is no history, which the selected epoch and"),
    ],
)
def test_what_has_no_evidence_is_named_and_counted(
    edited: Callable[[Edit], Path], edit: Edit, passed: str, said: str
) -> None:
    found = cli("audit", edited(edit), "--device", "cpu")
    assert found.status == 1, found
    assert said in found.out and f"audited: {passed} without evidence" in found.out


def test_weights_that_are_gone_bear_nothing_out(edited: Callable[[Edit], Path]) -> None:
    def other_last(content: dict[str, Any]) -> None:
        content["checkpoints"]["last"] |= {"file": "gone.safetensors", "sha256": "0" * 64}

    found = audit_record(edited(other_last), device="cpu")
    assert (found.n_passed, found.n_unproven) == (120, 1)
    assert str(found.findings[0]).startswith("last: nothing bears out its scores: no ")


def test_an_epoch_that_was_not_selected_is_noticed(edited: Callable[[Edit], Path]) -> None:
    def change(content: Any) -> None:
        content["selected_epoch"] = content["checkpoints"]["selected"]["epoch"] = 1

    found = audit_record(edited(change), device="cpu")
    said = [str(finding) for finding in found.findings]
    assert any("selected_epoch is 1 in the record, 3 by the history" in each for each in said)
    assert all("epoch is 1 in the record, 3 by" in each for each in said)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("evaluations.2.clean_acc", 0.95, "clean_acc is 0.95 in the record, 0."),
        ("evaluations.2.pgd_acc", 0.95, "pgd_acc is 0.95 in the record, 0."),
        ("evaluations.3.n_examples", 59, "n_examples is 59 in the record, 60 by the data"),
        ("checkpoints.last.epoch", 2, "last: its epoch is 2 in the record, 3 by the history"),
        ("n_parameters", 10, "n_parameters is 10 in the record, 38330 counted"),
        ("training_cost.seconds", 0.1, "training took 0.1 s in the record, 0.8"),
        ("training_cost.forward_images", 7, "training_cost.forward_images is 7, and 3 epochs take"),
        ("training_cost.backward_images", 0, "training_cost.backward_images is 0, and 3 epochs"),
    ],
)
def test_a_changed_claim_is_noticed(
    edited: Callable[[Edit], Path], place: str, value: object, said: str
) -> None:
    def change(content: Any) -> None:
        *outer, last = place.split(".")
        for key in outer:
            content = content[int(key) if key.isdigit() else key]
        assert content[last] != value
        content[last] = value

    found = audit_record(edited(change), device="cpu")
    assert found.findings and found.n_unproven == 0
    assert all(said in str(finding) for finding in found.findings)


def transfer(results: Path, **changes: Any) -> Path:
    n, names = 4, ("a" * 12, "b" * 12)
    held = {("", names[0]): 4, ("", names[1]): 3, (names[0], names[0]): 1, (names[0], names[1]): 2}
    held |= {(names[1], names[0]): 3, (names[1], names[1]): 0}
    tables = [
        pd.DataFrame({"source": a, "target": b, "index": range(n), "correct": np.arange(n) < k})
        for (a, b), k in held.items()
    ]
    fields: dict[str, Any] = {
        "run_id": "c" * 12,
        "dataset": "digits",
        "data_digest": "d" * 64,
        "eval_examples": None,
        "n_examples": n,
        "threat": ThreatModel("Linf", "8/255"),
        "attack": "pgd-20",
        "seed": 0,
        "runs": tuple(
            TransferSide(run_id=name, label=name, arch="x", seed=0, sha256="0") for name in names
        ),
        "clean_acc": (1.0, 0.75),
        "accuracy": ((0.25, 0.5), (0.75, 0.0)),
    }
    record = TransferRecord(**fields)
    path = paths.transfer_path(results, record)
    digest = store.write_parquet(paths.own_outcomes_path(path), pd.concat(tables))
    update = {"outcomes_digest": digest} | changes
    return store.save_record(results, record.model_copy(update=update))


@pytest.mark.parametrize(
    ("changes", "passed", "said"),
    [
        ({}, "6 of 6", ""),
        ({"clean_acc": (1.0, 1.0)}, "5 of 6", "accuracy of bbbbbbbbbbbb under no attack is 1.0 in"),
        (
            {"accuracy": ((0.25, 0.5), (1.0, 0.0))},
            "5 of 6",
            "of aaaaaaaaaaaa under images crafted on bbbbbbbbbbbb is 1.0 in the record, 0.75 by",
        ),
        ({"n_examples": 5}, "0 of 6", "is 1.0 in the record, None by the outcomes"),
        ({"outcomes_digest": None}, "0 of 6, 1 without evidence", "6 accuracies name no outcomes"),
    ],
)
def test_a_transfer_is_audited_by_its_outcomes(
    tmp_path: Path, changes: dict[str, Any], passed: str, said: str
) -> None:
    found = cli("audit", transfer(tmp_path, **changes))
    assert found.status == bool(changes), found
    assert said in found.out and found.out.endswith(f"audited: {passed}\n")


def test_a_transfer_without_its_outcomes_is_one_line(tmp_path: Path) -> None:
    path = transfer(tmp_path)
    paths.own_outcomes_path(path).unlink()
    with pytest.raises(UserError, match="is missing, the outcomes of a transfer"):
        audit_record(path)
