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
from matplotlib.ticker import MaxNLocator

from regmix_bench.analysis.blocks import Block, Row
from regmix_bench.analysis.words import threat_words
from regmix_bench.records.accuracies import attack_words
from regmix_bench.reporting.figures.captions import ends, grey_words, most_robust
from regmix_bench.reporting.figures.looks import GREY, Look
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import (
    column_of,
    fitted_axis,
    heat_map,
    inches,
    legend_below,
    legend_inches,
    names_of,
    tip,
)
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

CLEAN, PGD = "clean", "PGD-20"


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
            looks = contents.looks_in(block.cohort)
            said = most_robust(block, looks, contents.standings[block.stem])
            caption = (
                f"{said}; {ends(block.cohort)}. "
                f"Left: clean accuracy, that"
                f" under PGD-20 and that under {attack}. Right: the points that each attack takes"
                f" from what those before it left ({order}); means over seeds."
                f"{grey_words(looks.values())}"
            )
            yield cls(
                subject=block.cohort.stem,
                frame=frame,
                caption=caption,
                protocol=f"{block.cohort.setting.words}, {threat_words(block.eval_threat)}",
                looks=looks,
                attack=attack,
            )

    def draw(self, style: Style) -> Figure:
        """Return a figure with one line per label.

        On a common scale, and beside it the points that each attack takes.
        """
        labels = list(dict.fromkeys(self.frame["label"]))
        names = names_of(self.looks, labels, style)
        lost = self.frame.dropna(subset="lost")
        taken = 100 * lost.pivot(index="label", columns="stage", values="lost")
        taken = taken.loc[labels, list(dict.fromkeys(lost["stage"]))]
        stages = [_broken(str(stage)) if style.narrow else str(stage) for stage in taken.columns]
        handles = [
            Line2D([], [], **_open(GREY), label=CLEAN),
            Line2D([], [], color=GREY, marker="|", ms=8, mew=1.4, linestyle="", label=PGD),
            Line2D([], [], color=GREY, marker="o", ms=4.5, linestyle="", label=self.attack),
        ]
        wide, high = column_of(names, style)
        cells = max(0.34, *(inches(stage, style.small) + 0.08 for stage in stages)) * len(stages)
        room = style.width - wide - 0.2
        cells = min(cells, 0.6 * room)
        lines = max(stage.count("\n") + 1 for stage in stages)
        heads = (1.6 * lines - 0.2) * style.small  # in points
        rim = Rim(
            left=wide + 0.1,
            right=0.08,
            top=0.28 + heads / 72,
            bottom=0.42 + legend_inches(handles, style),
        )
        figure, ((left, right),) = panels(
            style,
            (1, 2),
            high * len(labels),
            rim,
            self.protocol,
            between=(0.12, 0),
            widths=(room - cells, cells),
            share=(False, True),
        )
        _draw_scale(left, self.frame, dict(zip(labels, names, strict=True)), self.looks)
        norm = PowerNorm(0.5, 0, max(1.0, float(np.nanmax(taken.to_numpy()))))
        texts = [["" if np.isnan(x) else fixed(x) for x in line] for line in taken.to_numpy()]
        heat_map(right, taken.to_numpy(float), texts, "Greys", norm)
        right.patch.set_visible(False)  # markers at 100 reach over to it
        right.set(aspect="auto", xlim=(-0.5, len(stages) - 0.5))
        right.xaxis.tick_top()
        right.set_xticks(range(len(stages)), stages)
        right.tick_params(labelleft=False)
        right.annotate(
            "points lost to",
            ((len(stages) - 1) / 2, 1),
            (0, heads + 5),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
        )
        legend_below(figure, handles, style)
        return figure


def _broken(stage: str) -> str:
    """Return the name of an attack on two lines, the second what begins with its hyphen."""
    return stage.replace("-", "\n-", 1)


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
    scores = [score for _, score in row.evaluations if score.after_attack]
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
        look = looks[label]
        mine = frame[frame["label"] == label].sort_values("step")
        accuracy = dict(zip(mine["stage"], 100 * mine["accuracy"], strict=True))
        last, order = 100 * mine["accuracy"].iloc[-1], 2 if look.quiet else 3
        colour = look.colour
        axis.plot([last, accuracy[CLEAN]], [place, place], color=colour, linewidth=1.2)
        axis.plot(accuracy[CLEAN], place, **_open(colour), clip_on=False, zorder=order)
        axis.plot(accuracy[PGD], place, color=colour, marker="|", ms=8, mew=1.4, zorder=order)
        (mark,) = axis.plot(
            last, place, color=colour, marker="o", ms=4.5, clip_on=False, zorder=order
        )
        tip(mark, f"{look.name}: {fixed(last)} % left of {fixed(accuracy[CLEAN])} %")
    axis.set(ylim=(len(names) - 0.5, -0.5), xlabel="accuracy left (%)")
    axis.set_xlim(fitted_axis(100 * frame["accuracy"], 20.0))
    axis.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 2.5, 5, 10)))
    axis.set_yticks(range(len(names)), list(names.values()))
    axis.tick_params(axis="y", length=0)
    for tick, label in zip(axis.get_yticklabels(), names, strict=True):
        tick.set_color(looks[label].ink)
    axis.spines["left"].set_visible(False)


def _open(colour: str) -> dict[str, Any]:
    shape = {"marker": "o", "markersize": 4.5, "markerfacecolor": "white", "linestyle": ""}
    return {"color": colour, **shape}
