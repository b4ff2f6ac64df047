"""Every registered method keeps the contract, whoever wrote it."""

from __future__ import annotations

import pytest

from regmix_bench.methods import METHODS
from regmix_bench.testing import check_method


@pytest.mark.parametrize("name", METHODS.names())
def test_a_registered_method_keeps_the_contract(name: str) -> None:
    assert check_method(name) == []
