"""How many queries a black box needed of each image, and accuracy against queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from regmix_bench.attacks import load_attack
from regmix_bench.data import EvalData
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.models.predictions import PassCounter
from regmix_bench.records.outcomes import read_queries, write_outcomes
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

LINF = ThreatModel("Linf", "48/255")


def test_queries_are_the_passes_until_an_image_is_found(trained) -> None:
    model, x, y = trained(10)
    spent = []
    for one, its in zip(x[:12].split(1), y[:12].split(1), strict=True):
        with PassCounter(model) as passes, torch.no_grad(), torch.random.fork_rng([]):
            searched = load_attack("square[n_queries=60]").search(model, one, its, LINF, seed=1)
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
    first, table, _ = evaluate_threat(AttackedModel(model), test, LINF, scoring, "given", journal)
    # As after a kill: all batches are read back.
    _, again, _ = evaluate_threat(AttackedModel(model), test, LINF, scoring, "given", journal)
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
        result, table, _ = evaluate_threat(AttackedModel(model), test, LINF, scoring)
        file = tmp_path / "outcomes.parquet"
        write_outcomes(file, [table])
        assert read_queries(file, result) is None
