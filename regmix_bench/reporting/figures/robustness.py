"""Robust accuracy against the ε of the attack."""

from __future__ import annotations

import math
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
from regmix_bench.reporting.figures.looks import GREY, Look
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import legend_handles, legend_inches
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.types import NORMS, Epsilon

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Evaluation ε beyond which an axis has round ticks instead of one each.
MOST_TICKS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class RobustnessVsEpsilon(ReportFigure):
    """Robust accuracy against the ε of the attack.

    A picture per setting: a panel per training threat, evaluation norm and attack.
    """

    name = "robustness-vs-epsilon"

    looks: Mapping[str, Look]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for stem, members in groupby(contents.blocks, lambda block: block.cohort.setting.stem):
            frame = robustness_frame(list(members))
            if frame.empty:
                continue
            attacks = " and ".join(frame["attack"].unique())
            caption = (
                f"{attacks} accuracy of the selected checkpoint against the evaluation ε."
                " ε = 0 is clean accuracy, bars are one standard deviation over seeds, the"
                " dotted line is the training ε. Points of one ε are set side by side, so that"
                " none hides another."
            )
            yield cls(subject=stem, frame=frame, caption=caption, looks=contents.looks)

    def draw(self, style: Style) -> Figure:
        """Return a figure with one line per label in each panel."""
        panels = list(
            self.frame.groupby(["train_norm", "train_epsilon", "eval_norm", "attack"], sort=False)
        )
        shown, attacks = set(self.frame["label"]), self.frame["attack"].unique()
        columns = min(3, len(panels))
        rows = math.ceil(len(panels) / columns)
        figure = Figure(
            figsize=(3.1 * columns + legend_inches(self.looks, shown), 3.4 * rows),
            layout="constrained",
        )
        axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        for axis in axes[len(panels) :]:
            axis.remove()
        for axis, (key, panel) in zip(axes, panels, strict=False):
            norm, epsilon, eval_norm, attack = map(str, key)
            unit = NORMS[eval_norm].unit
            ticks = sorted({_value(text) * unit for text in panel["eval_epsilon"]})
            lines = list(panel.groupby("label", sort=False))
            # Side by side: many methods differ by less than their markers are high.
            room = 0.007 * len(lines) * np.diff(ticks).min() * (len(lines) > 1)
            beside = np.linspace(-1, 1, len(lines)) * room
            for shift, (label, line) in zip(beside, lines, strict=True):
                _draw_line(axis, line, self.looks[str(label)], unit, shift)
            if len(ticks) <= MOST_TICKS:
                axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
            if norm == eval_norm:
                axis.axvline(_value(epsilon) * unit, color=GREY, linestyle=":", linewidth=0.8)
            by = f",\nattacked by {attack}" if len(attacks) > 1 else ""
            axis.set_title(f"trained under {norm_words(norm)} {epsilon}{by}")
            counted = f", 1/{unit}" if unit > 1 else ""
            axis.set_xlabel(f"evaluation ε ({norm_words(eval_norm)}{counted})")
        for axis in axes[: len(panels) : columns]:
            axis.set_ylabel(f"{attacks[0]} accuracy (%)" if len(attacks) == 1 else "accuracy (%)")
        axes[0].set_ylim(-2, 102)
        figure.legend(
            handles=legend_handles(self.looks, shown, lines=True),
            loc="outside right center",
            handlelength=3.2,
        )
        return figure


def robustness_frame(blocks: Iterable[Block]) -> pd.DataFrame:
    """Tabulate accuracies (0 to 1), a row per training threat, attack, label and evaluation ε.

    ε = 0 is clean accuracy.
    """
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    selected = (block for block in blocks if block.checkpoint == "selected")
    for (stem, norm), members in groupby(selected, lambda b: (b.cohort.stem, b.eval_threat.norm)):
        here = list(members)
        for (metric, attack), block in product(_attacks(here).items(), here):
            for row in block.rows:
                if metric not in row.metrics:
                    continue
                for epsilon, name in (
                    ("0", "clean_acc"),
                    (str(block.eval_threat.epsilon), metric),
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


def _attacks(blocks: Sequence[Block]) -> dict[str, str]:
    """The metrics to draw, and their names: PGD's where it was asked at more ε than AutoAttack."""
    scoring = blocks[0].cohort.setting.scoring
    robust = robust_metric(scoring)
    found = {robust: attack_words(scoring)}
    if not all(any(robust in row.metrics for row in block.rows) for block in blocks):
        found["pgd_acc"] = f"PGD-{scoring.pgd_steps}"
    return found


def _draw_line(axis: Axes, line: pd.DataFrame, look: Look, unit: int, shift: float) -> None:
    x = np.array([_value(text) for text in line["eval_epsilon"]]) * unit
    order = np.argsort(x)
    axis.errorbar(
        x[order] + shift,
        100 * line["mean"].to_numpy(float)[order],
        yerr=100 * line["std"].astype(float).fillna(0.0).to_numpy(float)[order],
        linestyle=look.line,
        elinewidth=0.8,
        **look.marks,
    )


def _value(epsilon: str) -> float:
    return 0.0 if epsilon == "0" else float(Epsilon(epsilon))
