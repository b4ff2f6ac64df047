"""What the rows are measured on: the device, made-up data, and one short run that they share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import torch
from autoattack import Side
from gpu_rows.made_up import Sizes, half_held, write_npz

from regmix_bench import run
from regmix_bench.data import EvalData, prepare_eval
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records.paths import artifacts_dir
from regmix_bench.records.schema import EpochLog, RunRecord
from regmix_bench.runs.observers import Silent
from regmix_bench.specs import RunSpec
from regmix_bench.system.machine import Execution, choose_execution
from regmix_bench.types import ThreatModel

THREAT = ThreatModel("Linf", "8/255")


@dataclass(frozen=True)
class Scale:
    """How much is measured: as the table says, or so little that a CPU tries every row."""

    arch: str = "resnet18"
    sizes: Sizes = field(default_factory=Sizes)
    batches: tuple[int, int] = (128, 512)
    rounds: int = 5
    repeats: int = 3  # steps that are timed together
    epochs: int = 4  # of the run from which the whole is projected
    runs: int = 6  # of a grid that is run one, two and three at a time
    scored: tuple[int, int] = (200, 500)  # images against the bare call, and of a batch
    attacks: tuple[str, ...] = ()  # in the place of AutoAttack's standard version


TINY = Scale(
    arch="smallcnn",
    sizes=Sizes(side=8, train=60, held_out=10, test=40),
    batches=(8, 12),
    rounds=1,
    repeats=1,
    epochs=2,
    runs=2,
    scored=(10, 20),
    attacks=("apgd-ce",),
)


class Bench:
    """What is measured on: ``folder`` is empty, ``data_dir`` that of CIFAR-10 if there is one."""

    def __init__(
        self, device: torch.device, folder: Path, tiny: bool, data_dir: Path | None = None
    ) -> None:
        self.device, self.folder, self.tiny, self.data_dir = device, folder, tiny, data_dir
        self.scale = TINY if tiny else Scale()
        self.step_seconds: dict[str, float] = {}  # by method, once they are measured

    @property
    def execution(self) -> Execution:
        """As a run is executed here; a small trial has to do with a stand-in for graphs."""
        chosen = choose_execution(self.device, self.scale.sizes.side)
        return replace(chosen, graphs=chosen.graphs or self.tiny)

    @property
    def steps_an_epoch(self) -> int:
        """How many batches an epoch of the made-up data has."""
        return -(-self.scale.sizes.train // self.scale.batches[0])

    @cached_property
    def dataset(self) -> str:
        """The name of the made-up data set."""
        path = self.folder / "textures.npz"
        write_npz(path, self.scale.sizes)
        return f"npz:{path}"

    @cached_property
    def short_run(self) -> ShortRun:
        """A few epochs of RegMix with all that a run does in them."""
        heard = _Clock()
        results = self.folder / "results"
        (record,) = run(
            methods=["regmix"],
            datasets=[self.dataset],
            archs=[self.scale.arch],
            eps=str(THREAT.epsilon),
            settings=[
                f"recipe.epochs={self.scale.epochs}",
                f"recipe.batch_size={self.scale.batches[0]}",
                "recipe.schedule=onecycle",
                "recipe.augmentation=crop-flip",
            ],
            eval_examples=10,
            attacks="apgd-ce",  # what it costs to score is measured apart
            results=results,
            device=self.device.type,
            observer=heard,
        )
        if record.status != "success":
            raise RuntimeError(record.error)
        return ShortRun(record, results, heard.started, heard.ends)

    @cached_property
    def model(self) -> ImageClassifier:
        """The model of the short run, in evaluation mode."""
        short = self.short_run
        file = short.record.checkpoints["last"]
        folder = artifacts_dir(short.results, short.record.run_id)
        return load_checkpoint(folder / file.file, file.sha256).to(self.device)

    @cached_property
    def searched(self) -> dict[str, Side]:
        """What a search of all scored images has found, by its precision."""
        return {}

    @cached_property
    def scored(self) -> EvalData:
        """Images of which the model holds about half."""
        test = prepare_eval(self.dataset, None, self.device)
        return half_held(self.model, test, max(self.scale.scored), THREAT)


@dataclass(frozen=True)
class ShortRun:
    """A run, and by the clock when it began and when each of its epochs was done."""

    record: RunRecord
    results: Path
    started: float
    ends: list[float]

    @property
    def epochs(self) -> list[float]:
        """Wall seconds of each epoch, that of the first from the beginning of the run."""
        times = [self.started, *self.ends]
        return [end - start for start, end in pairwise(times)]


class _Clock(Silent):
    def __init__(self) -> None:
        self.started, self.ends = 0.0, list[float]()

    def on_start(self, spec: object) -> None:
        self.started = time.perf_counter()

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        self.ends.append(time.perf_counter())
