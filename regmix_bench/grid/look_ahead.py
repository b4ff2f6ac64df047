"""Estimates of the time a grid takes: the passes that are planned, at the pace of a network here.

A pass is one image through the network, forwards or backwards. Those of a training step are counted
in one step on a few images, with a small network, as a method passes each image equally often
whatever the network; those of scoring are planned. The pace is that of a few batches through the
network itself, for about a second. Nothing of it is kept: another process may have the machine the
next time. Of a cluster's nodes no pace is known, and passes alone are told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regmix_bench.errors import UserError
from regmix_bench.evaluation.planned import planned_scoring
from regmix_bench.grid.fit import DataSize, Drawn, drawn
from regmix_bench.grid.launchers import Placement
from regmix_bench.methods.configured import make_method, tell_recipe
from regmix_bench.methods.declarations import averages_weights
from regmix_bench.models import build_model
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.execution import ModelRunner
from regmix_bench.models.predictions import PassCounter
from regmix_bench.runs.forecast import Estimate, Forecast
from regmix_bench.specs import Component, RunSpec
from regmix_bench.system.machine import Execution, choose_execution
from regmix_bench.training.optim import make_optimizer
from regmix_bench.training.update import Update
from regmix_bench.types import NO_LABEL, TRAINED, Batch, Checkpoint

Shape = tuple[int, int, int]

#: Seconds that one batch is timed for at most, and the images that a step is counted on.
_TIMED, _COUNTED = 0.1, 8
#: Images that are too few to go by, and seconds of theirs after which they have to do.
_FEW, _LONG = 16, 1.0
#: Passes of a held-out image after each epoch, both ways: clean, FGSM and PGD-10.
VALIDATION = 25
#: Seconds before the first pass in this process, and where another one loads torch for it.
_HERE, _ELSEWHERE = 1.0, 5.0
#: Passes of an image in a step without an attack, as of the model that gives pseudo-labels.
_STANDARD = 2
#: The share of AutoAttack's passes that go backwards: Square, which takes most, needs none.
BACKWARD = 0.2


def look_ahead(
    specs: Sequence[RunSpec], place: Placement, sizes: Mapping[Drawn, DataSize | UserError]
) -> Forecast:
    """Estimate what ``specs`` will take in a ``place``; here each network takes a second of it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // place.jobs))
    try:
        forecaster, runs, untried = Forecaster(place), dict[str, Estimate](), 0
        for spec in specs:
            if not isinstance(size := sizes[drawn(spec)], DataSize):
                continue
            try:
                runs[spec.run_id] = forecaster.estimate(spec, size)
            except (Exception, SystemExit):  # of a stranger's method; its run will say so
                untried += 1
    finally:
        torch.set_num_threads(threads)
    data, words = {}, {drawn(spec): spec.dataset_words for spec in specs}
    for key, size in sizes.items():
        name = words.get(key, key[0])
        data[name] = str(size)
        if isinstance(size, DataSize):
            data[name] = (
                f"{size.train:,} images to train on, {size.validation:,} to validate,"
                f" {size.test:,} to score"
            )
    alone = place.jobs == place.devices == 1 and place.address is None
    startup = _HERE if alone else _ELSEWHERE
    return Forecast(runs, data, _place_words(place, threads), place.jobs, untried, startup)


def _place_words(place: Placement, threads: int) -> str:
    """Say where a run works: ``CPU, 2 threads``, ``2 × NVIDIA H100``, ``the cluster at auto``."""
    if place.address is not None:
        return f"the cluster at {place.address}"
    if place.device.type == "cuda":
        name, several = torch.cuda.get_device_name(place.device), f"{place.devices} × "
        return several * (place.devices > 1) + name
    shared = f", {place.devices} processes a run" * (place.devices > 1)
    return f"CPU, {threads} thread{'s' * (threads > 1)}{shared}"


def shared_by(place: Placement) -> int:
    """Return how many devices share a run: GPUs, as processes on a CPU share its threads alone."""
    return place.devices if place.device.type == "cuda" else 1


class Forecaster:
    """Estimates what runs will take in a ``place``, one at a time.

    An estimate is good within a factor of two or three on a machine that is otherwise idle: how
    many images later attacks see shows only as they run. Each method is counted and each network
    timed once.
    """

    def __init__(self, place: Placement) -> None:
        self.place = place
        self._passes: dict[tuple[object, ...], float] = {}
        self._paces: dict[tuple[object, ...], Pace] = {}

    def estimate(self, spec: RunSpec, size: DataSize) -> Estimate:
        """Return what a run of ``spec`` on data of this ``size`` will take."""
        recipe, shape, classes = spec.recipe, size.shape, size.num_classes
        step = (spec.method.model_dump_json(), recipe.model_dump_json(), spec.train_threat.norm)
        if (counted := (*step, shape, classes)) not in self._passes:
            self._passes[counted] = step_passes(spec, shape, classes)
        kinds = 2 if averages_weights(spec) else 1
        validation = VALIDATION * kinds * size.validation
        images = recipe.images_per_epoch(size.length)
        training = recipe.epochs * (self._passes[counted] * images + validation)
        if recipe.unlabelled == "rst" and size.labelled < size.train:
            training += recipe.epochs * (_STANDARD * images + VALIDATION * size.validation)
        scored = TRAINED if kinds > 1 else ("selected", "last")
        weights: list[dict[Checkpoint, bool]] = [{name: spec.attacks(name)} for name in scored]
        scoring = sum(planned_scoring(spec, weights, size.test, classes).values())
        if self.place.address is not None:
            return Estimate(training, scoring, None)
        pace = self._pace(spec, shape, classes)
        seconds = training * pace.training + scoring * pace.scoring
        return Estimate(training, scoring, seconds / shared_by(self.place))

    def _pace(self, spec: RunSpec, shape: Shape, classes: int) -> Pace:
        recipe, device = spec.recipe, self.place.device
        component = spec.component("arch")
        timed = (spec.arch, component, shape, classes, recipe.batch_size, recipe.precision)
        if timed not in self._paces:
            model = _network(spec.arch, component, shape, classes).to(device)
            run = choose_execution(device, min(shape[1:]), graphs="off")
            runner = ModelRunner(model, run, recipe.precision)
            self._paces[timed] = Pace.of(runner, shape, recipe.batch_size, device)
        return self._paces[timed]


def step_passes(spec: RunSpec, shape: Shape, num_classes: int) -> float:
    """Return how often a training step passes each image of its batch through the network.

    Counted in one step in the middle of the training, on noise, with a small network.
    """
    recipe, cpu = spec.recipe.model_copy(update={"precision": "fp32"}), torch.device("cpu")
    model = _network("smallcnn", None, shape, num_classes)
    method = make_method(spec.method)
    tell_recipe(method, recipe, num_classes)
    method.setup(_COUNTED, shape, cpu)
    runner = ModelRunner(model, Execution())
    optimizer = make_optimizer(model.parameters(), recipe, cpu, False)
    update = Update(model, runner, method, spec.train_threat, optimizer, recipe, None)
    epoch = (recipe.epochs + 1) // 2
    update.start_epoch(epoch)
    method.on_epoch_start(epoch)
    method.on_batch_start(0)
    generator = torch.Generator().manual_seed(0)
    x, index = torch.rand(_COUNTED, *shape, generator=generator), torch.arange(_COUNTED)
    model.train()
    y, partly = index % num_classes, recipe.unlabelled == "consistency"
    if partly:
        y[1::2] = NO_LABEL
    with PassCounter(runner) as counted:
        update(Batch(x, y, index, partly_labelled=partly), generator)
    return (counted.forward_images + counted.backward_images) / _COUNTED


class Pace(NamedTuple):
    """The seconds that a pass of one image takes, on average in training and in scoring."""

    training: float
    scoring: float

    @classmethod
    def of(cls, runner: ModelRunner, shape: Shape, batch_size: int, device: torch.device) -> Pace:
        """Time a network for about a second, on images (B, C, H, W) of noise.

        There are at most ``batch_size`` of them, and fewer where those would take longer.
        """
        optimizer = torch.optim.SGD(runner.model.parameters(), lr=0.0)

        def train(x: Tensor) -> None:
            with runner.step():
                runner(x.requires_grad_()).logsumexp(1).mean().backward()
            optimizer.step()
            optimizer.zero_grad()

        def look(x: Tensor) -> None:
            with torch.no_grad():
                runner(x)

        def attack(x: Tensor) -> None:
            runner(x.requires_grad_()).logsumexp(1).sum().backward()

        runner.train()
        training = _seconds(train, shape, batch_size, device) / 2
        with runner.attack_mode():
            forward = _seconds(look, shape, batch_size, device)
            both = _seconds(attack, shape, batch_size, device)
        return cls(training, (1 - BACKWARD) * forward + BACKWARD * max(0.0, both - forward))


def _seconds(
    work: Callable[[Tensor], None], shape: Shape, batch_size: int, device: torch.device
) -> float:
    """Return what some work takes for an image, the best of three times if it is quick.

    On a busy machine a few images take as long as many: unless they take long indeed, more follow.
    """
    images = min(2, batch_size)
    while True:
        x = torch.rand(images, *shape, device=device)
        times = [_timed(work, x)]
        while len(times) < 3 and sum(times) < 3 * _TIMED:
            times.append(_timed(work, x))
        took = max(min(times), 1e-6)
        larger = min(batch_size, 16 * images, int(images * _TIMED / took))
        if images < _FEW and took < _LONG:
            larger = max(larger, min(batch_size, _FEW))
        if larger <= images:
            return took / images
        images = larger


def _timed(work: Callable[[Tensor], None], x: Tensor) -> float:
    _finish(x.device)
    before = time.perf_counter()
    work(x.detach())
    _finish(x.device)
    return time.perf_counter() - before


def _network(
    arch: str, component: Component | None, shape: Shape, num_classes: int
) -> ImageClassifier:
    half = [0.5] * shape[0]
    with torch.random.fork_rng([]):
        return build_model(arch, shape, num_classes, half, half, component)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
