"""Train, attack and compare adversarial training methods, RegMix (arXiv:2510.05317) among them.

The names below are the public interface; each is imported on first use, so that the command line
starts without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regmix_bench.data import load_data
    from regmix_bench.errors import UserError
    from regmix_bench.methods import load_method, register_method
    from regmix_bench.methods.protocol import Method
    from regmix_bench.records.frame import load_results
    from regmix_bench.records.schema import RunRecord
    from regmix_bench.records.store import load_record
    from regmix_bench.runs.runner import load_model, run
    from regmix_bench.specs import RunSpec
    from regmix_bench.types import Batch, StepOutput, ThreatModel

_HOMES = {
    "regmix_bench.data": ("load_data",),
    "regmix_bench.errors": ("UserError",),
    "regmix_bench.methods": ("load_method", "register_method"),
    "regmix_bench.methods.protocol": ("Method",),
    "regmix_bench.runs.runner": ("load_model", "run"),
    "regmix_bench.records.store": ("load_record", "load_results"),
    "regmix_bench.records.schema": ("RunRecord",),
    "regmix_bench.types": ("Batch", "RunSpec", "StepOutput", "ThreatModel"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batch",
    "Method",
    "RunRecord",
    "RunSpec",
    "StepOutput",
    "ThreatModel",
    "UserError",
    "load_data",
    "load_method",
    "load_model",
    "load_record",
    "load_results",
    "register_method",
    "run",
]


def __getattr__(name: str) -> object:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
