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
from regmix_bench.reporting.figures.looks import Look, ink
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import (
    HEAT,
    brief,
    heat_map,
    legend_handles,
    legend_inches,
    widest,
)
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Classes beyond which there is a curve per method instead of a number per class.
MOST_COLUMNS = 12
_CELL_INCHES = 0.42


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassAccuracy(ReportFigure):
    """Robust accuracy class by class: a mean may hide a class that is broken nearly always.

    A picture per cohort, of its main block, where that has outcomes per image.
    """

    name = "classes"

    looks: Mapping[str, Look]
    attack: str
    dataset: str

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for block in contents.main_blocks:
            frame = class_frame(block, contents.outcomes[block.stem])
            if frame.empty:
                continue
            attack = attack_words(block.cohort.setting.scoring)
            images = frame.drop_duplicates("class")["images"]
            many = f"{images.min():,}" + (f" to {images.max():,}" if images.nunique() > 1 else "")
            if len(images) > MOST_COLUMNS:
                how = "the classes of each method are sorted by their accuracy, the worst first"
            else:
                how = "the worst classes of each method are framed"
            yield cls(
                subject=block.cohort.stem,
                frame=frame,
                caption=f"{attack} accuracy (%) per class under {threat_words(block.eval_threat)},"
                f" means over seeds; {how}. {many} test images a class.",
                looks=contents.looks,
                attack=attack,
                dataset=block.cohort.setting.dataset,
            )

    def draw(self, style: Style) -> Figure:
        """Return a heat map, or curves where there are too many classes for one."""
        many = self.frame["class"].nunique() > MOST_COLUMNS
        return self._curves() if many else self._map()

    def _map(self) -> Figure:
        """Return methods by classes, the numbers in the cells; apart from them mean and worst."""
        labels = list(dict.fromkeys(self.frame["label"]))
        table = self.frame.pivot(index="label", columns="class", values="accuracy").loc[labels]
        shares = 100 * table.to_numpy(float)
        images = self.frame.drop_duplicates("class").set_index("class").loc[table.columns, "images"]
        mean = np.average(shares, axis=1, weights=images.to_numpy())
        gap = np.full(len(labels), np.nan)
        cells = np.column_stack([shares, gap, mean, shares.min(axis=1)])
        texts = [["" if np.isnan(x) else fixed(x) for x in line] for line in cells]
        names = [brief(self.looks[label].name, 40, lines=1) for label in labels]
        name = 0.075 * widest(names)
        heads = [class_name(self.dataset, int(k)) for k in table.columns]
        named = heads != [str(k) for k in table.columns]
        head = 0.3 + 0.05 * widest(heads) if named else 0.48
        size = (
            name + 0.3 + _CELL_INCHES * (cells.shape[1] - 0.6),
            0.62 * _CELL_INCHES * len(labels) + head + 0.12,
        )
        figure = Figure(figsize=size)
        axes = figure.subplots()
        figure.subplots_adjust(
            left=(name + 0.15) / size[0],
            right=1 - 0.1 / size[0],
            bottom=0.1 / size[1],
            top=1 - head / size[1],
        )
        shades = heat_map(axes, cells, texts, HEAT, Normalize(0, 100))
        axes.set_aspect("auto")
        for row, column in np.argwhere(shares == shares.min(axis=1, keepdims=True)):
            edge = ink(shades[row, column])
            corner = (column - 0.44, row - 0.42)
            axes.add_patch(Rectangle(corner, 0.88, 0.84, fill=False, edgecolor=edge, lw=0.9))
        classes = len(table.columns)
        axes.xaxis.tick_top()
        places = [*range(classes), classes + 1, classes + 2]
        axes.set_xticks(places, [*heads, "all", "worst"])
        axes.set_yticks(range(len(labels)), names)
        if named:
            for text in axes.get_xticklabels():
                text.set(rotation=40, rotation_mode="anchor", ha="left")
        else:
            axes.text((classes - 1) / 2, 1 + 0.26 / (size[1] - 0.58), "class", ha="center",
                      transform=axes.get_xaxis_transform())  # fmt: skip
        return figure

    def _curves(self) -> Figure:
        """Return one line per label over its classes, the worst class first."""
        shown = set(self.frame["label"])
        figure = Figure(figsize=(3.9 + legend_inches(self.looks, shown), 3.3), layout="constrained")
        axes = figure.subplots()
        for number, (label, mine) in enumerate(self.frame.groupby("label", sort=False)):
            shares = 100 * np.sort(mine["accuracy"].to_numpy(float))
            look = self.looks[str(label)]
            every = max(1, len(shares) // 6)
            start = number * every // max(1, len(shown))
            marks: dict[str, Any] = {
                "markevery": (start, every),
                "linewidth": 1.0,
                "clip_on": False,
            }
            axes.plot(range(1, len(shares) + 1), shares, look.line, **marks, **look.marks)
        axes.set(
            xlim=(1, self.frame["class"].nunique()),
            ylim=(0, 100),
            xlabel="classes, each method's worst first",
            ylabel=f"{self.attack} accuracy (%)",
        )
        figure.legend(
            handles=legend_handles(self.looks, shown, lines=True),
            loc="outside right center",
            handlelength=3.2,
        )
        return figure


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
