"""Ctrl-C and SIGTERM as exceptions that are not lost on their way up.

A handler runs wherever Python looks for signals, and what it raises may come up inside code that
makes an error of its own of it, as functions of C and serializers do, or drops it, as finalizers
do. So the handlers also note what they raised.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_raised: BaseException | None = None


class Termination(BaseException):
    """The process was asked to end, as a cluster's scheduler does; no error, so none catches it."""


def handle_signals() -> None:
    """Make SIGTERM raise :class:`Termination`, once, and Ctrl-C :class:`KeyboardInterrupt`."""
    global _raised
    _raised = None
    signal.signal(signal.SIGTERM, _handle)
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # else a shell ignores it
        signal.signal(signal.SIGINT, _handle)


def _handle(number: int, frame: FrameType | None) -> NoReturn:
    global _raised
    _raised = KeyboardInterrupt() if number == signal.SIGINT else Termination()
    if number == signal.SIGTERM:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would cut the end short
    raise _raised


@contextmanager
def no_signal_lost() -> Iterator[None]:
    """Raise at the end of the block what a handler has raised inside, and any error it became."""
    try:
        yield
    except Exception:
        if _raised is None:
            raise
    if _raised is not None:
        raise _raised
