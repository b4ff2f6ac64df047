"""The labels that a training saw: how they are typed, and what they are called."""

from __future__ import annotations

import pytest

from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.specs import RunSpec
from regmix_bench.specs.supervision import FULL, Supervision


def planned(method: str = "trades", unlabelled: str = "none", *settings: str) -> RunSpec:
    said = (f"recipe.unlabelled={unlabelled}", *settings)
    return plan([{"methods": [method], "eps": ["8/255"]}], settings=said)[0]


@pytest.mark.parametrize(
    ("typed", "value", "words"),
    [
        ("500", 500, "500 labels"),
        ("0.1", 0.1, "10% of labels"),
        ("10%", 0.1, "10% of labels"),
        ("12.5%", 0.125, "12.5% of labels"),
        ("100%", 1.0, "100% of labels"),
        ("null", None, "all labels"),
    ],
)
def test_a_number_and_a_share_are_typed_as_one_says_them(typed, value, words) -> None:
    spec = planned("trades", "none", f"data.labelled={typed}")
    assert spec.labelled == value and type(spec.labelled) is type(value)
    assert str(spec.supervision) == words
    assert (spec.run_id == planned().run_id) == (value is None)
    assert spec.data_words == ("digits" if value is None else f"digits ({words})")


@pytest.mark.parametrize("typed", ["0", "-5", "0%", "1.5", "101%", "ten", "true", "[5]", ".nan"])
def test_what_is_no_number_of_labels_is_refused(typed: str) -> None:
    with pytest.raises(UserError, match=r"^data\.labelled = "):
        planned("trades", "none", f"data.labelled={typed}")


def test_words_say_what_becomes_of_other_images() -> None:
    extra = "extra-npz-0123456789ab"
    for made, words in (
        (Supervision(labelled=0.1, unlabelled="rst"), "10% of labels + RST"),
        (
            Supervision(labelled=9, unlabelled="consistency", extra=extra),
            f"9 labels + consistency on {extra}",
        ),
        (Supervision(unlabelled="rst", extra=extra), f"all labels + RST on {extra}"),
    ):
        assert str(made) == words and made.suffix == f" ({words})"
    assert FULL.suffix == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trades", "rst"), "has no effect where every image has its label"),
        (("regmix", "consistency"), "has no effect where every image has its label"),
        (("trades", "none", "data.extra=extra-npz-0123456789ab"), "data.extra has no effect"),
        (("pgd-at", "consistency", "data.labelled=100"), "pgd-at cannot be trained so"),
        (("fgsm-pgk", "consistency", "data.labelled=100"), "fgsm-pgk cannot be trained so"),
    ],
)
def test_images_without_labels_must_be_of_use(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        planned(*arguments)
