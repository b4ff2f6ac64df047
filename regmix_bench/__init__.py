"""Train, attack and compare adversarial training methods, RegMix (arXiv:2510.05317) among them.

The names below are the public interface; each is imported on first use, so that the command line
starts without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regmix_bench.api.audit import audit
    from regmix_bench.api.check import check
    from regmix_bench.api.compare import compare
    from regmix_bench.api.evaluate import evaluate
    from regmix_bench.api.export import export
    from regmix_bench.api.inspect import inspect
    from regmix_bench.api.list import list_entries
    from regmix_bench.api.plot import plot
    from regmix_bench.api.power import power
    from regmix_bench.api.report import report
    from regmix_bench.api.run import run
    from regmix_bench.api.serve import serve
    from regmix_bench.api.show import show
    from regmix_bench.api.suite import suite
    from regmix_bench.api.test import check_contract
    from regmix_bench.api.transfer import transfer
    from regmix_bench.api.tune import tune
    from regmix_bench.api.verify import verify
    from regmix_bench.cli.display import Display
    from regmix_bench.data import load_data
    from regmix_bench.errors import UserError
    from regmix_bench.loading.trained import load_model
    from regmix_bench.methods import load_method, register_method
    from regmix_bench.methods.protocol import Method
    from regmix_bench.records.frame import load_results
    from regmix_bench.records.schema import RunRecord
    from regmix_bench.records.store import load_record
    from regmix_bench.specs import RunSpec
    from regmix_bench.types import Batch, StepOutput, ThreatModel

#: The home of each verb is a module of ``api`` with its name.
_VERBS = (
    "audit",
    "check",
    "compare",
    "evaluate",
    "export",
    "inspect",
    "plot",
    "power",
    "report",
    "run",
    "serve",
    "show",
    "suite",
    "transfer",
    "tune",
    "verify",
)
_HOMES = {
    **{f"regmix_bench.api.{verb}": (verb,) for verb in _VERBS},
    "regmix_bench.api.list": ("list_entries",),
    "regmix_bench.api.test": ("check_contract",),
    "regmix_bench.cli.display": ("Display",),
    "regmix_bench.data": ("load_data",),
    "regmix_bench.errors": ("UserError",),
    "regmix_bench.loading.trained": ("load_model",),
    "regmix_bench.methods": ("load_method", "register_method"),
    "regmix_bench.methods.protocol": ("Method",),
    "regmix_bench.records.frame": ("load_results",),
    "regmix_bench.records.schema": ("RunRecord",),
    "regmix_bench.records.store": ("load_record",),
    "regmix_bench.specs": ("RunSpec",),
    "regmix_bench.types": ("Batch", "StepOutput", "ThreatModel"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batch",
    "Display",
    "Method",
    "RunRecord",
    "RunSpec",
    "StepOutput",
    "ThreatModel",
    "UserError",
    "audit",
    "check",
    "check_contract",
    "compare",
    "evaluate",
    "export",
    "inspect",
    "list_entries",
    "load_data",
    "load_method",
    "load_model",
    "load_record",
    "load_results",
    "plot",
    "power",
    "register_method",
    "report",
    "run",
    "serve",
    "show",
    "suite",
    "transfer",
    "tune",
    "verify",
]


def __getattr__(name: str) -> object:
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
