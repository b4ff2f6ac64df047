"""The connection to a cluster of Ray: one that is there, or one of this machine alone."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from regmix_bench.errors import UserError, reason
from regmix_bench.system.children import shelter_children

#: What a cluster has to answer.
SECONDS = 10
_MISSING = "the launcher ray needs the package of this name: pip install 'regmix-bench[ray]'"


def require_ray() -> None:
    """Raise :class:`UserError`, with the line that installs it, where Ray is not there."""
    if importlib.util.find_spec("ray") is None:  # not imported, which reads what is set before
        raise UserError(_MISSING)


@contextmanager
def connected(address: str | None, cpus: int) -> Iterator[Any]:
    """Yield Ray, connected to ``address`` or to a cluster of ``cpus`` CPUs of its own."""
    # Before the import, which reads them: no reports to Ray's makers, and no advice in between.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        # Ray listens on every interface and runs what it is sent: by this driver, and nobody else.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # Ray's workers are of the lowest priority but four, and stand still on a busy machine.
        os.environ.setdefault("RAY_worker_niceness", "0")
    shelter_children()
    try:
        import ray
    except ImportError as error:
        raise UserError(_MISSING) from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        if address is None:
            # "local", or it would join a cluster that runs here already.
            with _elsewhere():
                ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
        else:
            _reach(address)
            with _elsewhere():
                ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        why = reason(error.__cause__ or error)  # which Ray repeats with its traceback
        raise UserError(f"no cluster of Ray at {address or 'this machine'}: {why}") from error
    signal.signal(signal.SIGTERM, on_sigterm)  # which Ray has replaced by one of its own
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Stand in the root of the file system, as Ray puts the working folder on its workers' path."""
    here = Path.cwd()
    os.chdir(here.anchor)
    try:
        yield
    finally:
        os.chdir(here)


def _reach(address: str) -> None:
    """Raise :class:`OSError` where nobody answers, of which Ray itself is sure after minutes."""
    if address == "auto":  # is what this variable says, else a cluster that Ray finds here
        address = os.environ.get("RAY_ADDRESS") or address
    if address != "auto":
        there = urlsplit(address if "//" in address else f"//{address}")
        socket.create_connection((there.hostname, there.port or 0), SECONDS).close()


@contextmanager
def sigterm_held() -> Iterator[Callable[[], None]]:
    """Hold SIGTERM back, whose handler may raise what the C++ of Ray would trip over.

    The function that is given lets it through, and so does the end of the block.
    """
    handler = signal.getsignal(signal.SIGTERM)
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)

    def let_through() -> None:
        if held:
            signal.signal(signal.SIGTERM, handler)
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, hold)
    try:
        yield let_through
        let_through()
    finally:
        if signal.getsignal(signal.SIGTERM) is hold:
            signal.signal(signal.SIGTERM, handler)
