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

from regmix_bench.reporting.blocks import Cohort
from regmix_bench.reporting.style import GREY, Look, Picture, applied
from regmix_bench.reporting.tables import describe, threat_words
from regmix_bench.types import Epsilon, ThreatModel

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
                    "AutoAttack accuracy of the selected checkpoint against the evaluation ε; ε = 0 is"
                    " clean accuracy, bars are one standard deviation over seeds, the dotted line is"
                    " the training ε.",
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
                    f"Training under {threat_words(cohort.train_threat)}: validation accuracy, clean and"
                    " under PGD-10, mean over seeds with the single seeds behind it.",
                )
            )
    return found


def robustness_frame(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """One row per training threat, label and evaluation ε, ε = 0 being clean accuracy (0 to 1)."""
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for cohort in cohorts:
        for block in cohort.blocks:
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
        for axis, ((norm, epsilon, eval_norm), panel) in zip(axes, panels, strict=True):
            threat = ThreatModel(norm, epsilon)
            unit = 255 if eval_norm == "Linf" else 1
            for label, line in panel.groupby("label", sort=False):
                x = np.array([_value(text) for text in line["eval_epsilon"]]) * unit
                order = np.argsort(x)
                look = looks[str(label)]
                axis.errorbar(
                    x[order],
                    100 * line["mean"].to_numpy(float)[order],
                    yerr=100 * line["std"].fillna(0).to_numpy(float)[order],
                    color=look.colour,
                    marker=look.marker,
                    linestyle=look.line,
                    elinewidth=0.8,
                    markeredgecolor="white",
                    markeredgewidth=0.4,
                )
            if norm == eval_norm:
                axis.axvline(float(threat.epsilon) * unit, color=GREY, linestyle=":", linewidth=0.8)
            axis.set_title(f"trained under {threat_words(threat)}")
            axis.set_xlabel("evaluation ε (L∞, 1/255)" if unit == 255 else "evaluation ε (L2)")
            axis.set_xlim(left=0)
            axis.set_ylim(bottom=0)
        axes[0].set_ylabel("AutoAttack accuracy (%)")
        shown = set(frame["label"])
        figure.legend(
            handles=[_handle(look, label) for label, look in looks.items() if label in shown],
            loc="outside right center",
            handlelength=3.2,
        )
    return figure


def curves_frame(cohort: Cohort) -> pd.DataFrame:
    """One row per label, seed and epoch: validation accuracies (0 to 1) and their means over seeds."""
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
        labels = list(frame["label"].unique())
        figure, axes = grid(len(labels), height=1.45)
        for axis, label in zip(axes, labels, strict=False):
            _draw_curve(axis, frame[frame["label"] == label], looks[label].colour)
            axis.set_title(label)
        for axis in axes[: len(labels)]:
            axis.set_ylim(0, 100)
            axis.set_xlim(1, max(2, frame["epoch"].max()))
            axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        figure.supxlabel("epoch")
        figure.supylabel("validation accuracy (%)")
        figure.legend(
            handles=[
                Line2D([], [], color=GREY, linestyle="--", label="clean"),
                Line2D([], [], color=GREY, label="PGD-10"),
                Line2D([], [], color=GREY, marker="o", linestyle="", label="selected epoch"),
                Line2D([], [], color="black", marker="x", linestyle="", label="overfitting alarm"),
            ],
            loc="outside lower center",
            ncols=4,
        )
    return figure


def grid(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """Equal panels in rows of :data:`COLUMNS`; spare places stay empty. ``height`` in inches."""
    columns = min(COLUMNS, panels)
    rows = math.ceil(panels / columns)
    size = (max(1.75 * columns + 0.3, 4.2), height * rows + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axis in axes[panels:]:
        axis.remove()
    for axis in axes[max(0, panels - columns) : panels]:
        axis.tick_params(labelbottom=True)
    return figure, axes[:panels]


def _draw_curve(axis: Axes, panel: pd.DataFrame, colour: str) -> None:
    for name, line in (("val_clean_acc", "--"), ("val_pgd_acc", "-")):
        for _, seed in panel.groupby("seed"):
            axis.plot(seed["epoch"], 100 * seed[name], line, color=colour, alpha=0.3, linewidth=0.6)
        mean = panel.drop_duplicates("epoch").sort_values("epoch")
        axis.plot(mean["epoch"], 100 * mean[f"{name}_mean"], line, color=colour)
    chosen = panel[panel["selected"]]
    axis.plot(chosen["epoch"], 100 * chosen["val_pgd_acc"], "o", color=colour, markersize=4)
    alarmed = panel[panel["alarm"] != ""]
    axis.plot(alarmed["epoch"], 100 * alarmed["val_pgd_acc"], "x", color="black", zorder=3)


def _value(epsilon: str) -> float:
    return 0.0 if epsilon == "0" else float(Epsilon(epsilon))


def _handle(look: Look, label: str) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.line, label=label)
