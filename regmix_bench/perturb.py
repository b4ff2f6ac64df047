"""The import path of version 0.1 for perturbations; it goes with version 0.3."""

from __future__ import annotations

import warnings

from regmix_bench.attacks.ball import ascend, project
from regmix_bench.attacks.noise import gaussian_start, uniform_start
from regmix_bench.attacks.pgd import frozen, input_gradient, pgd

__all__ = [
    "ascend",
    "frozen",
    "gaussian_start",
    "input_gradient",
    "pgd",
    "project",
    "uniform_start",
]

warnings.warn(
    "regmix_bench.perturb is regmix_bench.attacks from now on: import pgd from"
    " regmix_bench.attacks.pgd, and uniform_start from regmix_bench.attacks.noise",
    DeprecationWarning,
    stacklevel=2,
)
