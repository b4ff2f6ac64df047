"""The types that every part speaks: norm, threat model, batch, and what a step returns.

Nothing here imports torch at run time, so that planning, listing and reporting start at once.
"""

from regmix_bench.types.checkpoints import (
    TRAINED,
    Checkpoint,
    Evaluated,
    TrainedCheckpoint,
    Weights,
)
from regmix_bench.types.marks import Later, Search
from regmix_bench.types.norms import DEFAULT_NORM, NORMS, Norm, NormName, cut
from regmix_bench.types.steps import NO_LABEL, Batch, StepOutput
from regmix_bench.types.threats import AnyThreat, Epsilon, ThreatModel, ThreatUnion
from regmix_bench.types.written import LARGEST, Frozen, JSONValues, Refusing, RefusingModel

__all__ = [
    "DEFAULT_NORM",
    "LARGEST",
    "NORMS",
    "NO_LABEL",
    "TRAINED",
    "AnyThreat",
    "Batch",
    "Checkpoint",
    "Epsilon",
    "Evaluated",
    "Frozen",
    "JSONValues",
    "Later",
    "Norm",
    "NormName",
    "Refusing",
    "RefusingModel",
    "Search",
    "StepOutput",
    "ThreatModel",
    "ThreatUnion",
    "TrainedCheckpoint",
    "Weights",
    "cut",
]
