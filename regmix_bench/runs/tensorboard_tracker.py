"""The logger that writes for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from regmix_bench.runs.trackers import How, Score, Tracker, configuration, flat, run_name
from regmix_bench.specs import EvalSpec, RunSpec

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardTracker(Tracker["SummaryWriter"]):
    """Event files for TensorBoard, in artifacts/tensorboard of the results folder.

    ``tensorboard --logdir results/artifacts/tensorboard`` shows them. A run that resumes hides the
    epochs which it trains again. Numbers are written in double precision.
    """

    name = "tensorboard"
    modules = ("tensorboard",)

    def begin(self, spec: RunSpec | EvalSpec, epoch: int | None) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(self.folder / spec.stem), purge_step=epoch)
        values = flat(configuration(spec)).items()
        rows = "\n".join(f"| {key} | {json.dumps(value)} |" for key, value in values)
        writer.add_text("configuration", f"{run_name(spec)}\n\n| key | value |\n|-|-|\n{rows}")
        return writer

    def write(self, handle: SummaryWriter, numbers: Mapping[str, float], epoch: int) -> None:
        for name, value in numbers.items():
            handle.add_scalar(name, value, epoch, new_style=True, double_precision=True)
        handle.flush()

    def show(
        self, handle: SummaryWriter, scores: Sequence[Score], figures: Mapping[str, Image.Image]
    ) -> None:
        rows = "\n".join(
            f"| {row.checkpoint} | {row.threat} | {row.measured} | {100 * row.accuracy:.1f}"
            f" [{100 * row.low:.1f}, {100 * row.high:.1f}] | {row.images} |"
            for row in scores
        )
        header = "| checkpoint | threat | measured | accuracy, % | images |\n|-|-|-|-|-|"
        handle.add_text("scores", f"{header}\n{rows}")
        for name, image in figures.items():
            handle.add_image(name, np.asarray(image), dataformats="HWC")

    def finish(self, handle: SummaryWriter, how: How) -> None:
        handle.add_text("ended", how)
        handle.close()
