"""Accuracy after each attack of AutoAttack: which of them finds what the others missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regmix_bench.analysis.blocks import Block, Row
from regmix_bench.analysis.words import threat_words
from regmix_bench.records.accuracies import attack_words
from regmix_bench.reporting.figures.looks import GREY, Look
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import brief, heat_map, widest
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

CLEAN, PGD = "clean", "PGD-20"
_ROW_INCHES, _CELL_INCHES = 0.27, 0.58


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackCascade(ReportFigure):
    """Accuracy after each attack of AutoAttack: which of them finds what the others missed.

    A picture per cohort, of its main block, where that holds accuracies after single attacks.
    """

    name = "cascade"

    looks: Mapping[str, Look]
    attack: str

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for block in contents.main_blocks:
            frame = cascade_frame(block)
            if frame.empty:
                continue
            attack = attack_words(block.cohort.setting.scoring)
            screened = block.cohort.setting.scoring.screen
            order = "PGD-20 first" if screened else "not PGD-20, which stands apart"
            caption = (
                f"Attacked under {threat_words(block.eval_threat)}. Left: clean accuracy, that"
                f" under PGD-20 and that under {attack}. Right: the points that each attack takes"
                f" from what those before it left ({order}); means over seeds."
            )
            stem, looks = block.cohort.stem, contents.looks
            yield cls(subject=stem, frame=frame, caption=caption, looks=looks, attack=attack)

    def draw(self, style: Style) -> Figure:
        """Return a figure with one line per label.

        On a common scale, and beside it the points that each attack takes.
        """
        labels = list(dict.fromkeys(self.frame["label"]))
        names = {label: brief(self.looks[label].name, 40, lines=1) for label in labels}
        taken = self.frame.dropna(subset="lost").pivot(
            index="label", columns="stage", values="lost"
        )
        taken = (
            100 * taken.loc[labels, list(dict.fromkeys(self.frame.dropna(subset="lost")["stage"]))]
        )
        name = 0.075 * widest(names.values())
        wide = _CELL_INCHES * taken.shape[1]
        size = (name + 2.9 + wide, _ROW_INCHES * len(labels) + 1.25)
        figure = Figure(figsize=size)
        rim = {"bottom": 0.75 / size[1], "top": 1 - 0.5 / size[1], "wspace": 0}
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.5, wide + 0.15))
        figure.subplots_adjust(left=(name + 0.1) / size[0], right=1 - 0.1 / size[0], **rim)
        _draw_scale(left, self.frame, names, self.looks)
        norm = PowerNorm(0.5, 0, max(1.0, float(np.nanmax(taken.to_numpy()))))
        texts = [["" if np.isnan(x) else fixed(x) for x in line] for line in taken.to_numpy()]
        heat_map(right, taken.to_numpy(float), texts, "Greys", norm)
        right.patch.set_visible(False)  # markers at 100 reach over to it
        right.set(aspect="auto", xlim=(-0.65, taken.shape[1] - 0.5))
        right.xaxis.tick_top()
        right.set_xticks(range(taken.shape[1]), taken.columns)
        right.tick_params(labelleft=False, labelsize=7)
        middle = (taken.shape[1] - 1) / 2
        right.annotate(
            "points lost to",
            (middle, 1),
            (0, 19),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
        )
        handles = [
            Line2D([], [], **_open(GREY), label=CLEAN),
            Line2D([], [], color=GREY, marker="|", ms=9, mew=1.4, linestyle="", label=PGD),
            Line2D([], [], color=GREY, marker="o", linestyle="", label=self.attack),
        ]
        figure.legend(handles=handles, loc="lower center", ncols=3, borderaxespad=0.1)
        return figure


def cascade_frame(block: Block) -> pd.DataFrame:
    """Tabulate the accuracy left (0 to 1, mean over seeds), one row per label and stage.

    Stages stand in the order they attacked. ``lost`` is what the stage took from the one before it;
    it is empty for clean accuracy, and for PGD where it is no part of the cascade. ``n`` counts the
    seeds, those with every stage.
    """
    rows = []
    for row in block.rows:
        for step, (stage, accuracy, lost, n) in enumerate(_stages(row)):
            rows.append(
                {
                    **block.csv_columns,
                    "method": row.group.method,
                    "label": row.label,
                    "step": step,
                    "stage": stage,
                    "accuracy": accuracy,
                    "lost": lost,
                    "n": n,
                }
            )
    return pd.DataFrame(rows)


def _stages(row: Row) -> list[tuple[str, float, float | None, int]]:
    """Stage, accuracy and points lost, 0 to 1, and the seeds; none where there are no stages."""
    scores = [score for _, score in row.scores if score.after_attack]
    if not scores:
        return []
    n = len(scores)
    # Attacks may be replaced for one seed and not for another: those of all are comparable.
    attacks = [a for a in scores[0].after_attack if all(a in s.after_attack for s in scores)]
    clean, pgd = fmean(s.clean_acc for s in scores), fmean(s.pgd_acc for s in scores)
    screened = scores[0].screened_acc is not None
    before = pgd if screened else clean
    stages = [(CLEAN, clean, None, n), (PGD, pgd, clean - pgd if screened else None, n)]
    for attack in attacks:
        left = fmean(s.after_attack[attack] for s in scores)
        stages.append((attack, left, before - left, n))
        before = left
    return stages


def _draw_scale(
    axis: Axes, frame: pd.DataFrame, names: Mapping[str, str], looks: Mapping[str, Look]
) -> None:
    for place, label in enumerate(names):
        colour = looks[label].colour
        mine = frame[frame["label"] == label].sort_values("step")
        accuracy = dict(zip(mine["stage"], 100 * mine["accuracy"], strict=True))
        last = 100 * mine["accuracy"].iloc[-1]
        axis.plot([last, accuracy[CLEAN]], [place, place], color=colour, linewidth=1.2)
        axis.plot(accuracy[CLEAN], place, **_open(colour), clip_on=False, zorder=3)
        axis.plot(accuracy[PGD], place, color=colour, marker="|", ms=9, mew=1.4, zorder=3)
        axis.plot(last, place, color=colour, marker="o", clip_on=False, zorder=3)
    axis.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5), xlabel="accuracy left (%)")
    axis.set_yticks(range(len(names)), list(names.values()))
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _open(colour: str) -> dict[str, Any]:
    return {"color": colour, "marker": "o", "markerfacecolor": "white", "linestyle": ""}
