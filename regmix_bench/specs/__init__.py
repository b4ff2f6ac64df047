"""The specification of a run, and its identity. Nothing here imports torch."""

from regmix_bench.specs.components import Component, DataNames, MethodSpec, ModelSource
from regmix_bench.specs.corruptions import CorruptionSpec
from regmix_bench.specs.identity import IDENTITY_VERSION
from regmix_bench.specs.recipe import Recipe
from regmix_bench.specs.run import EvalSpec, RunSpec
from regmix_bench.specs.scoring import Scoring

#: A specification of any kind.
AnySpec = RunSpec | EvalSpec | CorruptionSpec

__all__ = [
    "IDENTITY_VERSION",
    "AnySpec",
    "Component",
    "CorruptionSpec",
    "DataNames",
    "EvalSpec",
    "MethodSpec",
    "ModelSource",
    "Recipe",
    "RunSpec",
    "Scoring",
]
