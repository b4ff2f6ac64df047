"""What the schema of records admits: nothing that a reader cannot hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.hostile import history
from support.mutations import fill_small
from support.synthetic import make_spec, write_run

from regmix_bench.errors import UserError
from regmix_bench.records import store
from regmix_bench.records.schema import MatrixProduct, Work
from regmix_bench.specs import Scoring
from regmix_bench.types import LARGEST

DEEP = "[" * 300 + "]" * 300


def replaced(path: Path, place: str, text: str) -> None:
    """Put JSON, as text, in the place of a value of a record."""
    content: Any = json.loads(path.read_text())
    *outer, last = place.split(".")
    inner = content
    for key in outer:
        inner = inner[int(key) if key.isdigit() else key]
    inner[int(last) if last.isdigit() else last] = "@"
    path.write_text(json.dumps(content).replace('"@"', text))


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("evaluations.0.clean_acc", "1.01", "less than or equal to 1"),
        ("evaluations.0.after_attack", '{"apgd-ce": -0.1}', "greater than or equal to 0"),
        ("evaluations.0.n_examples", "361", "is of more than the 360 test images"),
        ("evaluations.0.n_examples", "1" + "0" * 400, "less than or equal to"),
        ("evaluations.0.screened_acc", "0.5", "one excludes the other"),
        ("evaluations.0.autoattack_acc", "null", None),
        ("evaluations.0.diagnoses", '[{"name": "transfer", "n_examples": 1, "p_value": 0.5}]',
         "and not all"),
        ("history.0.loss", "1e308", "less than or equal to"),
        ("history.0.loss", "-1e308", "greater than or equal to"),
        ("history.0.loss", "NaN", "NaN is no number of JSON"),
        ("history.0.loss", "1e999", "finite"),
        ("history.1.epoch", "3", "are not 1, 2, 3 and so on"),
        ("selected_epoch", "4", "the checkpoint selected is of epoch 4 of 3"),
        ("history.0.work.flop", "-1", "greater than or equal to 0"),
        ("history.0.work.flop", "1e31", "less than or equal to"),
        ("history.0.work.product.flop_per_second", "1e-9", "greater than or equal to 1000"),
        ("history.0.work.product.precision", '"fp8"', "should be 'fp32' or 'bf16'"),
        ("history.0.work.peak_memory", "1" + "0" * 400, "less than"),
        ("history.0.work.energy", "NaN", "NaN is no number of JSON"),
        ("history.0.work.images", "null", "should be a valid integer"),
        ("training_cost.capture_seconds", "-1", "greater than or equal to 0"),
        ("training_cost.seconds", "-1", "greater than or equal to 0"),
        ("training_cost.forward_images", "1" + "0" * 400, "less than"),
        ("environment.cpu", DEEP, "is nested more than 16 deep"),
        ("environment.cpu", '{"a":' * 300 + "1" + "}" * 300, "is nested more than 16 deep"),
        ("environment.cpu", "1" + "0" * 400, "an integer of more than 63 bits"),
        ("environment.cpu", "-1e308", "holds a number that is not between"),
        ("environment.cpu", '"\\ud800"', "surrogates not allowed"),
        ("error", '"\\udfff"', "surrogates not allowed"),
        ("spec.method.params.beta", DEEP, "is nested more than 16 deep"),
        ("spec.method.params.beta", "1e101", "holds a number that is not between"),
        ("spec.seed", "1" + "0" * 400, "less than"),
        ("spec.recipe.lr", "1e308", "less than or equal to"),
        ("spec.dataset", '"' + "a" * 81 + '"', "should match pattern"),
        ("num_classes", "1" + "0" * 9, "less than or equal to 100000"),
    ],
)  # fmt: skip
def test_a_value_that_no_reader_can_hold_is_refused(
    tmp_path: Path, place: str, text: str, said: str | None
) -> None:
    common: dict[str, Any] = {"n_test": 360, "environment": {"cpu": "x"}, "selected_epoch": 2}
    product = MatrixProduct(precision="bf16", flop_per_second=1e12)
    logs = history(3, Work(images=100, product=product))
    path = write_run(tmp_path, make_spec(), outcomes=False, history=logs, **common)
    replaced(path, place, text)
    if said is None:
        assert store.load_record(path)
        return
    with pytest.raises(UserError, match=r"is not a record") as caught:
        store.load_record(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("tricks.true_class_mass", "1.5", "less than or equal to 1"),
        ("tricks.true_class_mass", "NaN", "NaN is no number of JSON"),
        ("tricks.true_class_mass", "0.7", "mass 0.7, EMA 0.9 from epoch 2, AWP 0.01, clip 2, are"),
        ("tricks.average", '"../pgk"', "unable to parse string as a number"),
        ("tricks.average", "1", "less than 1"),
        ("tricks.average", "0.99", "are not those of its recipe"),
        ("tricks.average", "null", "are not those of its recipe"),
        ("tricks.average_start", "0", "greater than or equal to 1"),
        ("tricks.average_start", "1", "are not those of its recipe"),
        ("tricks.average_buffers", '"live"', "are not those of its recipe"),
        ("tricks.awp_gamma", "0", "greater than 0"),
        ("tricks.awp_gamma", "null", "are not those of its recipe"),
        ("tricks.awp_warmup", "1", "are not those of its recipe"),
        ("tricks.gradient_clip", "-2", "greater than 0"),
        ("tricks.gradient_clip", "1", "are not those of its recipe"),
        ("tricks.patience", "3", "extra inputs are not permitted"),
        ("tricks", "null", None),
        ("checkpoints.raw-last.epoch", "4", "the checkpoint raw-last is of epoch 4 of 3"),
        ("checkpoints.selected.epoch", "1", "epoch 2 was selected, and 1 is kept"),
        ("checkpoints.first", "{}", "input should be"),
        ("history.0.perturbation.max", "-1", "greater than or equal to 0"),
        ("history.0.perturbation.mean", "1e101", "less than or equal to"),
        ("history.1.raw_val_pgd_acc", "null", "some accuracies of raw weights, and not all"),
        ("history.0.work.passes", "-1", "greater than or equal to 0"),
        ("alarms.0.kind", '"overfitting"', "input should be"),
        ("alarms.0.epoch", "0", "greater than or equal to 1"),
    ],
)
def test_tricks_and_checkpoints_are_those_of_the_training(
    tmp_path: Path, place: str, text: str, said: str | None
) -> None:
    fill_small(tmp_path)
    path = next(p for p in store.record_files(tmp_path) if p.name.startswith("regmix-"))
    replaced(path, place, text)
    if said is None:
        assert store.load_run(path).tricks is None
        return
    with pytest.raises(UserError, match=r"is not a record") as caught:
        store.load_record(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("accuracy", "[[0.5, 0.5], [0.5]]", "are not those of 2 runs on 2 runs"),
        ("accuracy", "[[0.5, 0.5]]", "are not those of 2 runs on 2 runs"),
        ("clean_acc", "[1.0, 1.0, 1.0]", "are not those of 2 runs on 2 runs"),
        ("clean_acc", "[1.0, 1.5]", "less than or equal to 1"),
        ("accuracy.0.1", "NaN", "NaN is no number of JSON"),
        ("runs.1.seed", "-1", "greater than or equal to 0"),
    ],
)
def test_a_transfer_is_a_square_of_accuracies(
    tmp_path: Path, place: str, text: str, said: str
) -> None:
    fill_small(tmp_path)
    (path,) = (path for path in store.record_files(tmp_path) if path.parent.name == "transfer")
    assert store.load_record(path)
    replaced(path, place, text)
    with pytest.raises(UserError, match=r"is not a record") as caught:
        store.load_record(path)
    assert said in str(caught.value)


@pytest.mark.parametrize("screen", [False, True])
def test_a_score_is_screened_as_it_was_asked_for(tmp_path: Path, screen: bool) -> None:
    path = write_run(tmp_path, make_spec(scoring=Scoring(screen=screen)), outcomes=False)
    text = path.read_text()
    names = ("screened_acc", "autoattack_acc") if screen else ("autoattack_acc", "screened_acc")
    content = json.loads(text)
    score = content["evaluations"][0]
    score[names[1]], score[names[0]] = score[names[0]], None
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"is not one of a scoring with screen = {screen}"):
        store.load_record(path)


def test_a_checkpoint_is_scored_once_under_a_threat(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_spec(), outcomes=False)
    content = json.loads(path.read_text())
    again = content["evaluations"][0] | {"threat": {"norm": "Linf", "epsilon": "64/510"}}
    content["evaluations"].append(again)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="a checkpoint is scored twice under one threat"):
        store.load_record(path)


def test_numbers_that_float32_holds_are_admitted(tmp_path: Path) -> None:
    path = write_run(tmp_path, make_spec(), outcomes=False, history=history(3))
    for value in (3.4e38, -3.4e38, LARGEST):
        replaced(path, "history.0.loss", repr(value))
        assert store.load_run(path).history[0].loss == value
