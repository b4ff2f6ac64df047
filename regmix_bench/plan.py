"""The import path of version 0.1 for plans; it goes with version 0.3."""

from __future__ import annotations

import warnings

from regmix_bench.grid.plan import plan
from regmix_bench.grid.suite_files import load_suite

__all__ = ["load_suite", "plan"]

warnings.warn(
    "regmix_bench.plan is regmix_bench.grid.plan from now on, and regmix_bench.run takes a grid",
    DeprecationWarning,
    stacklevel=2,
)
