"""Methods with tricks, as the trainer makes them."""

from __future__ import annotations

from typing import Any

from regmix_bench.methods import load_method
from regmix_bench.methods.protocol import Method


def smoothed_method(name: str, true_class_mass: float, **params: Any) -> Method:
    """The method called ``name``, that smooths labels."""
    method = load_method(name, **params)
    method.true_class_mass = true_class_mass
    return method
