"""The rise of the loss around test images, and how much it bends on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.analysis.words import threat_words
from regmix_bench.methods.declarations import true_class_mass
from regmix_bench.records.views import Views
from regmix_bench.reporting.figures.looks import Look
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.run_views import RunViews, views_by_label
from regmix_bench.reporting.figures.style import HEAT, panel_grid
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.values import Cell, Column, Table, averaged, counted
from regmix_bench.types import NORMS, ThreatModel

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

Floats = npt.NDArray[np.float64]

_SMOOTHED = "*"
_FOOTNOTE = (
    f"{_SMOOTHED} trained towards smoothed labels, which keep its logits small: its loss is on"
    " another scale, and its curvature not comparable"
)
#: Contour lines, the same in all figures.
_LEVELS = [sign * n * 10.0**k for k in (-1, 0, 1) for n in (1, 2, 5) for sign in (-1, 1)]
#: Where the colour scale turns from linear to logarithmic: one model may rise tenfold higher.
_LINEAR = 0.2
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
            views = next(iter(seeds.values()))[0].views
            absent = ", ".join(g.label for g in cohort.groups if g.label not in seeds)
            caption = (
                f"Cross-entropy around {len(views.label)} test images above that of the images"
                f" themselves, their mean, trained under {threat_words(cohort.train_threat)},"
                " lowest seed: along the direction of FGSM and a random one, each of length ε"
                f" ({threat_words(views.threat)}), unclipped; the white line is the edge of the"
                " threat model. Below, the curvature along FGSM's step, median of"
                f" {len(views.curvature)} images, mean over seeds with its 95 % interval (Student's"
                " t); of one seed there is none."
                + (f" Nothing is recorded of {absent}." if absent else "")
            )
            yield cls(
                subject=cohort.stem,
                frame=surface_frame(cohort, seeds),
                caption=caption,
                table=_table(cohort, seeds),
                looks=contents.looks,
                rises={label: rise(runs[0].views) for label, runs in seeds.items()},
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
        figure, axes = panel_grid(
            [self.looks[label].name for label in rises], height=2.15, shared=False
        )
        for axis, (label, values) in zip(axes, rises.items(), strict=True):
            _draw_panel(axis, values, self.threat, scale)
            row = numbers.loc[label]
            star = _SMOOTHED if row["true_class_mass"] < 1 else ""
            n = row["seeds"]
            over = f"{n} seeds" if n != 1 else "one seed, no interval"
            if n > 1:
                over = f"[{row['curvature_low']:.3f}, {row['curvature_high']:.3f}], {over}"
            axis.set_xlabel(f"curvature {row['curvature']:.3f}{star}\n{over}", fontsize=7)
        figure.supylabel("random direction (ε)", fontsize=8)
        note = "\n".join(wrap(_FOOTNOTE, int(15 * figure.get_figwidth()))) if smoothed else ""
        figure.supxlabel(f"adversarial direction (ε)\n{note}".rstrip(), fontsize=8)
        bar = figure.colorbar(
            ScalarMappable(scale, HEAT),
            ax=axes,
            label="cross-entropy above the image's",
            ticks=[level for level in (0.0, *_LEVELS) if lowest <= level <= highest],
            format="{x:g}",
            aspect=30,
            extend=_EXTENDED[beyond],
            fraction=0.04,
            pad=0.02,
        )
        bar.minorticks_off()
        return figure


def rise(views: Views) -> Floats:
    """Return the rise of the loss, mean over images: (G adversarial, G random)."""
    middle = views.loss.shape[1] // 2
    mean: Floats = (views.loss - views.loss[:, middle, middle, None, None]).mean(0, np.float64)
    return mean


def surface_frame(cohort: Cohort, seeds: Mapping[str, Sequence[RunViews]]) -> pd.DataFrame:
    """Tabulate one row per label and step along the adversarial direction.

    A column for each step along the random direction holds the rise of the loss, of the lowest
    seed. ``curvature`` is the median over images, since few images bend tenfold more than the
    others, mean over ``seeds``, with the interval of that mean, which one seed does not have;
    ``curvature_mean`` and ``gradient_norm`` are means over images and seeds.
    """
    rows = []
    for group in cohort.groups:
        if group.label not in seeds:
            continue
        run, views = seeds[group.label][0]
        bent = _Bent.of([run.views for run in seeds[group.label]])
        for step, losses in zip(views.coordinates, rise(views), strict=True):
            rows.append(
                {
                    **cohort.csv_columns,
                    "eval_norm": views.threat.norm,
                    "eval_epsilon": str(views.threat.epsilon),
                    "method": group.method,
                    "label": group.label,
                    "seed": run.spec.seed,
                    "true_class_mass": true_class_mass(group.spec),
                    "n_images": len(_curvature(views)),
                    **bent.numbers,
                    "adversarial": round(float(step), 6),
                    **{
                        f"random {other:+.2f}": round(float(loss), 6)
                        for other, loss in zip(views.coordinates, losses, strict=True)
                    },
                }
            )
    return pd.DataFrame(rows)


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
    axis.tick_params(labelsize=6, length=2)
    axis.grid(visible=False)


class _Bent(NamedTuple):
    """The curvature of one label's images, median and mean, and the norm of the gradient there.

    Each over the seeds that have it.
    """

    median: Stat | None
    mean: Stat | None
    gradient: Stat | None

    @classmethod
    def of(cls, seeds: Sequence[Views]) -> _Bent:
        bends = [b for views in seeds if len(b := _curvature(views))]
        return cls(
            Stat.of(float(np.median(b)) for b in bends),
            Stat.of(float(b.mean()) for b in bends),
            Stat.of(float(views.gradient_norm.mean(dtype=np.float64)) for views in seeds),
        )

    @property
    def numbers(self) -> dict[str, float]:
        """As columns; NaN is what there is not."""
        none = Stat(np.nan, None, 0)
        median = self.median or none
        return {
            "seeds": median.n,
            "curvature": median.mean,
            "curvature_low": np.nan if median.low is None else median.low,
            "curvature_high": np.nan if median.high is None else median.high,
            "curvature_mean": (self.mean or none).mean,
            "gradient_norm": (self.gradient or none).mean,
        }


def _table(cohort: Cohort, seeds: Mapping[str, Sequence[RunViews]]) -> Table:
    columns = (
        Column("median", "Curvature", "mean"),
        Column("interval", "95 % interval", "interval"),
        Column("mean", "Mean image", "mean"),
        Column("gradient", "Gradient norm", "mean"),
    )
    rows, smoothed = [], False
    for group in cohort.groups:
        if group.label not in seeds:
            continue
        each = [run.views for run in seeds[group.label]]
        bent = _Bent.of(each)
        stats = (bent.median, bent.median, bent.mean, bent.gradient)
        star = _SMOOTHED if true_class_mass(group.spec) < 1 else ""
        smoothed = smoothed or bool(star)
        cells = [averaged(stat, decimals=3) for stat in stats]
        rows.append((Cell(group.label, signs=star), *cells, counted(len(each))))
    return Table(
        "Curvature of the loss along FGSM's step: median and mean over test images, and the mean"
        " norm of the gradient; all are means ± standard deviations over seeds. The interval is"
        " that of the median's mean over seeds (Student's t); one seed has none.",
        (Column("method", "Method"), *columns, Column("seeds", "Seeds", "count")),
        tuple(rows),
        (f"{_FOOTNOTE}.",) if smoothed else (),
    )


def _curvature(views: Views) -> Floats:
    """Of the images that have one."""
    bends = views.curvature.astype(np.float64)
    return bends[np.isfinite(bends)]
