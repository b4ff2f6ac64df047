from __future__ import annotations

import pytest

from regmix_bench.analysis.words import recipe_words, scoring_words
from regmix_bench.specs import Recipe, Scoring


def test_a_recipe_in_words():
    words = recipe_words(Recipe(epochs=1, nesterov=True, gradient_clip=1, ema_decay=0.999))
    assert words == (
        "1 epoch, batch 128, SGD with Nesterov momentum 0.9, learning rate 0.1 (×0.1 at 91 %, 95 %"
        " of the epochs), weight decay 0.0005, random crop and flip, gradient norm clipped at 1,"
        " weights averaged with decay 0.999, fp32"
    )


def test_a_recipe_of_equal_batches_says_what_is_left_out():
    words = recipe_words(Recipe(batches="equal"))
    assert words.startswith("110 epochs, batch 128, the remainder left out, SGD")


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_search_in_another_precision_is_said(precision: str) -> None:
    plain, other = (scoring_words(Scoring(search_precision=p)) for p in ("fp32", precision))
    assert other == f"{plain}; attacks searched in {precision.upper()}; verdicts in exact float32"


def test_a_recipe_says_in_what_it_is_validated_unless_that_is_float32():
    assert recipe_words(Recipe(precision="bf16", validation_precision="tf32")).endswith(
        "random crop and flip, bf16, validated in tf32"
    )
