"""What ``--set`` may say."""

from __future__ import annotations

import pytest

from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.grid.settings import make_scoring, read_settings

GRID = {"methods": ["trades"], "eps": ["8/255"]}


def test_settings_are_read_by_group_and_key() -> None:
    texts = ["recipe.lr=0.05", "data.eval_examples=500", "recipe.lr=0.1", "recipe.nesterov=true"]
    assert read_settings(texts, ("recipe", "data")) == {
        "recipe": {"lr": 0.1, "nesterov": True},
        "data": {"eval_examples": 500},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recipe.lr", "--set 'recipe.lr' is not like trades.beta=3"),
        ("lr=3", "--set 'lr=3' is not like"),
        ("recip.lr=3", "unknown --set key 'recip': did you mean 'recipe'"),
        ("recipe.lr={", "value '{' cannot be read"),
    ],
)
def test_other_texts_are_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        read_settings([text], ("recipe", "data"))
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_suite_takes_the_keys_of_the_settings() -> None:
    said = ["data.train_examples=90", "scoring.screen=true", "recipe.epochs=3", "trades.beta=2"]
    (by_set,) = plan([GRID], settings=said, device="cpu")
    suite = {
        "data": {"train_examples": 90},
        "scoring": {"screen": True},
        "recipe": {"epochs": 3},
        "params": {"trades": {"beta": 2}},
    }
    (by_suite,) = plan([GRID | suite], device="cpu")
    assert by_set == by_suite and by_set.train_examples == 90
    old = suite | {"data": {}, "train_examples": 90}  # as version 0.1 wrote it
    assert plan([GRID | old], device="cpu") == (by_set,)


def test_an_unknown_attack_of_a_scoring_is_one_line() -> None:
    custom = {"autoattack_version": "custom"}
    assert make_scoring(custom | {"attacks": ["square"]}).attacks == ("square",)
    with pytest.raises(UserError, match="unknown attack 'squar': did you mean 'square'"):
        make_scoring(custom | {"attacks": ["squar"]})
