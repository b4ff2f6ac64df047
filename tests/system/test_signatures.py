"""What a function says of its parameters' types is kept to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from regmix_bench.errors import UserError
from regmix_bench.system.signatures import typed

if TYPE_CHECKING:
    from decimal import Decimal


@typed
def called(
    folder: str | Path = "results",
    n: int | None = None,
    share: float = 0.5,
    names: Iterable[str] = (),
    side: Literal["left", "right"] = "left",
    error: UserError | None = None,
    say: Callable[[str], None] = print,
    title: str | None = None,
    price: Decimal | None = None,
    anything: object = None,
    **more: Any,
) -> object:
    """Return what it was given."""
    return locals()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"folder": 3}, "folder is 3, not text or a path"),
        ({"folder": ""}, "folder is empty: give text or a path"),
        ({"title": " "}, "title is empty: give text"),
        ({"price": ""}, "price is empty: give text"),  # of a type that is not here
        ({"n": 1.5}, "n is 1.5, not a whole number"),
        ({"n": True}, "n is True, not a whole number"),
        ({"share": "half"}, "share is 'half', not a number"),
        ({"names": 3}, "names is 3, not several"),
        ({"side": "up"}, "unknown side 'up': choose from left, right"),
        ({"error": "x" * 500}, r"error is 'x{30,}[.]{3}x+', not a UserError$"),
        ({"say": "loudly"}, "say is 'loudly', not a function"),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_line(given: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        called(**given)
    assert "\n" not in str(refused.value)


def test_a_call_that_does_not_fit_names_the_function() -> None:
    with pytest.raises(TypeError, match=r"called\(\): too many positional"):
        called(*range(20))  # type: ignore[arg-type]


def test_what_fits_or_cannot_be_asked_is_passed_on() -> None:
    given = {"n": np.int64(3), "share": 1, "error": UserError(), "say": len, "anything": True}
    found: Any = called(Path("x"), **given, price="a type checker's", other=5)  # type: ignore[arg-type]
    assert found["folder"] == Path("x") and found["price"] and found["more"] == {"other": 5}
    assert given.items() <= found.items()
    assert called(names="one")["names"] == ("one",)  # type: ignore[index]
