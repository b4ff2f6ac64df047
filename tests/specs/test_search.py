"""The ranges that fields declare for tuning."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from regmix_bench.methods import METHODS
from regmix_bench.specs import Recipe
from regmix_bench.specs.search import search_space
from regmix_bench.types import Search


class Config(BaseModel):
    weight: Annotated[float, Search(1, 100, log=True)] = Field(10.0, ge=0)
    every: Annotated[int, Search(5, 80)] = 40
    fixed: float = 0.5


def test_a_field_is_tuned_where_it_says_so_and_in_its_own_numbers() -> None:
    space = search_space(Config)
    assert {name: str(found) for name, found in space.items()} == {
        "weight": "1 to 100, log",
        "every": "5 to 80",
    }
    assert space["weight"].fitted(3.14159) == 3.14
    assert space["weight"].fitted(99.999) == 100
    assert isinstance(space["every"].fitted(12.6), int)
    assert 1000 in space["weight"].holding(1000) and 1000 not in space["weight"]


@pytest.mark.parametrize("config", [*(METHODS[n].Config for n in METHODS.names()), Recipe])
def test_ranges_hold_the_defaults_and_nothing_that_is_refused(config: type[BaseModel]) -> None:
    for name, found in search_space(config).items():
        default = config.model_fields[name].default
        assert default in found
        for value in (found.low, found.high):
            assert getattr(config.model_validate({name: found.fitted(value)}), name) == value
