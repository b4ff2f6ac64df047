"""Contracts that plug-ins keep, as functions for tests of any kind.

``check_method("two-step")`` returns the rules that the registered method breaks, an empty list
where it keeps them all; a name may have parameters in brackets. ``regmix-bench test two-step`` does
the same and prints a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from regmix_bench.attacks import ATTACKS
from regmix_bench.data.sources import DATASETS
from regmix_bench.methods import METHODS
from regmix_bench.models import ARCHS
from regmix_bench.registry import Registry
from regmix_bench.reporting.figures import FIGURES
from regmix_bench.runs.loggers import LOGGERS
from regmix_bench.testing import archs, attacks, datasets, figures, loggers, methods
from regmix_bench.testing.contract import Failure, Rule, Subject, broken_rules

__all__ = [
    "CONTRACTS",
    "Failure",
    "Subject",
    "check_arch",
    "check_attack",
    "check_dataset",
    "check_figure",
    "check_logger",
    "check_method",
]


class Contract(NamedTuple):
    """The rules that everything in a registry has to keep."""

    registry: Registry[Any]
    rules: Sequence[Rule]


CONTRACTS = {
    "method": Contract(METHODS, methods.RULES),
    "dataset": Contract(DATASETS, datasets.RULES),
    "arch": Contract(ARCHS, archs.RULES),
    "attack": Contract(ATTACKS, attacks.RULES),
    "figure": Contract(FIGURES, figures.RULES),
    "logger": Contract(LOGGERS, loggers.RULES),
}


def check_method(name: str) -> list[Failure]:
    """Return the rules that the method ``name`` breaks, which may be ``FILE.py:CLASS``.

    Raises as :func:`check_arch` does, and for a file that cannot be loaded.
    """
    return _check("method", METHODS.loaded(name))


def check_dataset(
    name: str, data_dir: str | Path | None = None, download: bool = False
) -> list[Failure]:
    """Return the rules that the data set ``name`` breaks, which is loaded several times.

    ``data_dir`` and ``download`` are those of :func:`~regmix_bench.data.load_dataset`. Raises as
    :func:`check_arch` does.
    """
    folder = None if data_dir is None else Path(data_dir)
    return _check("dataset", name, data_dir=folder, download=download)


def check_figure(name: str, results: str | Path) -> list[Failure]:
    """Return the rules that the figure ``name`` breaks when it is drawn of the records there.

    Raises as :func:`check_arch` does.
    """
    return _check("figure", name, results=Path(results))


def check_arch(name: str) -> list[Failure]:
    """Return the rules that the architecture ``name`` breaks.

    Raises :class:`~regmix_bench.errors.UserError` for a name that is unknown or cannot be loaded,
    and for parameters that are refused.
    """
    return _check("arch", name)


def check_attack(name: str) -> list[Failure]:
    """Return the rules that the attack ``name`` breaks; raises as :func:`check_arch` does."""
    return _check("attack", name)


def check_logger(name: str) -> list[Failure]:
    """Return the rules that the logger ``name`` breaks; raises as :func:`check_arch` does."""
    return _check("logger", name)


def _check(kind: str, name: str, **given: Any) -> list[Failure]:
    contract = CONTRACTS[kind]
    return broken_rules(Subject(name, contract.registry, **given), contract.rules)
