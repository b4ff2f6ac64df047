"""Parameters without effect are refused in a plan, and read in a record."""

from __future__ import annotations

from typing import Any

import pytest

from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.methods.configured import make_method
from regmix_bench.specs import MethodSpec, RunSpec


def planned(method: str, norm: str = "Linf", **recipe: Any) -> RunSpec:
    (spec,) = plan([{"methods": [method], "eps": ["8/255"], "norm": norm, "recipe": recipe}])
    return spec


@pytest.mark.parametrize(
    ("method", "recipe", "said"),
    [
        ("regmix[start=random,reset=10]", {}, "reset = 10 has no effect where start is random"),
        ("regmix[start=random,clip_start=true]", {}, "where start is random: leave it out"),
        ("regmix[gamma=0,agr=reverse]", {}, "agr = reverse has no effect where gamma is 0"),
        ("regmix-amr[detach_clean=true]", {}, "regmix-amr.detach_clean = true has no effect"),
        ("regmix-agr[form=mse]", {}, "has no effect where alpha and beta are 0"),
        ("elle-a[lambda_=0,decay=0.5]", {}, "decay = 0.5 has no effect where lambda_ is 0"),
        ("gat[late_factor=1,late_start=0.5]", {}, "has no effect where late_factor is 1"),
        ("trades[pixels_first=true]", {}, "has no effect where the norm is Linf"),
        (
            "fgsm-pgk[ema_warmup=5]",
            {"ema_decay": 0.9},
            "has no effect where recipe.ema_decay is not method",
        ),
    ],
)
def test_a_parameter_without_effect_is_refused(
    method: str, recipe: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        planned(method, **recipe)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "norm", "plain"),
    [
        ("regmix[start=random,reset=40]", "Linf", "regmix[start=random]"),
        ("regmix[start=stored,reset=40]", "Linf", "regmix"),
    ],
)
def test_at_its_default_it_may_be_said_and_is_no_other_run(
    method: str, norm: str, plain: str
) -> None:
    assert planned(method, norm).run_id == planned(plain, norm).run_id


def test_where_it_has_an_effect_it_is_taken() -> None:
    assert planned("trades[pixels_first=true]", "L2").method.params["pixels_first"]
    assert planned("fgsm-pgk[ema_warmup=5]").method.params["ema_warmup"] == 5
    assert planned("regmix[alpha=0,form=mse]").method.params["form"] == "mse"


def test_a_record_of_such_a_run_is_read() -> None:
    params = {**planned("regmix[start=random]").method.params, "reset": 10}
    made = make_method(MethodSpec(name="regmix", version=1, params=params, label="regmix"))
    assert (made.config.start, made.config.reset) == ("random", 10)
