"""Robust accuracy against the ε of the attack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.words import norm_words
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.reporting.figures.captions import extreme, in_percent, seed_words, sentence_of
from regmix_bench.reporting.figures.labels import Spot, ends_inches, name_ends
from regmix_bench.reporting.figures.looks import GREY, MOST_COLOURED, Look
from regmix_bench.reporting.figures.panels import Rim, grid
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import (
    fitted_axis,
    legend_below,
    legend_handles,
    legend_inches,
    tip,
)
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.types import NORMS, Epsilon, ThreatModel

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Evaluation ε beyond which an axis has round ticks instead of one each.
MOST_TICKS = 8
#: Budgets of an attack, beside 0, that make a curve: a line through fewer says what is in a table.
FEWEST_BUDGETS = 4
#: What the curves of a panel share.
_PANEL = ("train_norm", "train_epsilon", "eval_norm", "attack")


@dataclass(frozen=True, kw_only=True, eq=False)
class RobustnessVsEpsilon(ReportFigure):
    """Robust accuracy against the ε of the attack.

    A picture per setting: a panel per training threat, evaluation norm and attack.
    """

    name = "robustness-vs-epsilon"

    looks: Mapping[tuple[str, str], Mapping[str, Look]]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for stem, members in groupby(contents.blocks, lambda block: block.cohort.setting.stem):
            here = list(members)
            frame = robustness_frame(here)
            if frame.empty:
                continue
            enough = _budgets(frame) >= FEWEST_BUDGETS
            if not enough.any():
                continue
            keys = pd.MultiIndex.from_frame(frame[list(_PANEL)])
            frame = frame[enough.reindex(keys).to_numpy(bool)].reset_index(drop=True)
            attacks = " and ".join(frame["attack"].unique())
            caption = (
                f"{attacks} accuracy of the selected checkpoint against the evaluation ε."
                " ε = 0 is clean accuracy, bands are one standard deviation over seeds, the"
                " dotted line is the training ε."
            )
            seeds = seed_words(frame["n"])
            caption = (
                f"{_highest(frame, contents)}; {here[0].cohort.setting.words}, {seeds}. {caption}"
            )
            cohorts = {block.cohort.stem: block.cohort for block in here}.values()
            yield cls(
                subject=stem,
                frame=frame,
                caption=caption,
                protocol=here[0].cohort.setting.words,
                looks={
                    (c.train_threat.norm, str(c.train_threat.epsilon)): contents.looks_in(c)
                    for c in cohorts
                },
            )

    @classmethod
    def missing(cls, contents: Contents) -> Iterator[str]:
        found = []
        for stem, members in groupby(contents.blocks, lambda block: block.cohort.setting.stem):
            frame = robustness_frame(members)
            asked = 0 if frame.empty else int(_budgets(frame).max())
            if 0 < asked < FEWEST_BUDGETS:
                found.append(f"{asked} of {stem}")
        if found:
            yield (
                f"Curves over ε need {FEWEST_BUDGETS} budgets at which models of one training are"
                f" attacked; there are {sentence_of(found)}."
            )

    def draw(self, style: Style) -> Figure:
        """Return a figure with one line per label in each panel."""
        found = list(self.frame.groupby(list(_PANEL), sort=False))
        attacks = self.frame["attack"].unique()
        shown = [
            {str(k): self.looks[_threat(panel)][k] for k in panel["label"]} for _, panel in found
        ]
        everyone = {label: look for looks in shown for label, look in looks.items()}
        named = all(sum(not k.quiet for k in looks.values()) <= MOST_COLOURED for looks in shown)
        handles = [] if named else legend_handles(everyone, lines=True)
        right = ends_inches(list(everyone.values()), style) if named else 0.1
        columns = max(1, min(len(found), int(style.width / (2.0 + right))))
        titles = [_title(panel, len(attacks) > 1) for _, panel in found]
        rim = Rim(
            right=right,
            bottom=0.42 + legend_inches(handles, style),
            top=0.1 + 0.14 * max(title.count("\n") + 1 for title in titles),
        )
        figure, axes = grid(
            style,
            len(found),
            columns,
            2.0,
            rim,
            self.protocol,
            between=(right + 0.45, rim.top + 0.42),
        )
        for axis, title, looks, (key, panel) in zip(axes, titles, shown, found, strict=True):
            norm, epsilon, eval_norm, attack = map(str, key)
            unit = NORMS[eval_norm].unit
            axis.set_ylim(fitted_axis(100 * panel["mean"], 20.0))
            ticks = sorted({_value(text) * unit for text in panel["eval_epsilon"]})
            axis.set_xlim(ticks[0] - 0.03 * np.ptp(ticks), ticks[-1] + 0.03 * np.ptp(ticks))
            if len(ticks) <= MOST_TICKS:
                axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
            spots = [
                _draw_line(axis, line, looks[str(label)], unit)
                for label, line in panel.groupby("label", sort=False)
            ]
            if norm == eval_norm:
                axis.axvline(_value(epsilon) * unit, color=GREY, linestyle=":", linewidth=0.8)
            axis.set_title(title)
            counted = f", 1/{unit}" if unit > 1 else ""
            axis.set_xlabel(f"evaluation ε ({norm_words(eval_norm)}{counted})")
            axis.set_ylabel(f"{attack} accuracy (%)")
            if named:
                name_ends(axis, spots, style)
        if handles:
            legend_below(figure, handles, style, handlelength=3.2)
        return figure


def robustness_frame(blocks: Iterable[Block]) -> pd.DataFrame:
    """Tabulate accuracies (0 to 1), a row per training threat, attack, label and evaluation ε.

    ε = 0 is clean accuracy.
    """
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    selected = [
        (block, block.eval_threat)
        for block in blocks
        if block.checkpoint == "selected" and isinstance(block.eval_threat, ThreatModel)
    ]
    for (stem, norm), members in groupby(selected, lambda b: (b[0].cohort.stem, b[1].norm)):
        here = list(members)
        attacks = _attacks([block for block, _ in here])
        for (metric, attack), (block, threat) in product(attacks.items(), here):
            for row in block.rows:
                if metric not in row.metrics:
                    continue
                for epsilon, name in (
                    ("0", "clean_acc"),
                    (str(threat.epsilon), metric),
                ):
                    stat = row.metrics[name]
                    rows[stem, norm, attack, row.label, epsilon] = {
                        **block.cohort.csv_columns,
                        "eval_norm": norm,
                        "eval_epsilon": epsilon,
                        "attack": attack,
                        "method": row.group.method,
                        "label": row.label,
                        "mean": stat.mean,
                        "std": stat.std,
                        "n": stat.n,
                    }
    return pd.DataFrame(list(rows.values()))


def _budgets(frame: pd.DataFrame) -> pd.Series[int]:
    """The number of budgets, beside 0, of the curves of each panel."""
    asked = frame[frame["eval_epsilon"] != "0"]
    return asked.groupby(list(_PANEL))["eval_epsilon"].nunique()


def _attacks(blocks: Sequence[Block]) -> dict[str, str]:
    """The metrics to draw, and their names: PGD's where it was asked at more ε than AutoAttack."""
    scoring = blocks[0].cohort.setting.scoring
    robust = robust_metric(scoring)
    found = {robust: attack_words(scoring)}
    if not all(any(robust in row.metrics for row in block.rows) for block in blocks):
        found["pgd_acc"] = f"PGD-{scoring.pgd_steps}"
    return found


def _draw_line(axis: Axes, line: pd.DataFrame, look: Look, unit: int) -> Spot:
    """Draw the curve of a row; returns its end."""
    x = np.array([_value(text) for text in line["eval_epsilon"]]) * unit
    order = np.argsort(x)
    y = 100 * line["mean"].to_numpy(float)[order]
    if look.quiet:
        (curve,) = axis.plot(x[order], y, look.line, color=look.colour, linewidth=0.6)
    else:
        spread = 100 * line["std"].astype(float).fillna(0.0).to_numpy(float)[order]
        axis.fill_between(x[order], y - spread, y + spread, color=look.colour, alpha=0.15, lw=0)
        (curve,) = axis.plot(x[order], y, look.line, clip_on=False, zorder=3, **look.marks)
    tip(curve, look.name)
    return Spot(float(x[order][-1]), float(y[-1]), look)


def _highest(frame: pd.DataFrame, contents: Contents) -> str:
    """Say of each panel which row holds most at its largest ε."""
    said = []
    for (_, _, norm, attack), panel in frame.groupby(list(_PANEL), sort=False):
        largest = max(panel["eval_epsilon"], key=_value)
        there = panel[panel["eval_epsilon"] == largest].set_index("label")["mean"]
        words = f"holds most under {attack} at {norm_words(str(norm))} {largest},"
        means = {str(label): float(mean) for label, mean in there.items()}
        said.append(extreme(means, contents.looks, None, words, in_percent))
    return "; ".join(said)


def _title(panel: pd.DataFrame, several: bool) -> str:
    norm, epsilon = _threat(panel)
    by = f",\nattacked by {panel['attack'].iloc[0]}" if several else ""
    return f"trained under {norm_words(norm)} {epsilon}{by}"


def _threat(panel: pd.DataFrame) -> tuple[str, str]:
    first = panel.iloc[0]
    return str(first["train_norm"]), str(first["train_epsilon"])


def _value(epsilon: str) -> float:
    return 0.0 if epsilon == "0" else float(Epsilon(epsilon))
