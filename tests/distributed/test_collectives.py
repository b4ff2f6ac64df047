"""Two processes that share a run compute what one computes, and resume what one has begun."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.group_work import (
    CASES,
    CPU,
    EPOCHS,
    SEEDS,
    TABLE,
    assert_same,
    in_two,
    left_by,
    make_spec,
    make_trainer,
    normed,
    right_of,
    train,
)
from torch import Tensor

from regmix_bench.analysis.pairs import compare_methods
from regmix_bench.attacks.noise import epoch_generator, gaussian_start, uniform_start
from regmix_bench.data.batches import Batches
from regmix_bench.distributed import collectives as distributed
from regmix_bench.distributed.collectives import Sharding, share
from regmix_bench.distributed.group import run_group
from regmix_bench.specs.recipe import Division
from regmix_bench.types import ThreatModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def two(folder: Path) -> dict[str, Any]:
    train(make_trainer(make_spec("fgsm-pgk"), folder / "begun by one"), epochs=3)
    heard: list[Any] = []
    found = run_group(partial(in_two, folder), 2, "cpu", heard.append)
    assert heard == ["done"]  # by the first alone
    return found


def test_an_attack_that_fails_in_one_process_has_failed_in_all(two) -> None:
    assert two["failures"] == ["ValueError: too bright"] * 2


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_trains(two, tmp_path: Path, case: str) -> None:
    method, recipe = CASES[case]
    one = left_by(train(make_trainer(make_spec(method, **recipe), tmp_path)))
    assert_same(two[case], one)


def test_each_process_takes_the_patterns_of_liet_by_itself(two, tmp_path: Path) -> None:
    one = left_by(train(make_trainer(make_spec("liet"), tmp_path)))
    for way in ("forward_images", "backward_images"):
        one["cost"][way] += EPOCHS * 10  # an image of each class, in every epoch's first batch
    assert_same(two["liet"], one)


def test_a_training_resumes_on_another_number_of_processes(two, folder, tmp_path) -> None:
    spec = make_spec("fgsm-pgk")
    undisturbed = left_by(train(make_trainer(spec, tmp_path)))
    trainer = make_trainer(spec, folder / "begun by two")
    assert 1 <= trainer.progress.epoch <= 3  # a group that ends has no more than its newest copy
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
    assert compare_methods([both, one]).p_values()[0, 1] > 0.01


def test_what_processes_exchange(two) -> None:
    found = two["helpers"]
    assert found["taken"]
    changed = TABLE.clone()
    changed[[6, 0, 3, 4, 1]] *= -1
    assert torch.equal(found["table"], changed)
    assert found["sum"].item() == 3.0
    assert [value.tolist() for value in found["average"]] == [[0.5, 0.5], [[2.0, 2.0]]]
    assert found["first"] == 0 and found["gathered"] == [0, 1]
    generator = epoch_generator(CPU, 0, 1, "attack")
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


@pytest.mark.parametrize("n", [5, 2003])
def test_a_table_is_filled_with_the_draws_of_one(process, n: int) -> None:
    def filled() -> torch.Tensor:
        generator, shards = torch.Generator().manual_seed(0), Sharding(n)
        rows = shards.zeros((2,), torch.device("cpu"), torch.bfloat16)
        shards.fill(rows, lambda part: part.uniform_(generator=generator))
        return rows[: shards.held]

    whole, parts = filled(), []
    for number in range(3):
        process(number, 3)
        parts.append(filled())
    assert torch.equal(torch.cat(parts), whole) and len(whole.unique()) > 1


@pytest.mark.parametrize("division", ["even", "equal"])
def test_processes_share_the_batches_of_one(process, division: Division) -> None:
    images = torch.randint(256, (23, 1, 8, 8), dtype=torch.uint8)
    data = Batches(images, torch.arange(23), 8, "crop-flip", division)
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
