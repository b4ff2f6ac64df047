"""Robust accuracy class by class: a mean may hide a class that an attack breaks nearly always."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.verdicts import Outcomes
from regmix_bench.analysis.words import threat_words
from regmix_bench.data.sources import class_name
from regmix_bench.records.accuracies import attack_words
from regmix_bench.reporting.figures.style import (
    HEAT,
    Look,
    Picture,
    applied,
    brief,
    heat_map,
    ink,
    legend_handles,
    legend_inches,
    widest,
)
from regmix_bench.reporting.formats.cells import fixed

#: Classes beyond which there is a curve per method instead of a number per class.
MOST_COLUMNS = 12
_CELL_INCHES = 0.42


def pictures(
    blocks: Sequence[Block], outcomes: Mapping[str, Outcomes], looks: Mapping[str, Look]
) -> tuple[Picture, ...]:
    """A figure per block that has outcomes per image."""
    found = []
    for block in blocks:
        frame = class_frame(block, outcomes[block.stem])
        if frame.empty:
            continue
        attack = attack_words(block.cohort.setting.scoring)
        images = frame.drop_duplicates("class")["images"]
        many = f"{images.min():,}" + (f" to {images.max():,}" if images.nunique() > 1 else "")
        shown = f"{attack} accuracy (%) per class under {threat_words(block.eval_threat)}"
        if len(images) > MOST_COLUMNS:
            drawn = partial(draw_curves, frame, looks, attack)
            how = "the classes of each method are sorted by their accuracy, the worst first"
        else:
            drawn = partial(draw_map, frame, block.cohort.setting.dataset)
            how = "the worst classes of each method are framed"
        caption = f"{shown}, means over seeds; {how}. {many} test images a class."
        found.append(Picture(f"classes-{block.cohort.stem}", frame, drawn, caption))
    return tuple(found)


def class_frame(block: Block, outcomes: Outcomes) -> pd.DataFrame:
    """One row per label and class: robust accuracy (0 to 1), mean over ``n`` seeds.

    ``worst`` marks a label's classes of the lowest accuracy.
    """
    classes, images = np.unique(outcomes.labels, return_counts=True)
    rows = []
    for row in block.rows:
        if row.label not in outcomes.rights:
            continue
        rights = outcomes.rights[row.label]
        shares = [float(rights[:, outcomes.labels == k].mean()) for k in classes]
        for k, count, share in zip(classes, images, shares, strict=True):
            rows.append(
                {
                    **block.cohort.csv_columns,
                    "eval_norm": block.eval_threat.norm,
                    "eval_epsilon": str(block.eval_threat.epsilon),
                    "checkpoint": block.checkpoint,
                    "method": row.group.method,
                    "label": row.label,
                    "class": int(k),
                    "images": int(count),
                    "accuracy": share,
                    "worst": share == min(shares),
                    "n": len(rights),
                }
            )
    return pd.DataFrame(rows)


def draw_map(frame: pd.DataFrame, dataset: str) -> Figure:
    """Methods by classes with the numbers in the cells, and apart from them mean and worst."""
    labels = list(dict.fromkeys(frame["label"]))
    table = frame.pivot(index="label", columns="class", values="accuracy").loc[labels]
    shares = 100 * table.to_numpy(float)
    images = frame.drop_duplicates("class").set_index("class").loc[table.columns, "images"]
    mean = np.average(shares, axis=1, weights=images.to_numpy())
    gap = np.full(len(labels), np.nan)
    cells = np.column_stack([shares, gap, mean, shares.min(axis=1)])
    texts = [["" if np.isnan(x) else fixed(x) for x in line] for line in cells]
    with applied():
        names = [brief(label, 40, lines=1) for label in labels]
        name = 0.075 * widest(names)
        heads = [class_name(dataset, int(k)) for k in table.columns]
        named = heads != [str(k) for k in table.columns]
        head = 0.3 + 0.05 * widest(heads) if named else 0.48
        size = (
            name + 0.3 + _CELL_INCHES * (cells.shape[1] - 0.6),
            0.62 * _CELL_INCHES * len(labels) + head + 0.12,
        )
        figure = Figure(figsize=size)
        axes = figure.subplots()
        figure.subplots_adjust(
            left=(name + 0.15) / size[0],
            right=1 - 0.1 / size[0],
            bottom=0.1 / size[1],
            top=1 - head / size[1],
        )
        shades = heat_map(axes, cells, texts, HEAT, Normalize(0, 100))
        axes.set_aspect("auto")
        for row, column in np.argwhere(shares == shares.min(axis=1, keepdims=True)):
            edge = ink(shades[row, column])
            corner = (column - 0.44, row - 0.42)
            axes.add_patch(Rectangle(corner, 0.88, 0.84, fill=False, edgecolor=edge, lw=0.9))
        classes = len(table.columns)
        axes.xaxis.tick_top()
        places = [*range(classes), classes + 1, classes + 2]
        axes.set_xticks(places, [*heads, "all", "worst"])
        axes.set_yticks(range(len(labels)), names)
        if named:
            for text in axes.get_xticklabels():
                text.set(rotation=40, rotation_mode="anchor", ha="left")
        else:
            axes.text((classes - 1) / 2, 1 + 0.26 / (size[1] - 0.58), "class", ha="center",
                      transform=axes.get_xaxis_transform())  # fmt: skip
    return figure


def draw_curves(frame: pd.DataFrame, looks: Mapping[str, Look], attack: str) -> Figure:
    """One line per label over its classes, the worst class first."""
    with applied():
        figure = Figure(
            figsize=(3.9 + legend_inches(set(frame["label"])), 3.3), layout="constrained"
        )
        axes = figure.subplots()
        for number, (label, mine) in enumerate(frame.groupby("label", sort=False)):
            shares = 100 * np.sort(mine["accuracy"].to_numpy(float))
            look = looks[str(label)]
            every = max(1, len(shares) // 6)
            start = number * every // max(1, frame["label"].nunique())
            marks: dict[str, Any] = {
                "markevery": (start, every),
                "linewidth": 1.0,
                "clip_on": False,
            }
            axes.plot(range(1, len(shares) + 1), shares, look.line, **marks, **look.marks)
        axes.set(
            xlim=(1, frame["class"].nunique()),
            ylim=(0, 100),
            xlabel="classes, each method's worst first",
            ylabel=f"{attack} accuracy (%)",
        )
        figure.legend(
            handles=legend_handles(looks, set(frame["label"]), lines=True),
            loc="outside right center",
            handlelength=3.2,
        )
    return figure
