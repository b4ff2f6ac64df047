"""Numbers of loss surfaces: the rise around test images, and the curvature on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.methods.declarations import true_class_mass
from regmix_bench.records.views import Views
from regmix_bench.reporting.figures.run_views import RunViews
from regmix_bench.reporting.values import Cell, Column, Table, averaged, counted

Floats = npt.NDArray[np.float64]

#: The sign of rows whose curvature is not comparable, and what it stands for.
SMOOTHED = "*"
FOOTNOTE = (
    f"{SMOOTHED} trained towards smoothed labels, which keep its logits small: its loss is on"
    " another scale, and its curvature not comparable"
)


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


def curvature_table(cohort: Cohort, seeds: Mapping[str, Sequence[RunViews]]) -> Table:
    """Return the curvature of each label and the norm of its gradient, over seeds."""
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
        star = SMOOTHED if true_class_mass(group.spec) < 1 else ""
        smoothed = smoothed or bool(star)
        cells = [averaged(stat, decimals=3) for stat in stats]
        rows.append((Cell(group.label, signs=star), *cells, counted(len(each))))
    return Table(
        "Curvature of the loss along FGSM's step: median and mean over test images, and the mean"
        " norm of the gradient; all are means ± standard deviations over seeds. The interval is"
        " that of the median's mean over seeds (Student's t); one seed has none.",
        (Column("method", "Method"), *columns, Column("seeds", "Seeds", "count")),
        tuple(rows),
        (f"{FOOTNOTE}.",) if smoothed else (),
    )


def _curvature(views: Views) -> Floats:
    """Of the images that have one."""
    bends = views.curvature.astype(np.float64)
    return bends[np.isfinite(bends)]
