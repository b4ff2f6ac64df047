"""Clean against robust accuracy: what a method pays for its robustness."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.words import norm_words
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.reporting.figures.captions import grey_words, most_robust, seed_words
from regmix_bench.reporting.figures.labels import Spot, name_spots
from regmix_bench.reporting.figures.looks import MOST_COLOURED, Look
from regmix_bench.reporting.figures.panels import Rim, grid
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.style import (
    high,
    legend_below,
    legend_handles,
    legend_inches,
    tip,
)
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed, short

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Points that an axis shows at least, so that noise is not blown up to a trend.
LEAST_RANGE = 4.0
#: Points beyond the outermost marker that its interval is given, or the range of the markers.
MOST_BEYOND = 10.0
#: How much wider axes may become for a point that lies apart, rather than leave it out.
MOST_WIDER = 1.5
_STEPS = (1, 2, 2.5, 5, 10)  # between ticks, times a power of ten


#: Norm and ε as a frame holds them.
Threat = tuple[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tradeoff(ReportFigure):
    """Clean against robust accuracy: what a method pays for its robustness.

    A picture per setting with a panel per block; rows without a robust accuracy are left out.
    """

    name = "tradeoff"

    looks: Mapping[Threat, Mapping[str, Look]]
    attack: str

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for stem, members in groupby(contents.main_blocks, lambda b: b.cohort.setting.stem):
            here = list(members)
            frame = tradeoff_frame(here)
            if frame.empty:
                continue
            setting = here[0].cohort.setting
            attack = attack_words(setting.scoring)
            looks = {_threat(block): contents.looks_in(block.cohort) for block in here}
            quiet = grey_words(look for one in looks.values() for look in one.values())
            said = (
                most_robust(block, looks[_threat(block)], contents.standings[block.stem])
                for block in here
            )
            seeds = seed_words(len(row.scores) for block in here for row in block.rows)
            caption = (
                f"{'; '.join(said)}; {setting.words}, {seeds}."
                f" Clean against {attack} accuracy, a panel per training threat."
                f" {_bars(frame)}{quiet}"
                " An interval that reaches the rim goes on beyond it. Each panel has scales of its"
                " own, which need not start at 0; a method named below a panel lies outside it, and"
                " its marker stands at the rim."
            )
            yield cls(
                subject=stem,
                frame=frame,
                caption=caption,
                protocol=setting.words,
                looks=looks,
                attack=attack,
            )

    def draw(self, style: Style) -> Figure:
        """Return a figure with one panel per block, one point per label."""
        found = list(self.frame.groupby(["train_norm", "train_epsilon"], sort=False))
        shown = {
            (str(norm), str(epsilon)): {
                label: self.looks[str(norm), str(epsilon)][label] for label in panel["label"]
            }
            for (norm, epsilon), panel in found
        }
        everyone = {label: look for looks in shown.values() for label, look in looks.items()}
        named = all(
            sum(not look.quiet for look in looks.values()) <= MOST_COLOURED
            for looks in shown.values()
        )
        handles = legend_handles(everyone, lines=False)
        handles = [] if named else handles
        titles = [_title(panel) for _, panel in found]
        columns = max(1, min(len(found), int(style.width / 2.6)))
        below = max(high("%" + "\n" * int(_apart(panel).sum()), style.size) for _, panel in found)
        rim = Rim(
            bottom=0.22 + below + legend_inches(handles, style),
            top=0.1 + 0.14 * max(title.count("\n") + 1 for title in titles),
        )
        figure, axes = grid(
            style,
            len(found),
            columns,
            2.1 if style.narrow else 2.4,
            rim,
            self.protocol,
            between=(0.5, rim.top + 0.22 + below),
        )
        for axis, title, (key, panel) in zip(axes, titles, found, strict=True):
            far = _draw_panel(axis, panel, shown[str(key[0]), str(key[1])], style, named)
            axis.set_title(title)
            axis.set_xlabel("\n".join(["clean accuracy (%)", *far]))
            axis.set_ylabel(f"{self.attack} accuracy (%)")
        if handles:
            legend_below(figure, handles, style)
        return figure


def tradeoff_frame(blocks: Iterable[Block]) -> pd.DataFrame:
    """Tabulate both accuracies (0 to 1) with 95 % intervals, by training threat and label."""
    rows = []
    for block in blocks:
        robust = robust_metric(block.cohort.setting.scoring)
        for row in block.rows:
            if robust not in row.metrics:
                continue
            entry = block.csv_columns | {"method": row.group.method, "label": row.label}
            for name, metric in (("clean", "clean_acc"), ("robust", robust)):
                stat = row.metrics[metric]
                entry |= {name: stat.mean, f"{name}_low": stat.low, f"{name}_high": stat.high}
                entry["n"] = stat.n
            rows.append(entry)
    return pd.DataFrame(rows)


def _apart(panel: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which points of a panel lie outside of its axes."""
    return _window(panel)[1]


def _window(
    panel: pd.DataFrame,
) -> tuple[dict[str, tuple[float, float]], npt.NDArray[np.bool_]]:
    """Return the limits of both axes, and which points lie outside of them."""
    values = {name: 100 * panel[name].to_numpy(float) for name in ("clean", "robust")}
    everyone = np.zeros(len(panel), bool)
    far = _far(values["clean"], _far(values["robust"], everyone))
    limits, wider = _panel_limits(panel, far), _panel_limits(panel, everyone)
    # Intervals may take nearly as much room.
    if all(np.ptp(wider[name]) <= MOST_WIDER * np.ptp(limits[name]) for name in values):
        limits = wider
    # Intervals of the others may reach so far that even a far point has its place.
    inside = [(limits[name][0] <= x) & (x <= limits[name][1]) for name, x in values.items()]
    return limits, ~np.logical_and(*inside)


def _draw_panel(
    axis: Axes, panel: pd.DataFrame, looks: Mapping[str, Look], style: Style, named: bool
) -> list[str]:
    """Draw the points; returns a line for each of those that lie outside of the axes."""
    limits, apart = _window(panel)
    axis.set(xlim=limits["clean"], ylim=limits["robust"])
    axis.xaxis.set_major_locator(MaxNLocator(4 if style.narrow else 5, steps=_STEPS))
    axis.yaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    notes, spots = [], []
    for row, outside in zip(panel.to_dict("records"), apart, strict=True):
        look = looks[row["label"]]
        x, y = 100 * row["clean"], 100 * row["robust"]
        words = f"{look.name}: clean {fixed(x)} %, {fixed(y)} % under attack"
        if outside:
            notes.append(f"{short(look.name, 40)} at {fixed(x)}, {fixed(y)}")
            x = float(np.clip(x, *limits["clean"]))
            y = float(np.clip(y, *limits["robust"]))
        elif not look.quiet:
            cross: dict[str, Any] = {"color": look.colour, "linestyle": look.line, "alpha": 0.6}
            across = [100 * row["clean_low"], 100 * row["clean_high"]]
            along = [100 * row["robust_low"], 100 * row["robust_high"]]
            axis.plot(across, [y, y], linewidth=0.8, **cross)
            axis.plot([x, x], along, linewidth=0.8, **cross)
        order = 2.5 if look.quiet else 3
        (mark,) = axis.plot(x, y, linestyle="", clip_on=False, zorder=order, **look.marks)
        tip(mark, words)
        spots.append(Spot(x, y, look))
    if named:
        name_spots(axis, spots, style)
    return notes


def _panel_limits(
    panel: pd.DataFrame, far: npt.NDArray[np.bool_]
) -> dict[str, tuple[float, float]]:
    """The limits of both axes for the points that are not ``far``."""
    near = panel[~far]
    return {
        name: _limits(*(100 * near[name + end].to_numpy(float) for end in ("", "_low", "_high")))
        for name in ("clean", "robust")
    }


def _far(values: npt.NDArray[np.float64], already: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which points would squeeze the others: a few, beyond a gap of half of the whole range."""
    near = np.sort(values[~already])
    if len(near) < 2 or np.ptp(near) <= LEAST_RANGE:
        return already
    gaps = np.diff(near)
    widest = int(np.argmax(gaps))
    below, above = widest + 1, len(near) - widest - 1
    if gaps[widest] < np.ptp(near) / 2 or 3 * min(below, above) >= len(near):
        return already
    apart: npt.NDArray[np.bool_] = (values <= near[widest]) == (below < above)
    return already | apart


def _limits(
    values: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Limits that hold the points, and the intervals unless they would dwarf the points.

    They pass 0 and 100 by a margin at most.
    """
    least, most = float(values.min()), float(values.max())
    room = max(most - least, LEAST_RANGE)
    beyond = max(room, MOST_BEYOND)
    margin = 0.06 * room
    bottom = max(float(low.min()), least - beyond) - margin
    top = min(float(high.max()), most + beyond) + margin
    missing = max(0.0, LEAST_RANGE - (top - bottom))
    bottom = max(bottom - missing / 2, -margin)
    top = min(max(top, bottom + LEAST_RANGE), 100 + margin)
    return min(bottom, top - LEAST_RANGE), top


def _title(panel: pd.DataFrame) -> str:
    first = panel.iloc[0]
    norm, epsilon = first["train_norm"], first["train_epsilon"]
    title = f"trained under {norm_words(norm)} {epsilon}"
    if (first["eval_norm"], first["eval_epsilon"]) != (norm, epsilon):
        title += f",\nattacked under {norm_words(first['eval_norm'])} {first['eval_epsilon']}"
    which = first["checkpoint"]
    return title + ("" if which == "selected" else f",\n{which.replace('-', ', ')} checkpoint")


def _threat(block: Block) -> Threat:
    threat = block.cohort.train_threat
    return threat.norm, str(threat.epsilon)


def _bars(frame: pd.DataFrame) -> str:
    over_seeds = "of the mean over seeds (Student)"
    over_images = "over images (Wilson)"
    if (frame["n"] > 1).all():
        return f"Bars are 95 % intervals {over_seeds}."
    if (frame["n"] == 1).all():
        return f"Bars are 95 % intervals of one seed, {over_images}."
    return f"Bars are 95 % intervals {over_seeds}, or {over_images} where there is one seed."
