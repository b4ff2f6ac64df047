"""The logger that writes for Trackio."""

from __future__ import annotations

import contextvars
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from PIL import Image

from regmix_bench.runs.trackers import (
    How,
    ProjectConfig,
    Score,
    Tracker,
    configuration,
    score_frame,
)
from regmix_bench.specs import EvalSpec, RunSpec

if TYPE_CHECKING:
    from trackio.run import Run

_WARNING = "* Trackio warning: "
#: What says in the environment that runs are kept elsewhere.
_REMOTE = {"TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"}


class TrackioTracker(Tracker["Run"]):
    """Runs of Trackio, on this machine, or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL says.

    ``trackio show --project regmix-bench`` shows them; they lie in TRACKIO_DIR. A run is named like
    its record, by which one that resumes is found.
    """

    name = "trackio"
    modules = ("trackio",)
    Config = ProjectConfig

    def connect(self) -> None:
        import trackio.run  # noqa: F401

        # It prints, over what `run` shows, and warns of its failures in the same way.
        self.warned: list[str] = []
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "trackio":
                vars(module)["print"] = self._hear
        warnings.filterwarnings("error", module=r"trackio\.")

    def begin(self, spec: RunSpec | EvalSpec, epoch: int | None) -> Run:
        import trackio

        with _asking_nobody():
            # In a context of its own, as a second run of one would end the first.
            return contextvars.Context().run(
                trackio.init,
                project=self.config.project,
                name=spec.stem,
                config=configuration(spec),
                resume="allow",
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )

    def write(self, handle: Run, numbers: Mapping[str, float], epoch: int) -> None:
        handle.log(dict(numbers), step=epoch)
        self._raise_warnings()

    def show(
        self, handle: Run, scores: Sequence[Score], figures: Mapping[str, Image.Image]
    ) -> None:
        import trackio

        images = {name: trackio.Image(image) for name, image in figures.items()}
        handle.log({"scores": trackio.Table(dataframe=score_frame(scores)), **images})

    def finish(self, handle: Run, how: How) -> None:
        handle.finish()  # type: ignore[no-untyped-call]
        self._raise_warnings()

    def _hear(self, *said: object, **_: object) -> None:
        line = " ".join(map(str, said))
        if line.startswith(_WARNING):
            self.warned.append(line.removeprefix(_WARNING))

    def _raise_warnings(self) -> None:
        if self.warned:
            raise RuntimeError(self.warned[0])


@contextmanager
def _asking_nobody() -> Iterator[None]:
    """Keep a local run from asking the hub, where there is a token, who its user is."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _REMOTE & os.environ.keys()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
