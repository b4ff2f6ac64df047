"""The logger that writes for MLflow."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from regmix_bench.runs.trackers import (
    How,
    ProjectConfig,
    Score,
    Tracker,
    configuration,
    flat,
    run_name,
    score_frame,
)
from regmix_bench.specs import EvalSpec, RunSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TAG = "regmix_bench.run_id"
_ENDED: dict[How, str] = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
#: Parameters that a server takes at once.
_AT_ONCE = 100


class MLflowRun(NamedTuple):
    """A run of MLflow, by the client that knows its store."""

    client: MlflowClient
    id: str


class MLflowTracker(Tracker[MLflowRun]):
    """Runs of MLflow, at MLFLOW_TRACKING_URI, or else in artifacts/mlflow of the results folder.

    ``mlflow ui --backend-store-uri sqlite:///results/artifacts/mlflow/mlflow.db`` shows the latter.
    Projects are its experiments. A run that resumes is found by the tag ``regmix_bench.run_id``.
    """

    name = "mlflow"
    modules = ("mlflow", "sqlalchemy", "alembic")
    Config = ProjectConfig

    def connect(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read by the import
        from mlflow import MlflowClient

        logging.getLogger("mlflow.store.db").setLevel(logging.WARNING)
        uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not uri:
            self.folder.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{self.folder / 'mlflow.db'}", self.folder.as_uri()
        self.client, project = MlflowClient(tracking_uri=uri), self.config.project
        found = self.client.get_experiment_by_name(project)
        self.experiment = (
            found.experiment_id if found else self.client.create_experiment(project, artifacts)
        )

    def begin(self, spec: RunSpec | EvalSpec, epoch: int | None) -> MLflowRun:
        from mlflow.entities import Param

        known = f"tags.`{_TAG}` = '{spec.run_id}'"
        for found in self.client.search_runs([self.experiment], known, max_results=1):
            self.client.update_run(found.info.run_id, status="RUNNING")
            return MLflowRun(self.client, found.info.run_id)
        tags = {_TAG: spec.run_id}
        made = self.client.create_run(self.experiment, tags=tags, run_name=run_name(spec))
        values = flat(configuration(spec)).items()
        params = [Param(key, str(value)) for key, value in values]
        for start in range(0, len(params), _AT_ONCE):
            self.client.log_batch(made.info.run_id, params=params[start : start + _AT_ONCE])
        return MLflowRun(self.client, made.info.run_id)

    def write(self, handle: MLflowRun, numbers: Mapping[str, float], epoch: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, float(value), now, epoch) for name, value in numbers.items()]
        handle.client.log_batch(handle.id, metrics=metrics)

    def show(
        self, handle: MLflowRun, scores: Sequence[Score], figures: Mapping[str, Image.Image]
    ) -> None:
        handle.client.log_text(handle.id, score_frame(scores).to_csv(index=False), "scores.csv")
        for name, image in figures.items():
            handle.client.log_image(handle.id, image, f"figures/{name}.png")

    def finish(self, handle: MLflowRun, how: How) -> None:
        handle.client.set_terminated(handle.id, _ENDED[how])
