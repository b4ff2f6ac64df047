"""Where penultimate features lie: t-SNE maps, and numbers that need no map.

Features have no unit of their own, so all that is measured of them stays the same when they are
scaled, and smoothed labels leave it comparable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.cohorts import Cohort, Run
from regmix_bench.analysis.words import threat_words
from regmix_bench.records import paths
from regmix_bench.reporting.figures.maps import (
    NEIGHBOURS,
    Panel,
    Points,
    draw_maps,
    embed,
    neighbourhood,
    with_outputs,
)
from regmix_bench.reporting.figures.style import MAPPED, Drawn, Picture
from regmix_bench.reporting.formats.cells import fixed
from regmix_bench.reporting.values import Cell, Column, Table, averaged, counted


def pictures(cohorts: Sequence[Cohort]) -> list[Picture]:
    """A picture per cohort that has recorded features."""
    found = []
    for cohort in cohorts:
        drawn = {g.label: runs[0] for g in cohort.groups if (runs := with_outputs(g))}
        if not drawn:
            continue
        frame = features_frame(cohort)
        steps = cohort.setting.scoring.pgd_steps
        absent = ", ".join(g.label for g in cohort.groups if g.label not in drawn)
        caption = (
            f"t-SNE of penultimate features on clean and PGD-{steps} test images, trained and"
            f" attacked under {threat_words(cohort.train_threat)}, lowest seed. Colours and numbers"
            " name the true classes; what is measured below is so on the features, not on the map."
            + (f" No features are recorded of {absent}." if absent else "")
        )
        picture = partial(draw, frame, drawn)
        found.append(
            Picture(f"features-{cohort.stem}", frame, picture, caption, _table(frame), MAPPED)
        )
    return found


def displacement(points: Points) -> float:
    """How far the attack moves an image: mean L2 distance from its clean features to the others.

    In units of the mean distance between two clean images, so that 1 is as far as from one image to
    the next at random. Not a number where all clean images coincide.
    """
    from scipy.spatial.distance import pdist

    moved = float(np.linalg.norm(points.adversarial - points.clean, axis=1).mean())
    apart = float(pdist(points.clean).mean()) if len(points.labels) > 1 else 0.0
    return moved / apart if apart else math.nan


def measures(points: Points) -> dict[str, float]:
    """The numbers under a map: the attack's displacement, and how classes lie under attack."""
    return {
        "displacement": displacement(points),
        **neighbourhood(points.adversarial, points.labels),
    }


def features_frame(cohort: Cohort) -> pd.DataFrame:
    """One row per label and seed: the measures, their means over seeds, and which seed is drawn."""
    rows = []
    for group in cohort.groups:
        runs = with_outputs(group)
        for run in runs:
            points = Points.read(paths.outputs_path(run.path), "features")
            rows.append(
                {
                    **cohort.csv_columns,
                    "method": group.method,
                    "label": group.label,
                    "seed": run.spec.seed,
                    "drawn": run is runs[0],
                    "n_images": len(points.labels),
                    "n_features": points.clean.shape[1],
                    **{name: round(value, 6) for name, value in measures(points).items()},
                }
            )
    frame = pd.DataFrame(rows)
    for name in ("displacement", "purity", "silhouette"):
        frame[f"{name}_mean"] = frame.groupby("label")[name].transform("mean")
    return frame


def draw(frame: pd.DataFrame, runs: Mapping[str, Run]) -> Drawn:
    """One map per label, with the measures of the seed drawn under it."""
    first = next(iter(runs.values())).spec
    drawn = frame[frame["drawn"]].to_dict("records")
    panels = []
    for row in drawn:
        points = Points.read(paths.outputs_path(runs[row["label"]].path), "features")
        numbers = (
            f"displacement {row['displacement']:.2f}\n"
            f"{NEIGHBOURS}-NN purity {row['purity']:.2f}\nsilhouette {fixed(row['silhouette'], 2)}"
        )
        clean, adversarial = embed(points.clean, points.adversarial)
        panels.append(Panel(row["label"], numbers, points.labels, clean, adversarial))
    return draw_maps(panels, f"PGD-{first.scoring.pgd_steps}", first.dataset)


def _table(frame: pd.DataFrame) -> Table:
    columns = (
        Column("displacement", "Displacement", "mean"),
        Column("purity", f"{NEIGHBOURS}-NN purity", "mean"),
        Column("silhouette", "Silhouette", "mean"),
    )
    rows = []
    for label, seeds in frame.groupby("label", sort=False):
        cells = [averaged(Stat.of(seeds[c.id].dropna()), decimals=3) for c in columns]
        rows.append((Cell(str(label)), *cells, counted(len(seeds))))
    return Table(
        "Penultimate features under attack, mean over seeds. Displacement is how far the attack"
        " moves an image, in units of the mean distance between two clean images.",
        (Column("method", "Method"), *columns, Column("seeds", "Seeds", "count")),
        tuple(rows),
    )
