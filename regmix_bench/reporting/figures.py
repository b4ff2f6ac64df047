"""Robust accuracy against ε, and training curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from regmix_bench.reporting.blocks import blocks_of
from regmix_bench.reporting.cohorts import Cohort
from regmix_bench.reporting.style import GREY, Look, Picture, applied
from regmix_bench.reporting.tables import describe, norm_words, threat_words
from regmix_bench.types import Epsilon

COLUMNS = 5


def pictures(cohorts: Sequence[Cohort], looks: Mapping[str, Look]) -> list[Picture]:
    """Every figure of this module that the cohorts have numbers for."""
    found = []
    for stem, members in groupby(cohorts, key=lambda cohort: cohort.setting_stem):
        frame = robustness_frame(list(members))
        if not frame.empty:
            found.append(
                Picture(
                    f"robustness-vs-epsilon-{stem}",
                    frame,
                    partial(draw_robustness, frame, looks),
                    "AutoAttack accuracy of the selected checkpoint against the evaluation ε."
                    " ε = 0 is clean accuracy, bars are one standard deviation over seeds, the"
                    " dotted line is the training ε.",
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
                    " clean and under PGD-10, mean over seeds with the single seeds behind it.",
                )
            )
    return found


def robustness_frame(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """One row per training threat, label and evaluation ε, ε = 0 being clean accuracy (0 to 1)."""
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for cohort in cohorts:
        for block in blocks_of(cohort):
            if block.checkpoint != "selected":
                continue
            for row in block.rows:
                if "autoattack_acc" not in row.metrics:
                    continue
                for epsilon, metric in (
                    ("0", "clean_acc"),
                    (str(block.eval_threat.epsilon), "autoattack_acc"),
                ):
                    stat = row.metrics[metric]
                    key = (cohort.stem, block.eval_threat.norm, row.label, epsilon)
                    rows[key] = {
                        **describe(cohort),
                        "eval_norm": block.eval_threat.norm,
                        "eval_epsilon": epsilon,
                        "method": row.group.method,
                        "label": row.label,
                        "mean": stat.mean,
                        "std": stat.std,
                        "n": stat.n,
                    }
    return pd.DataFrame(list(rows.values()))


def draw_robustness(frame: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """One panel per training threat and evaluation norm, one line per label."""
    panels = list(frame.groupby(["train_norm", "train_epsilon", "eval_norm"], sort=False))
    with applied():
        figure = Figure(figsize=(3.1 * len(panels) + 1.6, 3.4), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (key, panel) in zip(axes, panels, strict=True):
            norm, epsilon, eval_norm = map(str, key)
            unit = 255 if eval_norm == "Linf" else 1
            for label, line in panel.groupby("label", sort=False):
                _draw_line(axis, line, looks[str(label)], unit)
            if norm == eval_norm:
                axis.axvline(_value(epsilon) * unit, color=GREY, linestyle=":", linewidth=0.8)
            axis.set_title(f"trained under {norm_words(norm)} {epsilon}")
            axis.set_xlabel("evaluation ε (L∞, 1/255)" if unit == 255 else "evaluation ε (L2)")
        axes[0].set_ylabel("AutoAttack accuracy (%)")
        axes[0].set_ylim(-2, 102)
        shown = set(frame["label"])
        figure.legend(
            handles=[_handle(look, label) for label, look in looks.items() if label in shown],
            loc="outside right center",
            handlelength=3.2,
        )
    return figure


def curves_frame(cohort: Cohort) -> pd.DataFrame:
    """One row per label, seed and epoch: validation accuracies (0 to 1), and their means."""
    rows = [
        {
            **describe(cohort),
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


def draw_curves(frame: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """One small panel per label, all on the same axes."""
    with applied():
        labels = [str(label) for label in frame["label"].unique()]
        figure, axes = grid(len(labels), height=1.45, shared=True)
        for axis, label in zip(axes, labels, strict=True):
            _draw_curve(axis, frame[frame["label"] == label], looks[label].colour)
            axis.set_title(label)
        axes[0].set(ylim=(0, 100), yticks=range(0, 101, 25))
        axes[0].set_xlim(0, max(2, frame["epoch"].max()) + 0.5)
        axes[0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        figure.supylabel("validation accuracy (%)", fontsize=8)
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


def grid(panels: int, height: float, shared: bool) -> tuple[Figure, list[Axes]]:
    """Equal panels, up to :data:`COLUMNS` a row, ``height`` inches each.

    ``shared`` axes carry their tick labels at the left and at the foot of each column.
    """
    columns = min(COLUMNS, panels)
    rows = math.ceil(panels / columns)
    size = (max(1.75 * columns + 0.3, 4.2), height * rows + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).flat)
    for axis in axes[panels:]:
        axis.remove()
    for axis in axes[panels - columns : panels] if shared else ():
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("epoch")
    return figure, axes[:panels]


def _draw_line(axis: Axes, line: pd.DataFrame, look: Look, unit: int) -> None:
    x = np.array([_value(text) for text in line["eval_epsilon"]]) * unit
    order = np.argsort(x)
    axis.errorbar(
        x[order],
        100 * line["mean"].to_numpy(float)[order],
        yerr=100 * line["std"].astype(float).fillna(0.0).to_numpy(float)[order],
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        elinewidth=0.8,
        markeredgecolor="white",
        markeredgewidth=0.4,
    )


def _draw_curve(axis: Axes, panel: pd.DataFrame, colour: str) -> None:
    for name, line in (("val_clean_acc", "--"), ("val_pgd_acc", "-")):
        for _, seed in panel.groupby("seed"):
            axis.plot(seed["epoch"], 100 * seed[name], line, color=colour, alpha=0.3, linewidth=0.6)
        mean = panel.drop_duplicates("epoch").sort_values("epoch")
        axis.plot(mean["epoch"], 100 * mean[f"{name}_mean"], line, color=colour)
    chosen = panel[panel["selected"]]
    axis.plot(chosen["epoch"], 100 * chosen["val_pgd_acc"], "o", color=colour, markersize=4.5)
    alarmed = panel[panel["alarm"] != ""]
    axis.plot(alarmed["epoch"], 100 * alarmed["val_pgd_acc"], "x", color="black", zorder=3)


def _value(epsilon: str) -> float:
    return 0.0 if epsilon == "0" else float(Epsilon(epsilon))


def _handle(look: Look, label: str) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.line, label=label)
