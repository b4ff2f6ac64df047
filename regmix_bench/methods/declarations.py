"""Declarations of methods for reports, by the names that records call them.

A record outlives the package of its method: what is no longer installed goes by what the record
says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from regmix_bench.errors import UserError
from regmix_bench.methods import declared
from regmix_bench.methods.configured import all_params
from regmix_bench.registry import parse_name
from regmix_bench.specs.identity import MASS_AMONG_PARAMS

if TYPE_CHECKING:
    from regmix_bench.specs import MethodSpec, RunSpec

#: Rows of methods that declare no rank, or are not installed, come last.
LAST = 1000


def row_rank(name: str) -> int:
    """Return the place of a method's rows among those of others: the lowest first."""
    method = declared(name)
    return method.rank if method else LAST


def display_name(spec: MethodSpec) -> str:
    """Return the name to show for a recorded method: ``FGSM-PGI (λ = 3)``, or else its label."""
    return _display_name(spec.name, lambda: all_params(spec), spec.label)


def display_name_of(label: str) -> str:
    """Return the name to show for the label of a row, where there is no more of its method."""
    try:
        name, params = parse_name("method", label)
    except UserError:  # of a model that was given
        return label
    return _display_name(name, lambda: params, label)


def symbol_of(key: str) -> str:
    """Return the sign of what ``--set`` calls ``key``: λ for ``fgsm-pgi.lambda_``."""
    group, _, name = key.rpartition(".")
    method = declared(group)
    return method.symbols.get(name, name) if method else key


def _display_name(name: str, params: Callable[[], Mapping[str, Any]], label: str) -> str:
    method = declared(name)
    if method is None:
        return label
    try:
        return str(method.display_name(method.Config(**params())))
    # Today's version does not know its parameters, or is a stranger's and fails.
    except (Exception, SystemExit):
        return label


def true_class_mass(spec: RunSpec) -> float:
    """Return the share that the labels of a run gave the true class, 1 where they were hard."""
    if spec.recipe.true_class_mass != "method":
        return spec.recipe.true_class_mass
    method = declared(spec.method.name)
    if method is None:
        return MASS_AMONG_PARAMS.get(spec.method.name, 1.0)
    return method.default_true_class_mass


def averages_weights(spec: RunSpec) -> bool:
    """Return whether what a run scores are averages of its weights."""
    if spec.recipe.ema_decay != "method":
        return spec.recipe.ema_decay != "none"
    method = declared(spec.method.name)
    return method is not None and method.averages_weights
