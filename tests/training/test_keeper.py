"""When states are copied and written: the shares of the time, errors, and what is on disk when."""

from __future__ import annotations

import copy
import math
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support.harness import answer, start
from torch import nn

from regmix_bench.models import build_model
from regmix_bench.models.weights import Description, load_checkpoint
from regmix_bench.records.schema import CheckpointFile
from regmix_bench.system.files import CannotWrite
from regmix_bench.training.keeper import COPYING, WRITING, Allowance, StateKeeper
from regmix_bench.training.snapshots import HostMemory
from regmix_bench.training.states import States
from regmix_bench.types import Checkpoint

ABOUT = Description(arch="smallcnn", image_shape=(1, 8, 8), num_classes=10)


@pytest.mark.parametrize("cost", [0.001, 0.4, 2.5, 90.0])
@pytest.mark.parametrize("epoch", [0.03, 3.5, 600.0])
def test_what_can_wait_takes_no_more_than_its_share(cost: float, epoch: float) -> None:
    """Whenever a state is written, all that was done before it has taken 5 % at most."""
    copying, writing = Allowance(COPYING), Allowance(WRITING)
    now = copied = written = last = 0.0
    writes = 0
    for _ in range(2000):
        now += epoch
        if copying.due(now):
            assert copied <= COPYING * now
            now, copied = now + cost / 30, copied + cost / 30
            copying.pay(now, cost / 30)
            if writing.due(now):
                assert copied - cost / 30 + written <= 0.05 * now
                # As soon as it is worth it: what is lost to a kill is bounded.
                assert now - last <= cost / WRITING + cost / 30 / COPYING + 3 * epoch + cost
                last, writes = now, writes + 1
                now, written = now + cost, written + cost
                writing.pay(now, cost)
    assert writes >= 2000 * epoch / (cost / WRITING + cost / 30 / COPYING + 3 * epoch + cost)


def test_what_costs_nothing_is_always_due() -> None:
    allowance = Allowance(0.02)
    for now in (0.0, 0.0, 1.0):
        allowance.pay(now, 0.0)
        assert allowance.due(now)


def keeper_in(folder: Path, clock: Callable[[], float] = lambda: 0.0) -> StateKeeper:
    """A keeper by whose clock nothing takes any time, so that everything is always due."""
    return StateKeeper(States(folder, "0123"), ABOUT, 0, {}, clock)


def network(value: float) -> nn.Module:
    model = build_model("smallcnn", ABOUT.image_shape, ABOUT.num_classes)
    for parameter in model.parameters():
        nn.init.constant_(parameter, value)
    return model


def on_disk(folder: Path) -> tuple[dict[str, Any], dict[Checkpoint, CheckpointFile]] | None:
    """What a run would resume from if it were killed now; nothing that is there is damaged."""

    def complain(line: str) -> None:
        raise AssertionError(line)

    return States(folder, "0123").load(torch.device("cpu"), complain)


class SlowDisk:
    """Content that can only be written once ``let`` says so."""

    def __init__(self) -> None:
        self.let, self.begun = threading.Event(), threading.Event()

    def __call__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        save = States.save

        def slow(states: States, *arguments: Any) -> None:
            self.begun.set()
            assert self.let.wait(60)
            save(states, *arguments)

        monkeypatch.setattr(States, "save", slow)


def test_a_copy_is_not_changed_by_what_is_trained_on(tmp_path: Path, monkeypatch) -> None:
    """However late it is written: weights, buffers, a prior, numbers and lists."""
    disk = SlowDisk()
    disk(tmp_path, monkeypatch)
    model, prior, kept = network(1.0), torch.ones(50, 3, dtype=torch.bfloat16), [1, {"two": 2.0}]
    before = copy.deepcopy(model.state_dict())
    keeper = keeper_in(tmp_path)
    keeper.keep_weights("selected", 1, model)
    keeper.keep(1, lambda: {"model": model.state_dict(), "method": {"prior": prior, "kept": kept}})
    assert disk.begun.wait(60)
    for tensor in [*model.state_dict().values(), prior]:
        tensor.fill_(7)
    kept[1]["two"] = 7.0  # type: ignore[index]
    assert not keeper.due()  # it is being written
    disk.let.set()
    files = keeper.flush()

    found = on_disk(tmp_path)
    assert found is not None
    state, checkpoints = found
    for name, value in before.items():
        assert torch.equal(state["model"][name], value)
    assert torch.equal(state["method"]["prior"], torch.ones(50, 3, dtype=torch.bfloat16))
    assert state["method"]["kept"] == [1, {"two": 2.0}]
    assert checkpoints == files
    saved = load_checkpoint(tmp_path / files["selected"].file, files["selected"].sha256)
    for name, value in before.items():
        assert torch.equal(saved.state_dict()[name], value)


def test_a_state_is_never_there_without_the_weights_that_it_refers_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever instant a process is killed at: looked at after every change of the folder."""
    rename, unlink, seen = os.replace, Path.unlink, []

    def look() -> None:
        found = on_disk(tmp_path)
        if found is not None:
            state, checkpoints = found
            seen.append(state["epoch"])
            for file in checkpoints.values():
                model = load_checkpoint(tmp_path / file.file, file.sha256)
                assert model.state_dict()["classifier.weight"].eq(file.epoch).all()
            assert checkpoints["selected"].epoch == state["best"]

    def replace(*paths: Any) -> None:
        rename(*paths)
        look()

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        look()

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlinked)
    keeper = keeper_in(tmp_path)
    keeper.writing.pay(0.0, math.inf)  # not beside it: when the test says so
    best = 0
    for epoch in range(1, 13):
        if epoch in (1, 2, 3, 5, 8, 9, 12):
            best = epoch
            keeper.keep_weights("selected", epoch, network(epoch))
        if epoch == 12:
            keeper.keep_weights("last", epoch, network(epoch))
        if epoch != 5:  # the copy of epoch 4 refers to weights of before
            here = {"epoch": epoch, "best": best}
            keeper.keep(epoch, lambda here=here: here)
        if epoch in (2, 5, 6, 7, 12):
            keeper.flush()
    assert sorted(set(seen)) == [2, 4, 6, 7, 12]
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == ["last", "selected", "selected", "state", "state"]


def test_what_is_written_already_is_not_written_again(tmp_path: Path) -> None:
    keeper = keeper_in(tmp_path)
    keeper.keep_weights("selected", 1, network(1.0))
    keeper.keep(1, dict)
    keeper.flush()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(written) == 2
    keeper.flush()
    again = keeper_in(tmp_path)
    again.flush()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written


ENDING = """
import sys
from pathlib import Path

import torch

from regmix_bench.models.weights import Description
from regmix_bench.training.keeper import StateKeeper
from regmix_bench.training.states import States

about = Description(arch="smallcnn", image_shape=(1, 8, 8), num_classes=10)
keeper = StateKeeper(States(Path(sys.argv[1]), "0123"), about, 0, {})
rows = [torch.ones(4_000_000) for _ in range(5)]
keeper.keep(1, lambda: {"rows": rows})
sys.exit(130)
"""


def test_a_process_that_ends_meanwhile_does_so_in_order(tmp_path: Path) -> None:
    """As at a second Ctrl-C: Python may not go while torch is at work in a thread."""
    found = answer(start(tmp_path, program=(sys.executable, "-c", ENDING)))
    assert (found.status, found.out, found.errors) == (130, "", "")
    state = on_disk(tmp_path)
    assert state is not None and len(state[0]["rows"]) == 5


@pytest.mark.parametrize("error", [CannotWrite("no room"), PermissionError(13, "no"), KeyError(1)])
def test_an_error_of_the_thread_is_raised_where_it_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failed = threading.Event()

    def fail(states: States, *arguments: Any) -> None:
        failed.set()
        raise error

    monkeypatch.setattr(States, "save", fail)
    keeper = keeper_in(tmp_path)
    keeper.keep(1, dict)
    assert failed.wait(60)
    while threading.active_count() > 1 and any(t.name == "states" for t in threading.enumerate()):
        pass
    with pytest.raises(type(error)) as raised:
        keeper.due()
    assert raised.value is error is keeper.error


def test_memory_is_used_again_while_the_content_keeps_its_form() -> None:
    memory = HostMemory()

    def content(value: float, rows: int = 4) -> Mapping[str, Any]:
        table = torch.full((rows, 3), value)
        return {"a": table, "b": [table[1:], {"c": value}], 3: (table.to(torch.bfloat16), "text")}

    first = memory.copy(content(1.0))
    places = [first["a"].data_ptr(), first["b"][0].data_ptr(), first[3][0].data_ptr()]
    second = memory.copy(content(2.0))
    assert places == [second["a"].data_ptr(), second["b"][0].data_ptr(), second[3][0].data_ptr()]
    assert second["a"].eq(2).all() and second["b"][1] == {"c": 2.0} and second[3][1] == "text"
    larger = memory.copy(content(3.0, rows=5))
    assert larger["a"].shape == (5, 3) and larger["a"].eq(3).all()
    assert memory.copy({"a": 1}) == {"a": 1}


def test_a_copy_keeps_the_layout_and_the_versions_of_a_model() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(
        memory_format=torch.channels_last
    )
    state = model.state_dict()
    copied = HostMemory().copy({"model": state})["model"]
    assert copied._metadata == state._metadata
    assert copied["0.weight"].stride() == state["0.weight"].stride()
    assert not copied["0.weight"].requires_grad
