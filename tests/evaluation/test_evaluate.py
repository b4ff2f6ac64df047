"""Accuracies against loops written here, and the tables that are kept of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from regmix_bench.attacks import load_attack
from regmix_bench.attacks.pgd import frozen
from regmix_bench.attacks.white_box import FGSM, PGD
from regmix_bench.data import EvalData, load_data
from regmix_bench.errors import UserError
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import adversarial_images, evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.outputs import outputs_for_plots
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.predictions import PassCounter, accuracy, correct, predict_logits
from regmix_bench.records.outcomes import read_queries, write_outcomes
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

LINF = ThreatModel("Linf", "24/255")
SCORING = Scoring(autoattack_batch_size=10)


def gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    nn.functional.cross_entropy(model(x), y, reduction="sum").backward()
    return x.grad


def test_clean_accuracy_is_the_share_of_right_answers(trained) -> None:
    model, x, y = trained(10)
    right = sum(
        int(model(image[None]).argmax() == label) for image, label in zip(x, y, strict=True)
    )
    assert accuracy(correct(model, x, y)) == right / len(y)


def test_prediction_does_not_depend_on_the_batch(trained) -> None:
    model, x, _ = trained(10)
    assert len(predict_logits(model, x, batch_size=5)) == len(x)
    torch.testing.assert_close(predict_logits(model, x, 5), model(x).detach(), rtol=1e-4, atol=1e-4)


def test_fgsm_is_one_signed_step(trained) -> None:
    model, x, y = trained(10)
    expected = (x + 24 / 255 * gradient(model, x, y).sign()).clamp(0, 1)
    torch.testing.assert_close(FGSM().perturb(model, x, y, LINF), expected, rtol=0, atol=1e-6)


def test_pgd_is_repeated_steps_of_a_quarter_from_its_seeded_start(trained) -> None:
    model, x, y = trained(10)
    epsilon = 24 / 255
    generator = torch.Generator().manual_seed(7)
    start = torch.rand(x.shape, generator=generator) * 2 * epsilon - epsilon
    expected = (x + start).clamp(0, 1)
    for _ in range(4):
        expected = expected + epsilon / 4 * gradient(model, expected, y).sign()
        expected = expected.clamp(x - epsilon, x + epsilon).clamp(0, 1)

    found = PGD.of(steps=4).perturb(model, x, y, LINF, seed=7)

    # A sign near zero may round either way, so a pixel in a thousand may part ways.
    assert ((found - expected).abs() < 1e-5).float().mean() > 0.999
    assert accuracy(correct(model, found, y)) == accuracy(correct(model, expected, y))


def test_pgd_in_l2_stays_in_the_ball_and_gains_loss(trained) -> None:
    model, x, y = trained(10)
    found = PGD.of(steps=5).perturb(model, x, y, ThreatModel("L2", "0.5"))
    assert (found - x).flatten(1).norm(dim=1).max() <= 0.5 * (1 + 1e-6)
    losses = [nn.functional.cross_entropy(model(z), y).item() for z in (x, found)]
    assert losses[1] > losses[0]


@pytest.mark.parametrize("attack", [FGSM(), PGD.of(steps=2)], ids=lambda a: a.name)
def test_attacks_need_eval_mode(trained, attack) -> None:
    model, x, y = trained(10)
    model.train()
    try:
        with pytest.raises(RuntimeError, match="training mode"):
            attack.perturb(model, x, y, LINF)
    finally:
        model.eval()


def test_frozen_gives_back_what_required_a_gradient_and_nothing_else(trained) -> None:
    model, x, y = trained(10)
    first = next(model.parameters())
    first.requires_grad_(False)
    before = [parameter.requires_grad for parameter in model.parameters()]
    try:
        with pytest.raises(KeyError), frozen(model):
            assert not any(parameter.requires_grad for parameter in model.parameters())
            raise KeyError
        assert [parameter.requires_grad for parameter in model.parameters()] == before
        PGD.of(steps=1).perturb(model, x, y, LINF)
        assert [parameter.requires_grad for parameter in model.parameters()] == before
    finally:
        first.requires_grad_(True)


def test_passes_are_counted_in_images_until_the_block_ends(trained) -> None:
    model, x, y = trained(10)
    with PassCounter(model) as passes:
        model(x)
        assert (passes.forward_images, passes.backward_images) == (37, 0)
        gradient(model, x[:5], y[:5])
        assert (passes.forward_images, passes.backward_images) == (42, 5)
        with torch.no_grad():
            model(x[:3])
        PGD.of(steps=2).perturb(model, x, y, LINF)
    model(x)
    assert (passes.forward_images, passes.backward_images) == (45 + 74, 5 + 74)


@pytest.fixture
def test_set(trained) -> EvalData:
    _, x, y = trained(10)
    return EvalData(x, y, torch.arange(100, 137), "d" * 64, 10)


def test_the_table_agrees_with_the_result_image_by_image(
    trained, quick_attacks, test_set, journal
) -> None:
    model, x, y = trained(10)
    result, table, _ = evaluate_threat(
        AttackedModel.of(model, test_set.x), test_set, LINF, SCORING, "selected", journal, True
    )

    logits = model(x).detach()
    clean = (logits.argmax(1) == y).numpy()
    assert table["index"].tolist() == list(range(100, 137))
    assert table["label"].tolist() == y.tolist()
    assert table["clean_correct"].tolist() == clean.tolist()
    assert result.clean_acc == clean.mean()
    assert result.pgd_acc == table["pgd_correct"].mean()
    held = table["clean_correct"] & (table["broken_by"] == "")
    assert result.autoattack_acc == held.mean() == list(result.after_attack.values())[-1]
    assert not (table["pgd_correct"] & ~table["clean_correct"]).any()
    assert not ((table["broken_by"] != "") & ~table["clean_correct"]).any()
    assert (table.loc[table["broken_by"] != "", "adv_margin"] <= 0).all()
    assert set(table["norm"]) == {"Linf"} and set(table["epsilon"]) == {"24/255"}
    assert (result.autoattack_seed, result.autoattack_batch_size) == (0, 10)


def test_the_table_says_of_every_attack_what_it_did_to_every_image(
    trained, quick_attacks, test_set, journal
) -> None:
    model, x, y = trained(10)
    result, table, _ = evaluate_threat(
        AttackedModel.of(model, test_set.x), test_set, LINF, SCORING, "selected", journal, True
    )

    logits = model(x).detach()
    clean_margin = table["clean_margin"].to_numpy()
    alive = (logits.argmax(1) == y).numpy()
    for name, left in result.after_attack.items():
        broke, norm = table[f"{name}_broke"], table[f"{name}_norm"]
        margin = table[f"{name}_margin"]
        assert (broke.notna() == alive).all()
        for column in (norm, margin):
            assert (column.notna() == alive).all()
        broken = broke.fillna(False).to_numpy(bool)
        assert ((table["broken_by"] == name) == broken).all()
        assert (margin[broken] <= 0).all() and (margin[alive & ~broken] > 0).all()
        assert (norm[broken] > 0).all() and norm.max() <= 24 / 255 + 1e-7
        # An attack that fails gives the clean image back.
        held = alive & ~broken
        np.testing.assert_allclose(norm[held], 0)
        np.testing.assert_allclose(margin[held], clean_margin[held], atol=1e-4)
        alive &= ~broken
        assert left == alive.mean()
    assert table["pgd_norm"].between(0, 24 / 255 + 1e-7).all()
    assert ((table["pgd_margin"] > 0) & table["clean_correct"] == table["pgd_correct"]).all()


def test_the_images_that_broke_come_back_with_their_place_in_the_test_split(
    trained, quick_attacks, test_set, journal
) -> None:
    model, x, y = trained(10)
    result, table, _ = evaluate_threat(
        AttackedModel.of(model, test_set.x), test_set, LINF, SCORING, "selected", journal, True
    )
    saved = list(adversarial_images(test_set, LINF, journal, result.after_attack))

    rows = table.set_index("index")
    for part in saved:
        assert part.threat == LINF and part.images.dtype == torch.float32
        position = part.index - 100
        assert (model(part.images).argmax(1) != y[position]).all()
        norm = rows.loc[part.index.tolist(), f"{part.attack}_norm"]
        found = (part.images.double() - x[position].double()).abs().amax((1, 2, 3))
        assert found.tolist() == norm.tolist()
    by_attack = {
        name: sorted(i for part in saved if part.attack == name for i in part.index.tolist())
        for name in ("pgd", *result.after_attack)
    }
    assert by_attack.pop("pgd") == list(rows.index[rows["clean_correct"] & ~rows["pgd_correct"]])
    for name, index in by_attack.items():
        assert index == list(rows.index[rows["broken_by"] == name])


def test_a_model_that_returns_nan_is_one_line(trained, test_set, journal) -> None:
    model, _, _ = trained(10)

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return model(x) / torch.where(torch.arange(len(x)) < 2, 0.0, 1.0)[:, None] * 0

    with pytest.raises(UserError, match="not finite for 2 images"):
        evaluate_threat(
            AttackedModel(Broken().eval()), test_set, LINF, SCORING, "given", journal, True
        )
    assert not journal.directory.exists()


class Computing(nn.Module):
    """A model that returns what ``answer`` makes of its logits."""

    def __init__(self, model: nn.Module, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.answer = model, answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.model(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_logits_of_any_precision_are_scored_by_the_whole_ensemble(
    trained, quick_attacks, test_set, journal, dtype: torch.dtype
) -> None:
    model = Computing(trained(10)[0], lambda z: z.to(dtype))
    result, table, _ = evaluate_threat(
        AttackedModel(model.eval()), test_set, LINF, SCORING, "given", journal, True
    )
    assert f"torch.{result.logits_dtype}" == str(dtype)
    assert list(result.after_attack) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    right = (model(test_set.x).argmax(1) == test_set.y).numpy()
    assert table["clean_correct"].tolist() == right.tolist()
    for part in journal.batches("apgd-ce"):
        assert (model(part.images).argmax(1) != test_set.y[part.index[part.broke]]).all()


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (lambda z: z / z.abs().max(), "batch-dependent-model"),
        (lambda z: z - z.mean(0), "batch-dependent-model"),
        (lambda z: z + 0.1 * torch.randn_like(z), "randomized-model"),
        (lambda z: z, None),
    ],
)
def test_a_model_that_is_no_function_of_the_image_alone_is_said_to_be_so(
    trained, quick_attacks, test_set, answer, raised: str | None
) -> None:
    model = Computing(trained(10)[0], answer).eval()
    scoring = Scoring(autoattack_version="custom", attacks=("fgsm",))
    result, _, _ = evaluate_threat(AttackedModel(model), test_set, LINF, scoring)
    found = {"batch-dependent-model", "randomized-model"} & set(result.checks)
    assert found == ({raised} if raised else set())


def test_margins_are_true_logit_minus_best_other(trained, test_set, journal) -> None:
    model, x, y = trained(10)
    _, table, _ = evaluate_threat(
        AttackedModel.of(model, test_set.x), test_set, LINF, SCORING, "last", journal, False
    )
    for row, (logits, label) in enumerate(zip(model(x).tolist(), y.tolist(), strict=True)):
        others = max(value for k, value in enumerate(logits) if k != label)
        assert table["clean_margin"][row] == pytest.approx(logits[label] - others, abs=1e-4)
    assert ((table["clean_margin"] > 0) == table["clean_correct"]).all()


def test_robust_means_clean_correct_too(test_set, journal) -> None:
    class Contrary(nn.Module):
        """Wrong on every clean image, right on every other: PGD 'repairs' it."""

        def forward(self, x: Tensor) -> Tensor:
            clean = (x[:, None] == test_set.x[None]).flatten(2).all(2)
            truth = nn.functional.one_hot(test_set.y, 10).float()
            known = clean.float() @ truth
            label = torch.where(clean.any(1, keepdim=True), 1 - known, truth[: len(x)])
            return label + 0 * x.sum((1, 2, 3))[:, None]

    model = Contrary().eval()
    result, table, _ = evaluate_threat(
        AttackedModel.of(model, test_set.x), test_set, LINF, SCORING, "last", journal, False
    )
    assert (table["adv_pred"] == table["label"]).all()
    assert (result.clean_acc, result.pgd_acc) == (0, 0)
    assert result.autoattack_acc is None and result.after_attack == {}
    assert set(table["broken_by"]) == {""}


def test_outputs_are_balanced_halves_of_at_most_500_images(trained) -> None:
    model, _, _ = trained(10)
    x, y = load_data("digits", "train")
    x, y = x[:900], y[:900]
    table = outputs_for_plots(
        model, EvalData(x, y, torch.arange(900) + 7, "d" * 64, 10), LINF, SCORING
    )

    assert list(table.columns) == [
        "index",
        "label",
        "probs_clean",
        "features_clean",
        "probs_adv",
        "features_adv",
    ]
    assert len(table) == 500
    counts = table["label"].value_counts()
    assert counts.max() - counts.min() <= 1
    position = table["index"].to_numpy() - 7
    assert (y[position].numpy() == table["label"]).all()
    for column, width in (("probs", 10), ("features", 64)):
        for kind in ("clean", "adv"):
            values = np.stack(table[f"{column}_{kind}"])
            assert values.shape == (500, width) and values.dtype == np.float16
    expected = model(x[position]).softmax(1).detach().numpy()
    np.testing.assert_allclose(np.stack(table["probs_clean"]), expected, atol=1e-3)


def test_outputs_of_a_smaller_test_set_hold_every_image(trained, test_set) -> None:
    model, _, _ = trained(10)
    assert isinstance(model, ImageClassifier)
    assert sorted(outputs_for_plots(model, test_set, LINF, SCORING)["index"]) == list(
        range(100, 137)
    )


def test_a_noisy_model_has_the_same_flags_when_it_goes_on(trained, test_set, tmp_path) -> None:
    model, _, _ = trained(10)

    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return model(x) + 4 * torch.randn(len(x), 10)

    tables = []
    for name in ("whole", "resumed"):
        journal = Journal(tmp_path / name, {})
        arguments = (
            AttackedModel(Noisy().eval()),
            test_set,
            LINF,
            SCORING,
            "given",
            journal,
            False,
        )
        _, table, _ = evaluate_threat(*arguments)
        if name == "resumed":
            (journal.directory / "pgd-000000.safetensors").unlink()
            torch.randn(7)
            _, table, _ = evaluate_threat(*arguments)
        tables.append(table)
    pd.testing.assert_frame_equal(*tables)
    assert 0 < tables[0]["clean_correct"].sum() < len(test_set.y)


LARGE = ThreatModel("Linf", "48/255")


def test_queries_are_the_passes_until_an_image_is_found(trained) -> None:
    model, x, y = trained(10)
    spent = []
    for one, its in zip(x[:12].split(1), y[:12].split(1), strict=True):
        with PassCounter(model) as passes, torch.no_grad(), torch.random.fork_rng([]):
            searched = load_attack("square[n_queries=60]").search(model, one, its, LARGE, seed=1)
        spent.append(int(searched.queries))
        # It looks at the image before its search and at what it has found after it.
        right = int(model(one).argmax()) == int(its)
        assert spent[-1] == (passes.forward_images - 2 if right else 0)
    assert len(set(spent)) > 3


@pytest.mark.parametrize("attacks", [("square[n_queries=300]",), ("random-directions", "fgsm")])
def test_the_last_point_of_the_curve_is_what_the_attack_left(
    trained, tmp_path: Path, attacks: tuple[str, ...]
) -> None:
    model, x, y = trained(10)
    test = EvalData(x, y, torch.arange(len(y)), "d" * 64, 10)
    scoring = Scoring(autoattack_version="custom", attacks=attacks, autoattack_batch_size=15)
    journal = Journal(tmp_path / "journal", {})
    first, table, _ = evaluate_threat(AttackedModel(model), test, LARGE, scoring, "given", journal)
    # As after a kill: all batches are read back.
    _, again, _ = evaluate_threat(AttackedModel(model), test, LARGE, scoring, "given", journal)
    pd.testing.assert_frame_equal(again, table)
    file = tmp_path / "outcomes.parquet"
    result = first.model_copy(update={"outcomes_digest": write_outcomes(file, [table])})
    spent = read_queries(file, result)
    assert spent is not None and spent.attack == attacks[0]
    broke, queries = (table[f"{attacks[0]}_{what}"] for what in ("broke", "queries"))
    assert queries.isna().equals(~table["clean_correct"])
    left = [
        (table["clean_correct"] & ~(broke & (queries <= q)).fillna(False)).mean()
        for q in range(spent.most + 1)
    ]
    assert spent.accuracy(np.arange(spent.most + 1)).tolist() == pytest.approx(left)
    assert left[0] == result.clean_acc > left[-1] == result.after_attack[attacks[0]]


def test_what_another_attack_spared_the_black_box_is_no_curve(trained, tmp_path: Path) -> None:
    model, x, y = trained(10)
    test = EvalData(x, y, torch.arange(len(y)), "d" * 64, 10)
    for attacks in (("fgsm", "random-directions"), ("fgsm",)):
        scoring = Scoring(autoattack_version="custom", attacks=attacks)
        result, table, _ = evaluate_threat(AttackedModel(model), test, LARGE, scoring)
        file = tmp_path / "outcomes.parquet"
        write_outcomes(file, [table])
        assert read_queries(file, result) is None
