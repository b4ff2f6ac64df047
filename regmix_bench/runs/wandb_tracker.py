"""The logger that writes for Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from regmix_bench.runs.trackers import (
    How,
    ProjectConfig,
    Score,
    Tracker,
    configuration,
    run_name,
    score_frame,
)
from regmix_bench.specs import EvalSpec, RunSpec

if TYPE_CHECKING:
    import wandb

#: Seconds that it is given to reach its server, and to send what is left: less than runs wait.
TIMEOUT = 30


class WandbTracker(Tracker["wandb.Run"]):
    """Runs of Weights & Biases: files in artifacts/wandb, online where WANDB_MODE says so.

    ``wandb sync`` uploads the files of a run; WANDB_DIR puts them elsewhere. A run that resumes has
    the id of its first part, the run_id, and so goes on in the same run.
    """

    name = "wandb"
    modules = ("wandb",)
    Config = ProjectConfig

    def connect(self) -> None:
        # Else its servers hear of a run that is offline, and a login is told over what `run` shows.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb  # noqa: F401

    def begin(self, spec: RunSpec | EvalSpec, epoch: int | None) -> wandb.Run:
        import wandb

        folder = self.folder.parent  # in which it makes one of its name
        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=self.config.project,
            id=spec.run_id,
            name=run_name(spec),
            config=configuration(spec),
            mode=None if "WANDB_MODE" in os.environ else "offline",
            dir=os.environ.get("WANDB_DIR", folder),
            resume="allow",
            reinit="create_new",  # as several runs go on at a time
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_code=True,
                disable_git=True,
                x_disable_stats=True,
                x_disable_meta=True,
                init_timeout=TIMEOUT,
                finish_timeout=TIMEOUT,
                finish_timeout_raises=True,
            ),
        )
        run.define_metric("epoch", hidden=True)
        run.define_metric("*", step_metric="epoch")
        return run

    def write(self, handle: wandb.Run, numbers: Mapping[str, float], epoch: int) -> None:
        handle.log({"epoch": epoch, **numbers})

    def show(
        self, handle: wandb.Run, scores: Sequence[Score], figures: Mapping[str, Image.Image]
    ) -> None:
        import wandb

        images = {name: wandb.Image(image) for name, image in figures.items()}
        handle.log({"scores": wandb.Table(dataframe=score_frame(scores)), **images})

    def finish(self, handle: wandb.Run, how: How) -> None:
        handle.finish(exit_code=0 if how == "finished" else 1)
