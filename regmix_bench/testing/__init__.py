"""Contracts that plug-ins keep, as functions for tests of any kind.

``check_method("two-step")`` returns the rules that the registered method breaks, an empty list
where it keeps them all; a name may have parameters in brackets. ``regmix-bench test two-step`` does
the same and prints a report.
"""

from __future__ import annotations

from pathlib import Path

from regmix_bench.data.sources import DATASETS
from regmix_bench.methods import METHODS
from regmix_bench.models import ARCHS
from regmix_bench.testing import archs, datasets, methods
from regmix_bench.testing.contract import Failure, Subject, broken_rules

__all__ = ["Failure", "check_arch", "check_dataset", "check_method"]


def check_method(name: str) -> list[Failure]:
    """Return the rules that the method ``name`` breaks.

    Raises :class:`~regmix_bench.errors.UserError` for a name that is unknown or cannot be loaded.
    """
    return broken_rules(Subject(name, METHODS), methods.RULES)


def check_dataset(
    name: str, data_dir: str | Path | None = None, download: bool = False
) -> list[Failure]:
    """Return the rules that the data set ``name`` breaks, which is loaded several times.

    ``data_dir`` and ``download`` are those of :func:`~regmix_bench.data.load_dataset`. Raises
    :class:`~regmix_bench.errors.UserError` for a name that is unknown or cannot be loaded.
    """
    folder = None if data_dir is None else Path(data_dir)
    return broken_rules(Subject(name, DATASETS, folder, download), datasets.RULES)


def check_arch(name: str) -> list[Failure]:
    """Return the rules that the architecture ``name`` breaks.

    Raises :class:`~regmix_bench.errors.UserError` for a name that is unknown or cannot be loaded.
    """
    return broken_rules(Subject(name, ARCHS), archs.RULES)
