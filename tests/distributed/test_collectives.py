"""Two processes that share a run compute what one computes, and resume what one has begun."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regmix_bench.analysis.methods import compare_methods
from regmix_bench.attacks.noise import batch_sum, gaussian_start, uniform_start
from regmix_bench.attacks.white_box import pgd_images
from regmix_bench.data import prepare
from regmix_bench.data.batches import Batches
from regmix_bench.distributed import collectives as distributed
from regmix_bench.distributed.collectives import (
    Sharding,
    all_sum,
    average,
    barrier,
    on_first,
    rank,
    share,
    size,
)
from regmix_bench.distributed.group import launch
from regmix_bench.grid.plan import plan
from regmix_bench.methods import load_method
from regmix_bench.models import build_model
from regmix_bench.models.predictions import correct
from regmix_bench.records.schema import EpochLog
from regmix_bench.specs import RunSpec
from regmix_bench.system.machine import Execution
from regmix_bench.training.trainer import Trainer, _generator
from regmix_bench.types import ThreatModel

CPU = torch.device("cpu")
EPOCHS = 6
SEEDS = (0, 1, 2)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "priors": ("regmix", {"augmentation": "crop"}),
    "a ratio over the batch, and averaged weights": ("fgsm-pgk", {}),
    "several passes, on a folded copy": ("trades[steps=3]", {"ema_decay": 0.5}),
    "a random start and a clipped gradient": ("fgsm-rs", {"gradient_clip": 0.5}),
}


def make_spec(method: str, seed: int = 0, **recipe: Any) -> RunSpec:
    """541 images in batches of 90 and 91, which two processes share unevenly."""
    shared = {"epochs": EPOCHS, "batch_size": 91, "schedule": "cosine", "augmentation": "none"}
    grid = {"methods": [method], "seeds": [seed], "eps": ["16/255"], "train_examples": 601}
    return plan([grid | {"recipe": shared | recipe}])[0]


class Plain(nn.Sequential):
    """A network without batch norm, in ``dtype``."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(16 * 4 * 4, 10),
        )
        self.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self[0].weight.dtype))


def plain(method: str) -> nn.Module:
    # The divergence that TRADES climbs is all but flat where it starts: in float32 the signs of its
    # gradient hang on the rounding, which hangs on the size of a batch, in one process too.
    return Plain(torch.float64 if method == "trades" else torch.float32)


def make_trainer(
    spec: RunSpec, directory: Path, build: Callable[[str], nn.Module] = plain
) -> Trainer:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build(spec.method.name)
    method = load_method(spec.method.name, **spec.method.params)
    return Trainer(spec, prepare(spec, CPU), model, method, directory, CPU, Execution())


class Stopped(Exception):
    pass


def train(trainer: Trainer, epochs: int = EPOCHS) -> Trainer:
    def stop(log: EpochLog) -> None:
        if log.epoch == epochs < EPOCHS:
            raise Stopped

    try:
        trainer.run(stop)
    except Stopped:
        barrier()
    return trainer


def left_by(trainer: Trainer) -> dict[str, Any]:
    """What a training leaves behind, without the clock."""
    model = trainer._evaluated_model().state_dict()
    history = [log.model_dump(exclude={"seconds"}) for log in trainer.progress.history]
    cost = trainer.progress.cost.model_dump(exclude={"seconds"})
    return {"model": {k: v.numpy() for k, v in model.items()}, "history": history, "cost": cost}


def furthest(one: dict[str, Any], two: dict[str, Any]) -> float:
    """The largest difference of two models' parameters."""
    assert one["model"].keys() == two["model"].keys()
    return max(abs(one["model"][name] - two["model"][name]).max() for name in one["model"])


def assert_same(two: dict[str, Any], one: dict[str, Any]) -> None:
    assert furthest(one, two) < 1e-5
    assert two["cost"] == one["cost"]
    for ours, theirs in zip(two["history"], one["history"], strict=True):
        assert ours["metrics"] == pytest.approx(theirs["metrics"], rel=1e-3)
        for value in ("loss", "lr", "val_clean_acc", "val_fgsm_acc", "val_pgd_acc"):
            assert ours[value] == pytest.approx(theirs[value], rel=1e-4), value
    assert one["history"][-1]["val_pgd_acc"] > 0.3  # of something that has been learnt


TABLE = torch.arange(7 * 3, dtype=torch.float32).view(7, 3)


def exchanged() -> dict[str, Any]:
    """What the helpers make of two processes."""
    assert (size(), rank()) == (2, rank())
    shards, total = Sharding(7), 5
    rows = shards.zeros((3,), CPU, torch.float32)
    shards.load(rows, TABLE)
    index = torch.tensor([6, 0, 3, 4, 1])
    mine = index[share(total)]
    taken = shards.take(rows, mine, total, torch.float64)
    assert taken.dtype == torch.float64
    shards.put(rows, mine, total, -TABLE[mine])
    statistics = [torch.full((2,), float(rank())), torch.full((1, 2), 4.0 * rank())]
    average(statistics)
    generator = _generator(CPU, 0, 1, "attack")
    generator.total = total
    x = torch.full((total, 1, 2, 2), 0.5)[share(total)]
    threats = (ThreatModel("Linf", "8/255"), ThreatModel("L2", "128/255"))
    starts = [uniform_start(x, threat, generator) for threat in threats]
    starts.append(gaussian_start(x, threats[0], generator))
    return {
        "taken": torch.equal(taken, TABLE[mine].double()),
        "table": shards.gather(rows),
        "sum": batch_sum(torch.tensor(1.0 + rank())),
        "average": statistics,
        "first": on_first(rank),
        "starts": torch.cat(starts, 1),
    }


def in_two(folder: Path, device: torch.device, send: Callable[[Any], None]) -> dict[str, Any]:
    """All that two processes are asked for: they take long to start."""
    found: dict[str, Any] = {"helpers": exchanged()}
    starts = [torch.empty(3 - n, 3, 2, 2) for n in range(2)]
    torch.distributed.all_gather_object(starts, found["helpers"]["starts"])
    found["helpers"]["starts"] = torch.cat(starts)
    for name, (method, recipe) in CASES.items():
        spec = make_spec(method, **recipe)
        found[name] = left_by(train(make_trainer(spec, folder / "two" / method)))
    spec = make_spec("fgsm-pgk")
    found["resumed"] = left_by(train(make_trainer(spec, folder / "begun by one")))
    train(make_trainer(spec, folder / "begun by two"), epochs=3)
    found["with norm"] = [right_of(folder / "two", seed) for seed in SEEDS]
    with_norm = make_trainer(make_spec("mart[steps=2]", epochs=1), folder / "norm", normed)
    state = left_by(train(with_norm))["model"]
    digest = sum(float(abs(value).sum()) for value in state.values())
    both = all_sum(torch.tensor([digest], dtype=torch.float64))
    found["norm"] = (digest, both.item() / 2, sorted(state))
    send("done")
    return found


def normed(method: str) -> nn.Module:
    return build_model("smallcnn", (1, 8, 8), 10)


def right_of(folder: Path, seed: int) -> list[bool]:
    """Which test images a network with batch norm holds under PGD, trained with ``seed``."""

    def build(method: str) -> nn.Module:
        torch.manual_seed(seed)
        return normed(method)

    spec = make_spec("fgsm-rs", seed)
    trainer = train(make_trainer(spec, folder / f"norm {seed}", build))
    x, y = trainer.data.test.x, trainer.data.test.y
    model = trainer.model.eval()
    return correct(model, pgd_images(model, x, y, spec.train_threat, steps=20), y).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def two(folder: Path) -> dict[str, Any]:
    train(make_trainer(make_spec("fgsm-pgk"), folder / "begun by one"), epochs=3)
    heard: list[Any] = []
    found = launch(partial(in_two, folder), 2, "cpu", heard.append)
    assert heard == ["done"]  # by the first alone
    return found


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_trains(two, tmp_path: Path, case: str) -> None:
    method, recipe = CASES[case]
    one = left_by(train(make_trainer(make_spec(method, **recipe), tmp_path)))
    assert_same(two[case], one)


def test_a_training_resumes_on_another_number_of_processes(two, folder, tmp_path) -> None:
    spec = make_spec("fgsm-pgk")
    undisturbed = left_by(train(make_trainer(spec, tmp_path)))
    trainer = make_trainer(spec, folder / "begun by two")
    assert trainer.progress.epoch == 3
    for resumed in (two["resumed"], left_by(train(trainer))):
        assert_same(resumed, undisturbed)
    # A state has the same content whoever wrote it.
    one, of_two = (
        torch.load(next(directory.glob("state-0006-*")), weights_only=True)
        for directory in (tmp_path, folder / "begun by one")
    )
    assert outline(one) == outline(of_two)


def outline(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: outline(value) for key, value in content.items() if key != "checkpoints"}
    if isinstance(content, Tensor):
        return content.dtype, tuple(content.shape)
    return type(content)


def test_batch_norm_is_the_same_in_both(two) -> None:
    ours, mean_of_both, names = two["norm"]
    assert ours == mean_of_both
    assert names == sorted(normed("mart").state_dict())


def test_with_batch_norm_accuracy_is_not_distinguishable(two, tmp_path: Path) -> None:
    """Each process normalises by its half of the batch: other numbers, of the same quality."""
    one = np.array([right_of(tmp_path, seed) for seed in SEEDS])
    both = np.array(two["with norm"])
    assert one.mean() > 0.5 and both.mean() > 0.5
    assert compare_methods(both, one).p_value > 0.01


def test_what_processes_exchange(two) -> None:
    found = two["helpers"]
    assert found["taken"]
    changed = TABLE.clone()
    changed[[6, 0, 3, 4, 1]] *= -1
    assert torch.equal(found["table"], changed)
    assert found["sum"].item() == 3.0
    assert [value.tolist() for value in found["average"]] == [[0.5, 0.5], [[2.0, 2.0]]]
    assert found["first"] == 0
    generator = _generator(CPU, 0, 1, "attack")
    x = torch.full((5, 1, 2, 2), 0.5)
    linf, l2 = ThreatModel("Linf", "8/255"), ThreatModel("L2", "128/255")
    starts = [uniform_start(x, linf, generator), uniform_start(x, l2, generator)]
    starts.append(gaussian_start(x, linf, generator))
    assert torch.equal(found["starts"], torch.cat(starts, 1))


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Makes this process one of several, as far as it can do without the others."""

    def be(number: int, of: int) -> None:
        monkeypatch.setattr(distributed, "rank", lambda: number)
        monkeypatch.setattr(distributed, "size", lambda: of)

    return be


def test_shares_are_those_of_tensor_split(process) -> None:
    rows = torch.arange(11)
    for number, part in enumerate(torch.tensor_split(rows, 4)):
        process(number, 4)
        assert torch.equal(rows[share(11)], part)


def test_processes_share_the_batches_of_one(process) -> None:
    images = torch.randint(256, (23, 1, 8, 8), dtype=torch.uint8)
    data = Batches(images, torch.arange(23), 8, "crop-flip")
    whole = list(data.epoch(torch.Generator().manual_seed(0)))
    parts = []
    for number in range(3):
        process(number, 3)
        parts.append(list(data.epoch(torch.Generator().manual_seed(0))))
    for batch, *shared in zip(whole, *parts, strict=True):
        assert torch.equal(batch.x, torch.cat([part.x for part in shared]))
        assert torch.equal(batch.y, torch.cat([part.y for part in shared]))
        assert torch.equal(batch.index, torch.cat([part.index for part in shared]))
        assert {part.total for part in shared} == {len(batch.y)}
