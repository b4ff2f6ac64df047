"""The rise of the loss around test images, and how much it bends on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from regmix_bench.analysis.words import threat_words
from regmix_bench.reporting.figures.captions import ends, extreme, plain, protocol
from regmix_bench.reporting.figures.choice import choice, unrecorded
from regmix_bench.reporting.figures.curvature import (
    FOOTNOTE,
    SMOOTHED,
    Floats,
    curvature_table,
    rise,
    surface_frame,
)
from regmix_bench.reporting.figures.looks import Look
from regmix_bench.reporting.figures.panels import Rim, titled_grid
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.run_views import views_by_label
from regmix_bench.reporting.figures.style import HEAT, fitted, high
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.types import NORMS, ThreatModel

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

#: Contour lines, the same in all figures.
_LEVELS = [sign * n * 10.0**k for k in (-1, 0, 1) for n in (1, 2, 5) for sign in (-1, 1)]
#: Where the colour scale turns from linear to logarithmic: one model may rise tenfold higher.
_LINEAR = 0.2
#: Ticks that a bar of colours has at least, and how far apart they are as shares of it.
FEWEST_TICKS, _APART = 3, 0.09
#: Times the median panel's reach, beyond which one would take the colours of all others.
_FAR = 3.0
#: What of the colour bar has an arrow: whether panels reach below it, and above.
_EXTENDED = {
    **{(False, False): "neither", (True, False): "min"},
    **{(False, True): "max", (True, True): "both"},
}


@dataclass(frozen=True, kw_only=True, eq=False)
class LossSurface(ReportFigure):
    """The rise of the loss around test images, and how much it bends on the way.

    A picture per cohort with views of some runs: the surface of each label's lowest seed.
    ``rises`` holds it by label: (G adversarial, G random).
    """

    name = "surface"

    looks: Mapping[str, Look]
    rises: Mapping[str, Floats]
    threat: ThreatModel

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for cohort in contents.cohorts:
            seeds = views_by_label(cohort)
            if not seeds:
                continue
            chosen = choice(contents, cohort, list(seeds))
            views = next(iter(seeds.values()))[0].views
            absent = unrecorded(contents, cohort, seeds)
            frame = surface_frame(cohort, {label: seeds[label] for label in chosen.labels})
            bends = frame.drop_duplicates("label").set_index("label")["curvature"].dropna()
            said = extreme(
                {str(label): float(bend) for label, bend in bends.items()},
                contents.looks,
                contents.standings_in(cohort),
                "bends least, with a curvature of",
                plain,
                least=True,
            )
            caption = (
                f"{said or 'No curvature is recorded'}; {ends(cohort)}. "
                f"Cross-entropy around {len(views.label)} test images above that of the images"
                f" themselves, their mean, trained under {threat_words(cohort.train_threat)},"
                " lowest seed: along the direction of FGSM and a random one, each of length ε"
                f" ({threat_words(views.threat)}), unclipped; the white line is the edge of the"
                " threat model. Below, the curvature along FGSM's step, median of"
                f" {len(views.curvature)} images, mean over seeds with its 95 % interval (Student's"
                " t); of one seed there is none."
                + f"{' ' * bool(chosen.words)}{chosen.words}"
                + (f" Nothing is recorded of {absent}." if absent else "")
            )
            yield cls(
                subject=cohort.stem,
                frame=frame,
                caption=caption,
                table=curvature_table(cohort, seeds),
                protocol=protocol(cohort),
                looks=contents.looks,
                rises={label: rise(seeds[label][0].views) for label in chosen.labels},
                threat=views.threat,
            )

    def draw(self, style: Style) -> Figure:
        """Return a panel per label, on one colour scale, which one far from the others overruns."""
        rises = self.rises
        numbers = self.frame.drop_duplicates("label").set_index("label")
        lows, highs = [r.min() for r in rises.values()], [r.max() for r in rises.values()]
        lowest = max(min(lows), min(-_LINEAR, _FAR * np.median(lows)))
        highest = min(max(highs), max(_LINEAR, _FAR * np.median(highs)))
        beyond = (min(lows) < lowest, max(highs) > highest)
        scale = AsinhNorm(_LINEAR, lowest, max(highest, lowest + _LINEAR))
        smoothed = bool((numbers["true_class_mass"] < 1).any())
        note = fitted(FOOTNOTE, style.width - 0.1, style.small, lines=4) if smoothed else ""
        noted = high(note, style.small)
        rim = Rim(left=0.42, right=0.7, bottom=0.78 + noted)
        columns = max(2, int((style.width - 1) / 1.2))
        columns = -(-len(rises) // -(-len(rises) // columns))
        side = (style.width - rim.left - rim.right - 0.22 * (columns - 1)) / columns
        side = min(side, 2.4)
        figure, axes = titled_grid(
            style,
            [self.looks[label].name for label in rises],
            columns,
            side,
            rim,
            self.protocol,
            between=(0.22, 0.58),
        )
        for axis, (label, values) in zip(axes, rises.items(), strict=True):
            _draw_panel(axis, values, self.threat, scale)
            row = numbers.loc[label]
            star = SMOOTHED if row["true_class_mass"] < 1 else ""
            n = row["seeds"]
            over = f"{n} seeds" if n != 1 else "one seed"
            if n > 1:
                over = f"[{row['curvature_low']:.2f}, {row['curvature_high']:.2f}]"
            axis.set_xlabel(f"curvature {row['curvature']:.2f}{star}\n{over}", fontsize=style.small)
        whole = figure.get_figheight()
        figure.supylabel("random direction (ε)", x=0.04 / style.width, fontsize=style.size)
        figure.supxlabel(
            "adversarial direction (ε)", y=(0.06 + noted) / whole, va="bottom", fontsize=style.size
        )
        if note:
            figure.text(0.05 / style.width, 0.04 / whole, note, va="bottom", fontsize=style.small)
        last = axes[columns - 1].get_position()
        bar = figure.colorbar(
            ScalarMappable(scale, HEAT),
            cax=figure.add_axes(
                (
                    last.x1 + 0.1 / style.width,
                    axes[-1].get_position().y0,
                    0.1 / style.width,
                    last.y1 - axes[-1].get_position().y0,
                )
            ),
            label="cross-entropy above the image's",
            ticks=_ticks(scale),
            format="{x:g}",
            extend=_EXTENDED[beyond],
        )
        bar.minorticks_off()
        return figure


def _ticks(scale: Normalize) -> list[float]:
    """Return values to write beside the colours: levels where three fit in, else round numbers."""
    low, high = float(scale.vmin or 0), float(scale.vmax or 0)
    found = [level for level in sorted((0.0, *_LEVELS)) if low <= level <= high]
    if len(found) < FEWEST_TICKS:
        steps = MaxNLocator(4, steps=(1, 2, 5, 10)).tick_values(low, high)
        return [float(tick) for tick in steps if low <= tick <= high]
    shown: list[float] = []
    # On a bar of an inch none stands on the next.
    for level in sorted(found, key=abs):
        place = float(scale(level))
        if all(abs(place - float(scale(other))) > _APART for other in shown):
            shown.append(level)
    return sorted(shown)


def _draw_panel(axis: Axes, values: Floats, threat: ThreatModel, scale: Normalize) -> None:
    steps = np.linspace(-1, 1, len(values))
    # A pixel of the image is centred on its step.
    rim = 1 + (steps[1] - steps[0]) / 2
    axis.imshow(
        values.T,
        cmap=HEAT,
        norm=scale,
        origin="lower",
        extent=(-rim, rim, -rim, rim),
        interpolation="bilinear",
    )
    inside = sorted(level for level in (0.0, *_LEVELS) if values.min() < level < values.max())
    if inside:
        axis.contour(steps, steps, values.T, levels=inside, colors="black", linewidths=0.5)
    angle = np.linspace(0, 2 * np.pi, 1 + (NORMS[threat.norm].corners or 99))
    axis.plot(np.cos(angle), np.sin(angle), color="white", linewidth=0.9, linestyle="--")
    axis.plot(0, 0, "+", color="white", markersize=4, markeredgewidth=0.8)
    axis.set(xlim=(-1, 1), ylim=(-1, 1), box_aspect=1)
    axis.set_xticks((-1, 0, 1), ["−1", "0", "1"])
    axis.set_yticks((-1, 0, 1), ["−1", "0", "1"])
    axis.tick_params(length=2)
    axis.grid(visible=False)
