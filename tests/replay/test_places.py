"""The line that is named is that of whoever has to look."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.replay.places import Place, at, here, raised_at


def line() -> int:
    return sys._getframe(1).f_lineno


class Asking(nn.Module):
    """Notes the line that is found in it."""

    found = ""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.found = str(here(0))
        return x


def test_a_line_inside_a_strangers_model_is_named_before_the_one_that_calls_it() -> None:
    model = Asking()
    nn.Sequential(nn.Identity(), model)(torch.ones(1))
    assert model.found == f"replay/test_places.py:{Asking.forward.__code__.co_firstlineno + 1}"


def test_our_models_torch_and_the_standard_library_are_not_named() -> None:
    found: list[Place | None] = []
    layer = nn.Identity()
    # Called by torch, and asks by a function of the standard library.
    layer.register_forward_hook(lambda *_: found.extend(map(here, [0])))
    ChunkedModel(nn.Sequential(layer), Chunks(4)).eval()(torch.ones(2, 1))
    assert [str(place) for place in found] == [f"replay/test_places.py:{line() - 2}"]


def test_a_thread_without_a_line_of_ours_names_the_one_that_waits_for_it() -> None:
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(here, threading.get_ident()).result()
        assert str(found) == f"replay/test_places.py:{line() - 1}"


def fails(x: torch.Tensor) -> torch.Tensor:
    return nn.Linear(3, 2)(x)


def test_an_error_comes_from_the_innermost_line() -> None:
    with pytest.raises(RuntimeError) as raised:
        fails(torch.ones(2))
    place = raised_at(raised.value)
    assert str(place) == f"replay/test_places.py:{fails.__code__.co_firstlineno + 1}"
    assert at(place) == f" ({place})" and at(raised_at(ValueError())) == ""
