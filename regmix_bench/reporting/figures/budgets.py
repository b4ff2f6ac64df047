"""Robust accuracy of models as they were given against the ε of the attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Self

import pandas as pd
from matplotlib.figure import Figure

from regmix_bench.analysis.statistics import accuracy_interval
from regmix_bench.analysis.words import norm_words
from regmix_bench.records.accuracies import attack_words
from regmix_bench.reporting.figures.captions import extreme, in_percent
from regmix_bench.reporting.figures.labels import Spot, ends_inches, name_ends
from regmix_bench.reporting.figures.looks import MOST_COLOURED, Look, given_looks
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.robustness import FEWEST_BUDGETS, MOST_TICKS
from regmix_bench.reporting.figures.style import (
    fitted_axis,
    legend_below,
    legend_handles,
    legend_inches,
    tip,
)
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.tables.threats import ThreatPanel
from regmix_bench.types import NORMS

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents


@dataclass(frozen=True, kw_only=True, eq=False)
class BudgetCurve(ReportFigure):
    """Robust accuracy of given models against the ε of the attack.

    A picture per table under several threats and norm, of four budgets or more.
    """

    name = "budgets"

    looks: Mapping[str, Look]
    norm: str
    attack: str
    table_stem: str

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for panel in contents.threat_panels:
            if panel.checkpoint != "given":
                continue
            threats = sorted(panel.threats, key=lambda t: (t.norm, t.epsilon))
            for norm, members in groupby(threats, lambda threat: threat.norm):
                if len(list(members)) >= FEWEST_BUDGETS:
                    yield cls._of_norm(panel, norm)

    @classmethod
    def _of_norm(cls, panel: ThreatPanel, norm: str) -> Self:
        frame = budgets_frame(panel, norm)
        looks = given_looks([label for label, _ in panel.rows])
        last = frame.groupby("label", sort=False)["accuracy"].last()
        largest, attack = frame["epsilon"].iloc[-1], attack_words(panel.scoring)
        said = extreme(
            {str(label): float(value) for label, value in last.items()},
            looks,
            None,
            f"holds most at {norm_words(norm)} {largest},",
            in_percent,
        )
        return cls(
            subject=f"{panel.stem}-{norm}",
            frame=frame,
            caption=(
                f"{said}; {panel.subject}. {attack} accuracy against the ε of the attack, with 95 %"
                " intervals over images (Wilson); ε = 0 is clean accuracy. Each budget is attacked"
                " by itself."
            ),
            protocol=f"{panel.subject}, {norm_words(norm)}",
            looks=looks,
            norm=norm,
            attack=attack,
            table_stem=panel.stem,
        )

    @property
    def beside(self) -> str:
        return self.table_stem

    def draw(self, style: Style) -> Figure:
        """Return one panel with a line per label."""
        looks = {str(label): self.looks[str(label)] for label in self.frame["label"].unique()}
        named = len(looks) <= MOST_COLOURED
        handles = [] if named else legend_handles(looks, lines=True)
        right = ends_inches(list(looks.values()), style) if named else 0.1
        rim = Rim(right=right, bottom=0.42 + legend_inches(handles, style), top=0.1)
        figure, ((axis,),) = panels(style, (1, 1), 2.0, rim, self.protocol)
        unit = NORMS[self.norm].unit
        spots = []
        for label, line in self.frame.groupby("label", sort=False):
            look, x = looks[str(label)], line["value"] * unit
            if named:  # bands of many would hide each other
                ends = (100 * line["low"], 100 * line["high"])
                axis.fill_between(x, *ends, color=look.colour, alpha=0.15, lw=0)
            (curve,) = axis.plot(
                x,
                100 * line["accuracy"],
                look.line,
                color=look.colour,
                linewidth=1.3,
                zorder=3,
            )
            tip(curve, look.name)
            end = 100 * float(line["accuracy"].iloc[-1])
            spots.append(Spot(float(x.iloc[-1]), end, look))
        ticks = sorted(set(self.frame["value"] * unit))
        if len(ticks) <= MOST_TICKS:
            axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axis.set_xlim(0, ticks[-1])
        axis.set_ylim(fitted_axis(100 * self.frame["accuracy"], 20.0))
        counted = f", 1/{unit}" if unit > 1 else ""
        axis.set_xlabel(f"ε of the attack ({norm_words(self.norm)}{counted})")
        axis.set_ylabel(f"{self.attack} accuracy (%)")
        if named:
            name_ends(axis, spots, style)
        if handles:
            legend_below(figure, handles, style, handlelength=3.2)
        return figure


def budgets_frame(panel: ThreatPanel, norm: str) -> pd.DataFrame:
    """Tabulate accuracies (0 to 1) with their intervals by label and ε; ε = 0 is clean accuracy."""
    threats = sorted((t for t in panel.threats if t.norm == norm), key=lambda t: t.epsilon)
    rows = []
    for label, (record,) in panel.rows:
        scores = [(t, record.evaluation(panel.checkpoint, t)) for t in threats]
        found = [(t, score) for t, score in scores if score is not None]
        points = [("0", 0.0, found[0][1].clean_acc, found[0][1].n_examples)]
        for threat, score in found:
            if score.robust_acc is not None:
                epsilon = threat.epsilon
                points.append((str(epsilon), float(epsilon), score.robust_acc, score.n_examples))
        for text, value, share, n in points:
            low, high = accuracy_interval(share, n)
            rows.append(
                {
                    **{"table": panel.stem, "label": label, "norm": norm, "epsilon": text},
                    **{"value": value, "accuracy": share, "low": low, "high": high, "n": n},
                }
            )
    return pd.DataFrame(rows)
