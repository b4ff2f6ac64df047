"""Robust accuracy class by class: a mean may hide a class that an attack breaks nearly always."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.verdicts import Outcomes
from regmix_bench.analysis.words import threat_words
from regmix_bench.data.sources import class_name
from regmix_bench.records.accuracies import attack_words
from regmix_bench.reporting.figures.captions import ends, grey_words, in_percent
from regmix_bench.reporting.figures.labels import Spot, ends_inches, name_ends
from regmix_bench.reporting.figures.looks import MOST_COLOURED, Look, ink
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import (
    HEAT,
    column_of,
    fitted_axis,
    heat_map,
    inches,
    legend_below,
    legend_handles,
    legend_inches,
    names_of,
    tip,
)
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Classes beyond which there is a curve per method instead of a number per class.
MOST_COLUMNS = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassAccuracy(ReportFigure):
    """Robust accuracy class by class: a mean may hide a class that is broken nearly always.

    A picture per cohort, of its main block, where that has outcomes per image.
    """

    name = "classes"

    looks: Mapping[str, Look]
    attack: str
    classes: tuple[str, ...]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for block in contents.main_blocks:
            frame = class_frame(block, contents.outcomes[block.stem])
            if frame.empty:
                continue
            attack = attack_words(block.cohort.setting.scoring)
            looks = contents.looks_in(block.cohort)
            images = frame.drop_duplicates("class")["images"]
            many = f"{images.min():,}" + (f" to {images.max():,}" if images.nunique() > 1 else "")
            if len(images) > MOST_COLUMNS:
                how = "the classes of each method are sorted by their accuracy, the worst first"
            else:
                how = "the worst classes of each method are framed"
            yield cls(
                subject=block.cohort.stem,
                frame=frame,
                caption=f"{_worst(frame, looks, block)}; {ends(block.cohort)}. "
                f"{attack} accuracy (%) per class under {threat_words(block.eval_threat)},"
                f" means over seeds; {how}. {many} test images a class."
                f"{grey_words(looks.values())}",
                protocol=f"{block.cohort.setting.words}, {threat_words(block.eval_threat)}",
                looks=looks,
                attack=attack,
                classes=block.cohort.setting.classes,
            )

    def draw(self, style: Style) -> Figure:
        """Return a heat map, or curves where there are too many classes for one."""
        many = self.frame["class"].nunique() > MOST_COLUMNS
        return self._curves(style) if many else self._map(style)

    def _map(self, style: Style) -> Figure:
        """Return methods by classes, the numbers in the cells; apart from them mean and worst."""
        labels = list(dict.fromkeys(self.frame["label"]))
        table = self.frame.pivot(index="label", columns="class", values="accuracy").loc[labels]
        shares = 100 * table.to_numpy(float)
        images = self.frame.drop_duplicates("class").set_index("class").loc[table.columns, "images"]
        mean = np.average(shares, axis=1, weights=images.to_numpy())
        # Names are cut before numbers touch each other.
        least = (inches("00", style.small) + 0.05) * (shares.shape[1] + 2.3)
        room = max(0.8, style.width - 0.18 - least)
        names = names_of(self.looks, labels, style, min(room, 2.0))
        wide, high = column_of(names, style)
        left = wide + 0.1
        # As many numbers as this column of a paper has room for.
        cell = (style.width - left - 0.08) / (shares.shape[1] + 2.3)
        decimals = 1 if cell > inches("100.0", style.small) + 0.02 else 0
        heads = [class_name(self.classes, int(k)) for k in table.columns]
        named = heads != [str(k) for k in table.columns]
        ends = ["all", "worst"]
        # What does not fit over its column stands aslant.
        turned = [max(inches(head, style.small) for head in row) for row in (heads, ends)]
        turned = [wide if wide + 0.04 > cell else 0.0 for wide in turned]
        aslant = max(turned)
        head = 0.16 + 0.75 * aslant
        rim = Rim(
            left=left, right=0.3 if aslant else 0.08, top=head + 0.18 * (not named), bottom=0.06
        )
        figure, ((axes, totals),) = panels(
            style,
            (1, 2),
            max(high, 0.19) * len(labels),
            rim,
            self.protocol,
            between=(0.08, 0),
            widths=(shares.shape[1], 2),
        )
        for axis, cells, words, turns in (
            (axes, shares, heads, turned[0]),
            (totals, np.column_stack([mean, shares.min(axis=1)]), ends, turned[1]),
        ):
            texts = [[fixed(x, decimals) for x in line] for line in cells]
            shades = heat_map(axis, cells, texts, HEAT, Normalize(0, 100))
            axis.set_aspect("auto")
            axis.xaxis.tick_top()
            axis.set_xticks(range(len(words)), words)
            axis.set_yticks([])
            if turns:
                for text in axis.get_xticklabels():
                    text.set(rotation=45, rotation_mode="anchor", ha="left")
            if axis is axes:
                for row, column in np.argwhere(shares == shares.min(axis=1, keepdims=True)):
                    edge = ink(shades[row, column])
                    corner = (column - 0.46, row - 0.44)
                    frame = Rectangle(corner, 0.92, 0.88, fill=False, edgecolor=edge, lw=0.8)
                    axis.add_patch(frame)
        axes.set_yticks(range(len(labels)), names)
        for tick, label in zip(axes.get_yticklabels(), labels, strict=True):
            tick.set_color(self.looks[label].ink)
        if not named:
            axes.annotate("class", (0.5, 1), (0, 14), xycoords="axes fraction",
                          textcoords="offset points", ha="center")  # fmt: skip
        return figure

    def _curves(self, style: Style) -> Figure:
        """Return one line per label over its classes, the worst class first."""
        labels = list(dict.fromkeys(self.frame["label"]))
        looks = {label: self.looks[label] for label in labels}
        loud = [look for look in looks.values() if not look.quiet]
        named = len(loud) <= MOST_COLOURED
        handles = [] if named else legend_handles(looks, lines=True)
        right = ends_inches(loud, style) if named else 0.1
        rim = Rim(right=right, top=0.08, bottom=0.42 + legend_inches(handles, style))
        figure, ((axes,),) = panels(style, (1, 1), 2.2, rim, self.protocol)
        classes = self.frame["class"].nunique()
        axes.set(
            xlim=(1, classes),
            ylim=fitted_axis(100 * self.frame["accuracy"], 20.0),
            xlabel="classes, each method's worst first",
            ylabel=f"{self.attack} accuracy (%)",
        )
        spots = []
        for number, label in enumerate(labels):
            mine = self.frame[self.frame["label"] == label]
            shares = 100 * np.sort(mine["accuracy"].to_numpy(float))
            look = looks[label]
            every = max(1, len(shares) // 6)
            marks: dict[str, Any] = {
                "markevery": (number * every // max(1, len(labels)), every),
                "linewidth": 0.6 if look.quiet else 1.0,
                "clip_on": False,
                "zorder": 2 if look.quiet else 3,
            }
            shape = {"color": look.colour} if look.quiet else look.marks
            (line,) = axes.plot(range(1, len(shares) + 1), shares, look.line, **marks, **shape)
            tip(line, look.name)
            spots.append(Spot(classes, float(shares[-1]), look))
        if named:
            name_ends(axes, spots, style)
        else:
            legend_below(figure, handles, style, handlelength=3.2)
        return figure


def _worst(frame: pd.DataFrame, looks: Mapping[str, Look], block: Block) -> str:
    """Say of which row the worst class is the best, and of which it is the worst."""
    worst = frame.groupby("label", sort=False)["accuracy"].min()
    least, most = str(worst.idxmin()), str(worst.idxmax())
    kind = frame.loc[frame["label"] == most].sort_values("accuracy")["class"].iloc[0]
    name = class_name(block.cohort.setting.classes, int(kind))
    said = f"{looks[most].name} holds {in_percent(float(worst[most]))} of its worst class, {name}"
    if least == most:
        return said
    return f"{said}, the most of all, and {looks[least].name} {in_percent(float(worst[least]))}"


def class_frame(block: Block, outcomes: Outcomes) -> pd.DataFrame:
    """Tabulate one row per label and class: robust accuracy (0 to 1), mean over ``n`` seeds.

    ``worst`` marks a label's classes of the lowest accuracy.
    """
    classes, images = np.unique(outcomes.labels, return_counts=True)
    rows = []
    for row in block.rows:
        if row.label not in outcomes.rights:
            continue
        rights = outcomes.rights[row.label]
        shares = [float(rights[:, outcomes.labels == k].mean()) for k in classes]
        for k, count, share in zip(classes, images, shares, strict=True):
            rows.append(
                {
                    **block.csv_columns,
                    "method": row.group.method,
                    "label": row.label,
                    "class": int(k),
                    "images": int(count),
                    "accuracy": share,
                    "worst": share == min(shares),
                    "n": len(rights),
                }
            )
    return pd.DataFrame(rows)
