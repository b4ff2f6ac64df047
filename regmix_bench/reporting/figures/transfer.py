"""A heat map of which model's adversarial images break which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from regmix_bench.reporting.figures.captions import in_percent
from regmix_bench.reporting.figures.looks import ink
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import HEAT, column_of, fitted, heat_map, inches
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed
from regmix_bench.reporting.tables.transfer import (
    matrix,
    stem,
    transfer_accuracies,
    transfer_seed_words,
    transfer_words,
)

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents


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
            shares = matrix(record, {k: look.name for k, look in contents.looks.items()})
            others = {
                str(name): float(shares.loc[name].drop(name).to_numpy(float).mean())
                for name in shares.columns
                if len(shares.columns) > 1
            }
            said = ""
            if others:
                least = min(others, key=lambda name: others[name])
                said = (
                    f"Images crafted on {least} leave the other models least,"
                    f" {in_percent(others[least])} in the mean; {record.dataset_words}. "
                )
            caption = (
                f"{said}Accuracy (%) of each target under images crafted on each source by"
                f" {transfer_words(record)}. {transfer_seed_words(record)}In the frames the"
                " attack is white-box."
            )
            subject = stem(record).removeprefix(f"{cls.name}-")
            frame = transfer_accuracies(record)
            yield cls(subject=subject, frame=frame, caption=caption, matrix=shares)

    def draw(self, style: Style) -> Figure:
        """Return the heat map; white-box cells are framed."""
        shares = 100 * self.matrix.to_numpy(float)
        n_rows, n_columns = shares.shape
        # The names stand left of the cells, and aslant below them.
        room = style.width / 4
        sources, targets = (
            _cut([str(name) for name in names], room, style.small)
            for names in (self.matrix.index, self.matrix.columns)
        )
        wide, high = column_of(sources, style)
        aslant = 0.75 * max(inches(target, style.small) for target in targets) + 0.06
        rim = Rim(left=wide + 0.35, right=0.08, top=0.04, bottom=aslant + 0.45)
        cell = (style.width - rim.left - rim.right) / n_columns
        decimals = 1 if cell > inches("100.0", style.small) + 0.02 else 0
        figure, ((axes,),) = panels(style, (1, 1), max(high, 0.2) * n_rows, rim, self.protocol)
        texts = [[fixed(share, decimals) for share in row] for row in shares]
        shades = heat_map(axes, shares, texts, HEAT)
        axes.set_aspect("auto")
        for target in range(n_columns):  # its row as a source is one further down
            corner = (target - 0.44, target + 0.56)
            edge = ink(shades[target + 1, target])
            axes.add_patch(Rectangle(corner, 0.88, 0.88, fill=False, edgecolor=edge, lw=0.9))
        axes.axhline(0.5, color="white", linewidth=3)
        axes.set_xticks(range(n_columns), targets, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(n_rows), sources)
        axes.set_xlabel("target: the model attacked")
        axes.set_ylabel("source: crafted on")
        return figure


def _cut(names: Sequence[str], room: float, size: float) -> list[str]:
    """Cut names to a line, or to two where some would then be alike."""
    found = [fitted(name, room, size) for name in names]
    return found if len(set(found)) == len(names) else [fitted(n, room, size, 2) for n in names]
