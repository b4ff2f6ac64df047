"""Who hears how a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from regmix_bench.records.schema import EpochLog
from regmix_bench.specs import RunSpec


class Observer(Protocol):
    """Hears how a run goes on; every method may do nothing."""

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        """An epoch has been trained, validated and saved."""

    def on_attack(self, spec: RunSpec, threat: str, attack: str, accuracy: float) -> None:
        """AutoAttack has finished one attack; ``accuracy`` is left."""

    def on_note(self, spec: RunSpec, line: str) -> None:
        """Something was not as it should be, and has been dealt with."""


class Silent:
    """An observer that says nothing."""

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None: ...

    def on_attack(self, spec: RunSpec, threat: str, attack: str, accuracy: float) -> None: ...

    def on_note(self, spec: RunSpec, line: str) -> None: ...


class Messenger:
    """An observer that sends on what it hears, as (event, specification, details…)."""

    def __init__(self, send: Callable[[tuple[Any, ...]], None]) -> None:
        self.send = send

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        self.send(("on_epoch", spec, log))

    def on_attack(self, spec: RunSpec, threat: str, attack: str, accuracy: float) -> None:
        self.send(("on_attack", spec, threat, attack, accuracy))

    def on_note(self, spec: RunSpec, line: str) -> None:
        self.send(("on_note", spec, line))


def tell(observer: Observer, message: tuple[Any, ...]) -> None:
    """Let ``observer`` hear what a :class:`Messenger` has sent."""
    event, *details = message
    getattr(observer, event)(*details)
