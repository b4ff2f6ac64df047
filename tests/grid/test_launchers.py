"""Launchers by name: each is a module with one function, and they take the same."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest

from regmix_bench.api.run import run
from regmix_bench.cli.commands import options
from regmix_bench.errors import UserError
from regmix_bench.grid.launchers import Launcher, LauncherName, load_launcher


@pytest.mark.parametrize("name", get_args(LauncherName))
def test_every_launcher_takes_what_the_protocol_says(name: str) -> None:
    expected = list(inspect.signature(Launcher.__call__).parameters)[1:]
    assert list(inspect.signature(load_launcher(name)).parameters) == expected


def test_an_unknown_launcher_is_named() -> None:
    with pytest.raises(UserError, match="unknown launcher 'slurm'"):
        load_launcher("slurm")


def test_the_command_offers_what_there_is() -> None:
    parameter, _ = options(run)["launcher"]
    assert parameter.annotation == LauncherName
