"""The figures of a report, each a class that :data:`FIGURES` finds by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regmix_bench.registry import Registry

if TYPE_CHECKING:
    from regmix_bench.reporting.figures.protocol import ReportFigure

#: The project's own figures, in the order in which a report shows them.
BUILT_IN = {
    "forest": "regmix_bench.reporting.figures.forest:DifferenceForest",
    "pareto": "regmix_bench.reporting.figures.pareto:CostPareto",
    "strip": "regmix_bench.reporting.figures.strip:SeedStrip",
    "tradeoff": "regmix_bench.reporting.figures.tradeoff:Tradeoff",
    "robustness-vs-epsilon": "regmix_bench.reporting.figures.robustness:RobustnessVsEpsilon",
    "budgets": "regmix_bench.reporting.figures.budgets:BudgetCurve",
    "critical-difference": "regmix_bench.reporting.figures.ranking:CriticalDifference",
    "curves": "regmix_bench.reporting.figures.curves:TrainingCurves",
    "epochs": "regmix_bench.reporting.figures.epochs:RobustByEpoch",
    "race": "regmix_bench.reporting.figures.race:AccuracyRace",
    "cascade": "regmix_bench.reporting.figures.cascade:AttackCascade",
    "queries": "regmix_bench.reporting.figures.queries:QueryCurve",
    "classes": "regmix_bench.reporting.figures.perclass:ClassAccuracy",
    "tsne": "regmix_bench.reporting.figures.maps:OutputMap",
    "features": "regmix_bench.reporting.figures.maps:FeatureMap",
    "surface": "regmix_bench.reporting.figures.surface:LossSurface",
    "examples": "regmix_bench.reporting.figures.examples:ExampleImages",
    "corruptions": "regmix_bench.reporting.figures.corruptions:CorruptionDots",
    "tuning": "regmix_bench.reporting.figures.tuning:BestOfTrials",
    "importance": "regmix_bench.reporting.figures.importance:ParameterImportance",
    "coordinates": "regmix_bench.reporting.figures.coordinates:ParallelCoordinates",
    "transfer": "regmix_bench.reporting.figures.transfer:TransferMap",
}

#: Every figure of a report; those of other packages arrive through this entry-point group.
FIGURES: Registry[type[ReportFigure]] = Registry(
    "figure",
    group="regmix_bench.figures",
    builtin=BUILT_IN,
    base="regmix_bench.reporting.figures.protocol:ReportFigure",
)


def figure_names() -> list[str]:
    """Return the name of every figure in the order of a report: our own, then others by name."""
    return [*BUILT_IN, *(name for name in FIGURES.names() if name not in BUILT_IN)]
