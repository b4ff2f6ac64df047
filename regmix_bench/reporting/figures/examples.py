"""Test images, what the attack adds to them, and what the models then say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.analysis.words import threat_words
from regmix_bench.data.sources import class_name
from regmix_bench.records.views import Views
from regmix_bench.reporting.figures.captions import protocol
from regmix_bench.reporting.figures.choice import choice, unrecorded
from regmix_bench.reporting.figures.looks import GREY, Look
from regmix_bench.reporting.figures.panels import HEAD, write_protocol
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.run_views import RunViews, views_by_label
from regmix_bench.reporting.figures.style import fitted
from regmix_bench.reporting.figures.venues import Style

if TYPE_CHECKING:
    from regmix_bench.reporting.contents import Contents

Floats = npt.NDArray[np.float64]

#: Images of each model; the files hold more.
SHOWN = 4
_WRONG = "#D55E00"  # and bold, for who does not see the colour

#: Inches that three images have side by side at least.
_TRIPLE = 1.35


@dataclass(frozen=True, kw_only=True, eq=False)
class ExampleImages(ReportFigure):
    """Test images, what the attack adds to them, and what the models then say.

    A picture per cohort with views of some runs: a row of images per label, lowest seed.
    """

    name = "examples"

    looks: Mapping[str, Look]
    shown: Mapping[str, Views]
    factor: float
    attack: str
    classes: tuple[str, ...]

    @classmethod
    def of(cls, contents: Contents) -> Iterator[Self]:
        for cohort in contents.cohorts:
            there = {label: runs[0] for label, runs in views_by_label(cohort).items()}
            if not there:
                continue
            chosen = choice(contents, cohort, list(there))
            drawn = {label: there[label] for label in chosen.labels}
            views = {label: run.views for label, run in drawn.items()}
            factor = magnification(list(views.values()))
            attack = f"PGD-{cohort.setting.scoring.pgd_steps}"
            threat = next(iter(views.values())).threat
            absent = unrecorded(contents, cohort, there)
            frame = examples_frame(cohort, drawn, factor)
            wrong = int((frame["adv_pred"] != frame["class"]).sum())
            caption = (
                f"{attack} turns {wrong} of {len(frame)} predictions wrong; {protocol(cohort)},"
                " lowest seed."
                f" Test images, the perturbation by {attack} under {threat_words(threat)} magnified"
                f" {factor:.3g} times around grey, and their sum; trained under"
                f" {threat_words(cohort.train_threat)}, lowest seed. Below are the predicted"
                " classes, wrong ones bold and in brackets."
                + f"{' ' * bool(chosen.words)}{chosen.words}"
                + (f" Nothing is recorded of {absent}." if absent else "")
            )
            yield cls(
                subject=cohort.stem,
                frame=frame,
                caption=caption,
                protocol=protocol(cohort),
                looks=contents.looks,
                shown=views,
                factor=factor,
                attack=attack,
                classes=cohort.setting.classes,
            )

    def draw(self, style: Style) -> Figure:
        """Return a row per label: of each image the clean one, its perturbation, and their sum."""
        first = next(iter(self.shown.values()))
        # A column of a paper has no room for names beside the images: there they stand above.
        names = 0.0 if style.narrow else 1.05
        room = style.width - names - 0.1
        count = min(len(first.label[:SHOWN]), max(1, int(room / _TRIPLE)))
        height, width = first.image.shape[2:]
        # In pixels of the images, all on one canvas: to draw each by itself would take seconds.
        step = width + max(1, width // 24)
        triple = 2 * step + width + max(4, width // 2)
        across = triple * count - (triple - 2 * step - width)
        inch = min(room / across, 0.6 / width)  # of a pixel
        line = 1.3 * style.small / 72 / inch  # a line of text, in pixels
        above = 0.0 if names else line
        row_step = round(height + line + above + 0.08 / inch)
        heads = round(2.2 * line)
        canvas = np.ones((heads + row_step * len(self.shown), across, 3))
        frames: list[Rectangle] = []
        size = (style.width, HEAD + canvas.shape[0] * inch)
        figure = Figure(figsize=size)
        write_protocol(figure, self.protocol, style)
        axis = figure.add_axes(
            (
                (names + 0.05) / size[0],
                0,
                across * inch / size[0],
                canvas.shape[0] * inch / size[1],
            )
        )
        text: dict[str, Any] = {"fontsize": style.small, "ha": "center"}
        for place, (label, views) in enumerate(self.shown.items()):
            top = heads + place * row_step + round(above)
            look = self.looks[label]
            if names:
                name = fitted(look.name, names - 0.1, style.small, lines=3)
                beside = (-0.1 / inch, top + height / 2)
                axis.text(*beside, name, ha="right", va="center", fontsize=style.small)
            else:
                name = fitted(look.name, style.width - 0.1, style.small)
                axis.text(0, top - 0.2 * line, name, ha="left", va="bottom", fontsize=style.small)
            for i in range(count):
                left = i * triple
                for part, pixels in enumerate(three(views, i, self.factor)):
                    x = left + part * step
                    canvas[top : top + height, x : x + width] = pixels
                    frames.append(Rectangle((x, top), width, height))
                for x, predicted in (
                    (left, views.clean_pred[i]),
                    (left + 2 * step, views.adv_pred[i]),
                ):
                    below = (x + width / 2, top + height + 0.1 * line)
                    said = class_name(self.classes, predicted)
                    right = predicted == views.label[i]
                    _write_prediction(axis, below, said, right, 1.2 * width * inch, style)
        for i, true in enumerate(first.label[:count]):
            name = class_name(self.classes, true)
            said = f"class {name}" if name == str(true) else name
            middle = i * triple + (2 * step + width) / 2
            head = fitted(f"{said} (×{self.factor:.3g})", triple * inch, style.small)
            axis.text(middle, 0.9 * line, head, va="bottom", **text)
            for part, word in enumerate(("clean", "added", self.attack)):
                x = i * triple + part * step + width / 2
                axis.text(x, 1.95 * line, word, va="bottom", **text)
        rows, columns = canvas.shape[:2]
        axis.imshow(canvas, interpolation="nearest", extent=(0, columns, rows, 0), aspect="auto")
        axis.add_collection(
            PatchCollection(frames, facecolors="none", edgecolors=GREY, linewidths=0.4)
        )
        axis.set_axis_off()
        return figure


def magnification(shown: Sequence[Views]) -> float:
    """Return the factor that makes the largest change of a pixel go from grey to black or white."""
    largest = max(float(np.abs(views.perturbation[:SHOWN]).max()) for views in shown)
    return 0.5 / largest if largest else 1.0


def examples_frame(cohort: Cohort, drawn: Mapping[str, RunViews], factor: float) -> pd.DataFrame:
    """Tabulate one row per label and image: its place in the test split, classes, and perturbation.

    ``largest_change`` is of a pixel, in units of its range.
    """
    return pd.DataFrame(
        [
            {
                **cohort.csv_columns,
                "eval_norm": views.threat.norm,
                "eval_epsilon": str(views.threat.epsilon),
                "method": run.spec.method.name,
                "label": label,
                "seed": run.spec.seed,
                "index": int(views.index[i]),
                "class": int(views.label[i]),
                "clean_pred": int(views.clean_pred[i]),
                "adv_pred": int(views.adv_pred[i]),
                "largest_change": round(float(np.abs(views.perturbation[i]).max()), 6),
                "magnified": round(factor, 6),
            }
            for label, (run, views) in drawn.items()
            for i in range(min(SHOWN, len(views.label)))
        ]
    )


def three(views: Views, i: int, factor: float) -> tuple[Floats, Floats, Floats]:
    """Return a clean image, its perturbation times ``factor`` around grey, and the adversarial one.

    Each is (H, W, 3), in colours from 0 to 1.
    """
    image = views.image[i].astype(np.float64)
    perturbation = views.perturbation[i].astype(np.float64)
    return _rgb(image), _rgb(0.5 + factor * perturbation), _rgb(image + perturbation)


def _write_prediction(
    axis: Axes, below: tuple[float, float], name: str, right: bool, room: float, style: Style
) -> None:
    axis.text(
        *below,
        fitted(name if right else f"[{name}]", room, style.small),
        ha="center",
        va="top",
        fontsize=style.small,
        color="black" if right else _WRONG,
        weight="normal" if right else "bold",
    )


def _rgb(pixels: Floats) -> Floats:
    """An image (C, H, W) as matplotlib takes it, (H, W, 3) in [0, 1]; one channel is grey."""
    channels = pixels if len(pixels) == 3 else np.repeat(pixels[:1], 3, axis=0)
    return np.clip(channels.transpose(1, 2, 0), 0.0, 1.0)
