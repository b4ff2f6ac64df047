"""t-SNE maps of what models make of test images, with numbers that need no map.

A t-SNE map keeps neighbourhoods and not distances, so what is claimed about nearness is measured in
the space itself and printed under each map.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import joblib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.cohorts import Cohort, Group, Run
from regmix_bench.analysis.words import threat_words
from regmix_bench.methods.declarations import true_class_mass
from regmix_bench.records import paths
from regmix_bench.reporting.figures.captions import ends, extreme, plain, protocol
from regmix_bench.reporting.figures.choice import choice, unrecorded
from regmix_bench.reporting.figures.embedding import (
    NEIGHBOURS,
    Points,
    displacement,
    distance_to_truth,
    embed,
    neighbourhood,
)
from regmix_bench.reporting.figures.looks import Look
from regmix_bench.reporting.figures.map_panels import MapPanel, draw_maps
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.venues import Style
from regmix_bench.reporting.formats.cells import fixed
from regmix_bench.reporting.values import Cell, Column, Table, averaged, counted

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

_SMOOTHED = "*"


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddingMap(ReportFigure):
    """t-SNE maps of one quantity of the recorded outputs, which a subclass names.

    A picture per cohort that has recorded outputs, with a map per label, of its lowest seed.
    ``sources`` are the files of the outputs by label.
    """

    suffixes = (*ReportFigure.suffixes, ".points.csv")
    #: Which columns of the recorded outputs.
    quantity: ClassVar[Literal["probs", "features"]]
    #: What is measured beside neighbourhoods: its column, its name, and the function.
    measure: ClassVar[str]
    measured: ClassVar[str]
    measuring: ClassVar[staticmethod[[Points], float]]
    #: Whether the one-hot truth is on the map.
    with_truth: ClassVar[bool]
    #: What is said of labels that were trained towards smoothed labels.
    footnote: ClassVar[str] = ""
    #: Words of the caption, and the caption of the table.
    space: ClassVar[str]
    reading: ClassVar[str]
    table_caption: ClassVar[str]

    looks: Mapping[str, Look]
    sources: Mapping[str, Path]
    attack: str
    classes: tuple[str, ...]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for cohort in contents.cohorts:
            there = {g.label: runs[0] for g in cohort.groups if (runs := _with_outputs(g))}
            if not there:
                continue
            chosen = choice(contents, cohort, list(there))
            drawn = {label: there[label] for label in chosen.labels}
            frame = cls._frame(cohort, drawn)
            attack = f"PGD-{cohort.setting.scoring.pgd_steps}"
            beside = " together with the one-hot truth" if cls.with_truth else ""
            absent = unrecorded(contents, cohort, there)
            recorded = cls.space.split()[-1]
            means = (
                frame.drop_duplicates("label").set_index("label")[f"{cls.measure}_mean"].dropna()
            )
            said = extreme(
                {str(label): float(mean) for label, mean in means.items()},
                contents.looks,
                contents.standings_in(cohort),
                f"has the least {cls.measured.lower()},",
                plain,
                least=True,
            )
            caption = (
                f"{said or 'Nothing is measured'}; {ends(cohort)}. "
                f"t-SNE of {cls.space} on clean and {attack} test images{beside}, trained and"
                f" attacked under {threat_words(cohort.train_threat)}, lowest seed. {cls.reading}"
                f"{' ' * bool(chosen.words)}{chosen.words}"
                + (f" No {recorded} are recorded of {absent}." if absent else "")
            )
            yield cls(
                subject=cohort.stem,
                frame=frame,
                caption=caption,
                table=cls._table(frame),
                protocol=protocol(cohort),
                looks=contents.looks,
                sources={label: paths.outputs_path(run.path) for label, run in drawn.items()},
                attack=attack,
                classes=cohort.setting.classes,
            )

    @classmethod
    def _frame(cls, cohort: Cohort, drawn: Collection[str]) -> pd.DataFrame:
        """Return one row per label and seed: the measures, their means, and which seed is drawn."""
        found = [
            (group, run, place == 0 and group.label in drawn)
            for group in cohort.groups
            for place, run in enumerate(_with_outputs(group))
        ]
        with ThreadPoolExecutor(joblib.cpu_count()) as pool:  # NumPy lets others work meanwhile
            measured = list(pool.map(cls._measures, [run for _, run, _ in found]))
        frame = pd.DataFrame(
            {
                **cohort.csv_columns,
                "method": group.method,
                "label": group.label,
                "seed": run.spec.seed,
                "drawn": is_drawn,
                **measures,
            }
            for (group, run, is_drawn), measures in zip(found, measured, strict=True)
        )
        for name in (cls.measure, "purity", "silhouette"):
            frame[f"{name}_mean"] = frame.groupby("label")[name].transform("mean")
        return frame

    @classmethod
    def _measures(cls, run: Run) -> dict[str, object]:
        """Return what is measured of one run, rounded, and what else its row says."""
        points = Points.read(paths.outputs_path(run.path), cls.quantity)
        near = neighbourhood(points.adversarial, points.labels)
        measures = {cls.measure: cls.measuring(points), **near}
        rounded = {name: round(value, 6) for name, value in measures.items()}
        return {"n_images": len(points.labels), **cls._facts(run, points), **rounded}

    @classmethod
    def _facts(cls, run: Run, points: Points) -> dict[str, object]:
        """Return what a row says besides its measures."""
        return {}

    @classmethod
    def _table(cls, frame: pd.DataFrame) -> Table:
        columns = (
            Column(cls.measure, cls.measured, "mean"),
            Column("purity", f"{NEIGHBOURS}-NN purity", "mean"),
            Column("silhouette", "Silhouette", "mean"),
        )
        rows = []
        for label, seeds in frame.groupby("label", sort=False):
            star = _SMOOTHED if _smoothed(seeds) else ""
            cells = [averaged(Stat.of(seeds[c.id].dropna()), decimals=3) for c in columns]
            rows.append((Cell(str(label), signs=star), *cells, counted(len(seeds))))
        header = (Column("method", "Method"), *columns, Column("seeds", "Seeds", "count"))
        notes = (f"{cls.footnote}.",) if _smoothed(frame) else ()
        return Table(cls.table_caption, header, tuple(rows), notes)

    @cached_property
    def panels(self) -> tuple[MapPanel, ...]:
        """The map of each label, with the measures of the seed drawn."""
        panels = []
        for label, source in self.sources.items():
            rows = self.frame[self.frame["drawn"] & (self.frame["label"] == label)]
            row, star = rows.iloc[0], _SMOOTHED if _smoothed(rows) else ""
            numbers = (
                f"{self.measured.lower()} {row[self.measure]:.2f}{star}\n"
                f"{NEIGHBOURS}-NN purity {row['purity']:.2f}\n"
                f"silhouette {fixed(row['silhouette'], 2)}"
            )
            points = Points.read(source, self.quantity)
            truth = (np.eye(points.clean.shape[1]),) if self.with_truth else ()
            mapped = embed(points.clean, points.adversarial, *truth)
            panels.append(MapPanel(label, numbers, points.labels, *mapped))
        return tuple(panels)

    def points(self) -> pd.DataFrame:
        return pd.concat((panel.frame for panel in self.panels), ignore_index=True)

    def draw(self, style: Style) -> Figure:
        """Return one map per label, with the measures of the seed drawn under it."""
        titles = [self.looks[panel.label].name for panel in self.panels]
        footnote = self.footnote if _smoothed(self.frame[self.frame["drawn"]]) else ""
        return draw_maps(
            titles, self.panels, self.attack, self.classes, style, self.protocol, footnote
        )


class OutputMap(EmbeddingMap):
    """A map of softmax outputs, relative to the truth."""

    name = "tsne"
    quantity = "probs"
    measure, measured, measuring = "distance", "Distance to truth", staticmethod(distance_to_truth)
    with_truth = True
    footnote = (
        f"{_SMOOTHED} trained towards smoothed labels, which hold its outputs away from the one-hot"
        " truth: its distance is not comparable"
    )
    space = "softmax outputs"
    reading = "Colours are the true classes."
    table_caption = "Adversarial outputs in probability space, mean over seeds."

    @classmethod
    def _facts(cls, run: Run, points: Points) -> dict[str, object]:
        return {"true_class_mass": true_class_mass(run.spec)}


class FeatureMap(EmbeddingMap):
    """A map of penultimate features.

    They have no unit of their own, so all that is measured of them stays the same when they are
    scaled, and smoothed labels leave it comparable.
    """

    name = "features"
    quantity = "features"
    measure, measured, measuring = "displacement", "Displacement", staticmethod(displacement)
    with_truth = False
    space = "penultimate features"
    reading = (
        "Colours and numbers name the true classes; what is measured below is so on the features,"
        " not on the map."
    )
    table_caption = (
        "Penultimate features under attack, mean over seeds. Displacement is how far the attack"
        " moves an image, in units of the mean distance between two clean images."
    )

    @classmethod
    def _facts(cls, run: Run, points: Points) -> dict[str, object]:
        return {"n_features": points.clean.shape[1]}


def _with_outputs(group: Group) -> list[Run]:
    return [run for run in group.runs if paths.outputs_path(run.path).is_file()]


def _smoothed(rows: pd.DataFrame) -> bool:
    return "true_class_mass" in rows and bool((rows["true_class_mass"] < 1).any())
