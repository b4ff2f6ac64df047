"""Parallel coordinates: the values of every trial of a study, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from regmix_bench.methods.declarations import display_name, symbol_of
from regmix_bench.records.schema import StudyRecord
from regmix_bench.reporting.figures.captions import in_percent
from regmix_bench.reporting.figures.panels import Rim, panels
from regmix_bench.reporting.figures.studies import StudyFigure
from regmix_bench.reporting.figures.style import HEAT, fitted, tip
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.tables.tuning import tuning_words
from regmix_bench.specs.run import slug
from regmix_bench.types import Search

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents


@dataclass(frozen=True, kw_only=True, eq=False)
class ParallelCoordinates(StudyFigure):
    """Values of every complete trial, a line over an axis for each parameter, by its accuracy.

    A picture per study with two complete trials or more.
    """

    name = "coordinates"

    space: Mapping[str, Search]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for name, studies in contents.studies.items():
            for study in studies:
                frame = coordinates_frame(study)
                if len(frame) < 2:
                    continue
                yield cls(
                    subject=f"{name}-{slug(study.label)}",
                    folder=name,
                    frame=frame,
                    caption=_caption(study),
                    protocol=f"{display_name(study.spec.method)}, {tuning_words(studies)}",
                    space=study.space,
                )

    def draw(self, style: Style) -> Figure:
        """Return one panel with an axis for each parameter and a bar of colours."""
        figure, ((axis, bar),) = panels(
            style,
            (1, 2),
            1.7 if style.narrow else 2.2,
            Rim(left=0.45, right=0.5, bottom=0.45, top=0.2),
            self.protocol,
            between=(0.3, 0),
            widths=(1, 0.03),
        )
        accuracy = 100 * self.frame["value"].to_numpy()
        low = least_usual(accuracy)
        high = max(float(accuracy.max()), low + 0.1)
        norm = Normalize(low, high)
        colours = matplotlib.colormaps[HEAT]
        keys = list(self.space)
        heights = np.array([self._place(key, self.frame[key].to_numpy()) for key in keys])
        places = range(len(keys))
        *others, best = np.lexsort((-np.arange(len(accuracy)), accuracy))  # of a tie the earlier
        for column in (*others, best):
            value = float(accuracy[column])
            path = np.append(heights[:, column], max(0.0, (value - low) / (high - low)))
            (line,) = axis.plot(
                [*places, len(keys)],
                path,
                color=colours(norm(value)),
                linewidth=3 if column == best else 1.1,
                alpha=0.9,
            )
            tip(line, f"trial {self.frame['number'].iloc[column]}: {value:.1f} %")
        below = bool(accuracy.min() < low)
        self._label(axis, keys, style, (f"{'≤ ' * below}{low:.1f}", f"{high:.1f}"))
        figure.colorbar(ScalarMappable(norm, HEAT), cax=bar, extend="min" if below else "neither")
        bar.set_title("%", fontsize=style.small)
        bar.grid(visible=False)
        return figure

    def _place(self, key: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return where on its axis each value lies, 0 to 1."""
        found = self.space[key]
        ends = np.array([found.low, found.high])
        scale = np.log if found.log else np.asarray
        low, high = scale(ends)
        placed: npt.NDArray[np.float64] = (scale(values) - low) / (high - low)
        return placed

    def _label(self, axis: Axes, keys: list[str], style: Style, ends: tuple[str, str]) -> None:
        """Name the axes, and write the ends of each at its foot and its head."""
        room = (style.width - 1.3) / (len(keys) + 1)
        names = [*(symbol_of(key) for key in keys), "held out"]
        axis.set_xticks(
            range(len(names)), [fitted(name, room, style.small, lines=2) for name in names]
        )
        axis.tick_params(axis="x", length=0, pad=10)
        axis.set(xlim=(-0.25, len(keys) + 0.25), ylim=(0, 1), yticks=[])
        axis.grid(visible=False)
        axis.spines[["left", "bottom"]].set_visible(False)
        spans = [(f"{self.space[k].low:.3g}", f"{self.space[k].high:.3g}") for k in keys]
        spans.append(ends)
        for place, (low, high) in enumerate(spans):
            axis.axvline(place, color="#555555", linewidth=0.7, zorder=1)
            for at, number, side in ((0, low, "top"), (1, high, "bottom")):
                axis.annotate(
                    number,
                    (place, at),
                    (0, -1 if side == "top" else 1),
                    textcoords="offset points",
                    ha="center",
                    va=side,
                    fontsize=style.small,
                    annotation_clip=False,
                )


def least_usual(values: npt.NDArray[np.float64]) -> float:
    """Return the least of ``values`` that is no outlier by Tukey's rule, 1.5 interquartile ranges.

    One trial that failed to learn would else leave all others in one colour.
    """
    lower, upper = np.percentile(values, (25, 75))
    return float(values[values >= lower - 1.5 * (upper - lower)].min())


def coordinates_frame(study: StudyRecord) -> pd.DataFrame:
    """Tabulate the complete trials: number, value (0 to 1) and what they were trained with."""
    rows = [
        {"label": study.label, "number": trial.number, "value": trial.value, **trial.values}
        for trial in study.complete
    ]
    return pd.DataFrame(rows)


def _caption(study: StudyRecord) -> str:
    best = study.best
    assert best is not None and best.value is not None
    values = ", ".join(f"{symbol_of(key)} = {value:g}" for key, value in best.values.items())
    return (
        f"The best of {len(study.trials)} trials of {display_name(study.spec.method)} had"
        f" {in_percent(best.value)} with {values}; {tuning_words([study])}. Each line is a trial"
        " that came to its end, the thick one the best, its colour its accuracy on held-out"
        " training images; axes are on the scale that was searched, from end to end."
    )
