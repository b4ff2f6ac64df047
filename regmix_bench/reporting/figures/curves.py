"""Robust accuracy against ε, and training curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby, product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.analysis.words import norm_words, threat_words
from regmix_bench.records.accuracies import attack_words, robust_metric
from regmix_bench.reporting.figures.style import (
    GREY,
    Look,
    Picture,
    applied,
    brief,
    legend_handles,
    legend_inches,
)
from regmix_bench.types import NORMS, Epsilon

COLUMNS = 5
#: Seeds beyond which a method has the band they lie in instead of a line each.
MOST_LINES = 12
#: Evaluation ε beyond which an axis has round ticks instead of one each.
MOST_TICKS = 8


def pictures(
    cohorts: Sequence[Cohort], blocks: Sequence[Block], looks: Mapping[str, Look]
) -> list[Picture]:
    """Every figure of this module that the cohorts and their blocks have numbers for."""
    found = []
    for stem, members in groupby(blocks, key=lambda block: block.cohort.setting_stem):
        here = list(members)
        frame = robustness_frame(here)
        if not frame.empty:
            attacks = " and ".join(frame["attack"].unique())
            found.append(
                Picture(
                    f"robustness-vs-epsilon-{stem}",
                    frame,
                    partial(draw_robustness, frame, looks),
                    f"{attacks} accuracy of the selected checkpoint against the evaluation ε."
                    " ε = 0 is clean accuracy, bars are one standard deviation over seeds, the"
                    " dotted line is the training ε. Points of one ε are set side by side, so that"
                    " none hides another.",
                )
            )
    for cohort in cohorts:
        frame = curves_frame(cohort)
        if not frame.empty:
            found.append(
                Picture(
                    f"curves-{cohort.stem}",
                    frame,
                    partial(draw_curves, frame, looks),
                    f"Training under {threat_words(cohort.train_threat)}: validation accuracy,"
                    " clean and under PGD-10, mean over seeds with the single seeds behind it"
                    f"{_banded(frame)}.",
                )
            )
    return found


def robustness_frame(blocks: Iterable[Block]) -> pd.DataFrame:
    """One row per training threat, attack, label and evaluation ε, with accuracies 0 to 1.

    ε = 0 is clean accuracy.
    """
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    selected = (block for block in blocks if block.checkpoint == "selected")
    for (stem, norm), members in groupby(selected, lambda b: (b.cohort.stem, b.eval_threat.norm)):
        here = list(members)
        for (metric, attack), block in product(_attacks(here).items(), here):
            for row in block.rows:
                if metric not in row.metrics:
                    continue
                for epsilon, name in (
                    ("0", "clean_acc"),
                    (str(block.eval_threat.epsilon), metric),
                ):
                    stat = row.metrics[name]
                    rows[stem, norm, attack, row.label, epsilon] = {
                        **block.cohort.csv_columns,
                        "eval_norm": norm,
                        "eval_epsilon": epsilon,
                        "attack": attack,
                        "method": row.group.method,
                        "label": row.label,
                        "mean": stat.mean,
                        "std": stat.std,
                        "n": stat.n,
                    }
    return pd.DataFrame(list(rows.values()))


def _attacks(blocks: Sequence[Block]) -> dict[str, str]:
    """The metrics to draw, and their names: PGD's where it was asked at more ε than AutoAttack."""
    scoring = blocks[0].cohort.setting.scoring
    robust = robust_metric(scoring)
    found = {robust: attack_words(scoring)}
    if not all(any(robust in row.metrics for row in block.rows) for block in blocks):
        found["pgd_acc"] = f"PGD-{scoring.pgd_steps}"
    return found


def draw_robustness(frame: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """One panel per training threat, evaluation norm and attack, one line per label."""
    panels = list(frame.groupby(["train_norm", "train_epsilon", "eval_norm", "attack"], sort=False))
    shown, attacks = set(frame["label"]), frame["attack"].unique()
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    with applied():
        figure = Figure(
            figsize=(3.1 * columns + legend_inches(shown), 3.4 * rows), layout="constrained"
        )
        axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        for axis in axes[len(panels) :]:
            axis.remove()
        for axis, (key, panel) in zip(axes, panels, strict=False):
            norm, epsilon, eval_norm, attack = map(str, key)
            unit = NORMS[eval_norm].unit
            ticks = sorted({_value(text) * unit for text in panel["eval_epsilon"]})
            lines = list(panel.groupby("label", sort=False))
            # Side by side: many methods differ by less than their markers are high.
            room = 0.007 * len(lines) * np.diff(ticks).min() * (len(lines) > 1)
            beside = np.linspace(-1, 1, len(lines)) * room
            for shift, (label, line) in zip(beside, lines, strict=True):
                _draw_line(axis, line, looks[str(label)], unit, shift)
            if len(ticks) <= MOST_TICKS:
                axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
            if norm == eval_norm:
                axis.axvline(_value(epsilon) * unit, color=GREY, linestyle=":", linewidth=0.8)
            by = f",\nattacked by {attack}" if len(attacks) > 1 else ""
            axis.set_title(f"trained under {norm_words(norm)} {epsilon}{by}")
            counted = f", 1/{unit}" if unit > 1 else ""
            axis.set_xlabel(f"evaluation ε ({norm_words(eval_norm)}{counted})")
        for axis in axes[: len(panels) : columns]:
            axis.set_ylabel(f"{attacks[0]} accuracy (%)" if len(attacks) == 1 else "accuracy (%)")
        axes[0].set_ylim(-2, 102)
        figure.legend(
            handles=legend_handles(looks, shown, lines=True),
            loc="outside right center",
            handlelength=3.2,
        )
    return figure


def curves_frame(cohort: Cohort) -> pd.DataFrame:
    """One row per label, seed and epoch: validation accuracies (0 to 1), and their means."""
    rows = [
        {
            **cohort.csv_columns,
            "method": group.method,
            "label": group.label,
            "seed": run.spec.seed,
            "epoch": log.epoch,
            "val_clean_acc": log.val_clean_acc,
            "val_pgd_acc": log.val_pgd_acc,
            "selected": log.epoch == run.record.selected_epoch,
            "alarm": "; ".join(a.kind for a in run.record.alarms if a.epoch == log.epoch),
        }
        for group in cohort.groups
        for run in group.runs
        for log in run.record.history
    ]
    frame = pd.DataFrame(rows)
    if not frame.empty:
        over_seeds = frame.groupby(["label", "epoch"])
        for name in ("val_clean_acc", "val_pgd_acc"):
            frame[f"{name}_mean"] = over_seeds[name].transform("mean")
    return frame


def _banded(frame: pd.DataFrame) -> str:
    if frame.groupby("label")["seed"].nunique().max() <= MOST_LINES:
        return ""
    return f", or the band they lie in where there are more than {MOST_LINES}"


def draw_curves(frame: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """One small panel per label, all on the same axes."""
    with applied():
        labels = [str(label) for label in frame["label"].unique()]
        figure, axes = grid(labels, height=1.45, shared=True)
        end = max(2, int(frame["epoch"].max())) + 0.5
        locator = MaxNLocator(5, integer=True, steps=(1, 2, 2.5, 5, 10))
        ticks = [tick for tick in locator.tick_values(0, end) if tick <= end]
        axes[0].set(xlim=(0, end), ylim=(0, 102), yticks=range(0, 101, 25))
        axes[0].set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        for axis, label in zip(axes, labels, strict=True):
            _draw_curve(axis, frame[frame["label"] == label], looks[label].colour)
        figure.supylabel("validation accuracy (%)", x=0.05 / figure.get_figwidth(), fontsize=8)
        handles = [
            Line2D([], [], color=GREY, linestyle="--", label="clean"),
            Line2D([], [], color=GREY, label="PGD-10"),
            Line2D([], [], color=GREY, marker="o", linestyle="", label="selected epoch"),
        ]
        if (frame["alarm"] != "").any():
            alarm = Line2D([], [], color="black", marker="x", linestyle="", label="alarm")
            handles.append(alarm)
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def grid(titles: Sequence[str], height: float, shared: bool) -> tuple[Figure, list[Axes]]:
    """Equal panels under their titles, up to :data:`COLUMNS` a row, ``height`` inches each.

    ``shared`` axes carry their tick labels at the left and at the foot of each column.
    """
    panels = len(titles)
    rows = math.ceil(panels / COLUMNS)
    columns = math.ceil(panels / rows)  # so that no row is left nearly empty
    brief_titles = [brief(title, 26) for title in titles]
    second = 0.12 * any("\n" in title for title in brief_titles)  # inches of a second line
    size = (max(1.75 * columns + 0.3, 4.2), (height + second) * rows + 0.7)
    figure = Figure(figsize=size, layout=None if shared else "constrained")
    axes = list(figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).flat)
    for axis in axes[panels:]:
        axis.remove()
    for axis, title in zip(axes, brief_titles, strict=False):
        axis.set_title(title)
    if shared:
        # All that stands around such panels has a known size, and a solver takes its time.
        figure.subplots_adjust(
            **{"left": 0.6 / size[0], "right": 1 - 0.1 / size[0], "wspace": 0.1},
            **{
                "bottom": 0.72 / size[1],
                "top": 1 - (0.22 + second) / size[1],
                "hspace": 0.28 + second,
            },
        )
        for axis in axes[panels - columns : panels]:
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("epoch")
    return figure, axes[:panels]


def _draw_line(axis: Axes, line: pd.DataFrame, look: Look, unit: int, shift: float) -> None:
    x = np.array([_value(text) for text in line["eval_epsilon"]]) * unit
    order = np.argsort(x)
    axis.errorbar(
        x[order] + shift,
        100 * line["mean"].to_numpy(float)[order],
        yerr=100 * line["std"].astype(float).fillna(0.0).to_numpy(float)[order],
        linestyle=look.line,
        elinewidth=0.8,
        **look.marks,
    )


def _draw_curve(axis: Axes, panel: pd.DataFrame, colour: str) -> None:
    mean = panel.drop_duplicates("epoch").sort_values("epoch")
    for name, line in (("val_clean_acc", "--"), ("val_pgd_acc", "-")):
        seeds = 100 * panel.pivot(index="epoch", columns="seed", values=name)
        if seeds.shape[1] > MOST_LINES:
            low, high = seeds.min(axis=1), seeds.max(axis=1)
            axis.fill_between(seeds.index, low, high, color=colour, alpha=0.2, linewidth=0)
        else:
            single = list(np.stack(np.broadcast_arrays(seeds.index, seeds.to_numpy().T), axis=-1))
            axis.add_collection(
                LineCollection(single, colors=colour, linestyles=line, alpha=0.3, linewidths=0.6)
            )
        axis.plot(mean["epoch"], 100 * mean[f"{name}_mean"], line, color=colour)
    chosen = panel[panel["selected"]]
    axis.plot(
        chosen["epoch"], 100 * chosen["val_pgd_acc"], "o", color=colour, ms=4.5, clip_on=False
    )
    alarmed = panel[panel["alarm"] != ""]
    axis.plot(alarmed["epoch"], 100 * alarmed["val_pgd_acc"], "x", color="black", zorder=3)


def _value(epsilon: str) -> float:
    return 0.0 if epsilon == "0" else float(Epsilon(epsilon))
