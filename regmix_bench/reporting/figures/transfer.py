"""A heat map of which model's adversarial images break which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from regmix_bench.reporting.figures.looks import ink
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import HEAT, brief, heat_map, widest
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed
from regmix_bench.reporting.tables.transfer import (
    matrix,
    seed_words,
    stem,
    transfer_accuracies,
    transfer_words,
)

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

_CELL_INCHES = 0.42


@dataclass(frozen=True, kw_only=True, eq=False)
class TransferMap(ReportFigure):
    """A heat map of which model's adversarial images break which.

    A picture per transfer, which stands under its table.
    """

    name = "transfer"

    matrix: pd.DataFrame

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for record in contents.transfers:
            caption = (
                f"Accuracy (%) of each target under images crafted on each source by"
                f" {transfer_words(record)}. {seed_words(record)}In the frames the attack is"
                " white-box."
            )
            subject = stem(record).removeprefix(f"{cls.name}-")
            frame = transfer_accuracies(record)
            yield cls(subject=subject, frame=frame, caption=caption, matrix=matrix(record))

    def draw(self, style: Style) -> Figure:
        """Return the heat map; white-box cells are framed."""
        shares = self.matrix.to_numpy(float)
        n_rows, n_columns = shares.shape
        # The names stand left of the cells, and aslant below them.
        sources, targets = (
            [*map(brief, names)] for names in (self.matrix.index, self.matrix.columns)
        )
        name = 0.075 * widest(sources)
        width = n_columns * _CELL_INCHES + name + 0.4
        height = n_rows * _CELL_INCHES + 0.72 * name + 0.5
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        texts = [[fixed(100 * share) for share in row] for row in shares]
        shades = heat_map(axes, 100 * shares, texts, HEAT)
        for target in range(n_columns):  # its row as a source is one further down
            corner = (target - 0.42, target + 0.58)
            edge = ink(shades[target + 1, target])
            axes.add_patch(Rectangle(corner, 0.84, 0.84, fill=False, edgecolor=edge, lw=0.9))
        axes.axhline(0.5, color="white", linewidth=3)
        axes.set_xticks(range(n_columns), targets, rotation=45, ha="right")
        axes.set_yticks(range(n_rows), sources)
        axes.set(xlabel="target: the model attacked", ylabel="source: the model crafted on")
        return figure
