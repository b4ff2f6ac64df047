"""Where softmax outputs lie relative to the truth: t-SNE maps, and numbers that need no map.

A t-SNE map keeps neighbourhoods and not distances, so what is claimed about nearness is measured in
the space of the probabilities and printed under each map.
"""

from __future__ import annotations

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
    Floats,
    Labels,
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

_SMOOTHED = "*"
_FOOTNOTE = (
    f"{_SMOOTHED} trained towards smoothed labels, which hold its outputs away from the one-hot"
    " truth: its distance is not comparable"
)


def distance_to_truth(probabilities: Floats, labels: Labels) -> float:
    """Mean L2 distance from each output (N, K) to the one-hot vector of its label: 0 to √2."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(np.linalg.norm(probabilities - truth, axis=1).mean())


def measures(outputs: Points) -> dict[str, float]:
    """The numbers under a map, all of the adversarial outputs in probability space."""
    return {
        "distance": distance_to_truth(outputs.adversarial, outputs.labels),
        **neighbourhood(outputs.adversarial, outputs.labels),
    }


def pictures(cohorts: Sequence[Cohort]) -> list[Picture]:
    """A picture per cohort that has recorded outputs."""
    found = []
    for cohort in cohorts:
        drawn = {g.label: runs[0] for g in cohort.groups if (runs := with_outputs(g))}
        if not drawn:
            continue
        frame = tsne_frame(cohort)
        absent = ", ".join(g.label for g in cohort.groups if g.label not in drawn)
        caption = (
            f"t-SNE of softmax outputs on clean and PGD-{cohort.setting.scoring.pgd_steps} test"
            f" images together with the one-hot truth, trained and attacked under"
            f" {threat_words(cohort.train_threat)}, lowest seed. Colours are the true classes."
            + (f" No outputs are recorded of {absent}." if absent else "")
        )
        picture = partial(draw, frame, drawn)
        found.append(Picture(f"tsne-{cohort.stem}", frame, picture, caption, _table(frame), MAPPED))
    return found


def tsne_frame(cohort: Cohort) -> pd.DataFrame:
    """One row per label and seed: the measures, their means over seeds, and which seed is drawn."""
    rows = []
    for group in cohort.groups:
        runs = with_outputs(group)
        for run in runs:
            outputs = Points.read(paths.outputs_path(run.path), "probs")
            mass = run.spec.method.params.get("true_class_mass", 1.0)
            rows.append(
                {
                    **cohort.csv_columns,
                    "method": group.method,
                    "label": group.label,
                    "seed": run.spec.seed,
                    "drawn": run is runs[0],
                    "n_images": len(outputs.labels),
                    "true_class_mass": mass,
                    **{name: round(value, 6) for name, value in measures(outputs).items()},
                }
            )
    frame = pd.DataFrame(rows)
    if not frame.empty:
        for name in ("distance", "purity", "silhouette"):
            frame[f"{name}_mean"] = frame.groupby("label")[name].transform("mean")
    return frame


def draw(frame: pd.DataFrame, runs: Mapping[str, Run]) -> Drawn:
    """One map per label, with the measures of the seed drawn under it."""
    first = next(iter(runs.values())).spec
    drawn = frame[frame["drawn"]]
    panels = []
    for row in drawn.to_dict("records"):
        outputs = Points.read(paths.outputs_path(runs[row["label"]].path), "probs")
        star = _SMOOTHED if row["true_class_mass"] < 1 else ""
        numbers = (
            f"distance to truth {row['distance']:.2f}{star}\n"
            f"{NEIGHBOURS}-NN purity {row['purity']:.2f}\nsilhouette {fixed(row['silhouette'], 2)}"
        )
        truth = np.eye(outputs.clean.shape[1])
        mapped = embed(outputs.clean, outputs.adversarial, truth)
        panels.append(Panel(row["label"], numbers, outputs.labels, *mapped))
    smoothed = bool((drawn["true_class_mass"] < 1).any())
    return draw_maps(
        panels, f"PGD-{first.scoring.pgd_steps}", first.dataset, _FOOTNOTE if smoothed else ""
    )


def _table(frame: pd.DataFrame) -> Table:
    columns = (
        Column("distance", "Distance to truth", "mean"),
        Column("purity", f"{NEIGHBOURS}-NN purity", "mean"),
        Column("silhouette", "Silhouette", "mean"),
    )
    rows = []
    for label, seeds in frame.groupby("label", sort=False):
        star = _SMOOTHED if (seeds["true_class_mass"] < 1).any() else ""
        cells = [averaged(Stat.of(seeds[c.id].dropna()), decimals=3) for c in columns]
        rows.append((Cell(str(label), signs=star), *cells, counted(len(seeds))))
    header = (Column("method", "Method"), *columns, Column("seeds", "Seeds", "count"))
    notes = (f"{_FOOTNOTE}.",) if (frame["true_class_mass"] < 1).any() else ()
    return Table(
        "Adversarial outputs in probability space, mean over seeds.", header, tuple(rows), notes
    )
