"""Calls that may never return, and are waited for no longer than a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


class BoundedThread:
    """A thread that makes the calls that it is given, one after another, and may be left behind.

    It begins with the first call and does not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[
            tuple[Future[None], Callable[..., object], tuple[Any, ...]] | None
        ] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, seconds: float, function: Callable[..., object], *arguments: Any) -> None:
        """Make a call and wait for its end; raises what it raises.

        Raises ``TimeoutError`` where it has not ended in ``seconds``, after which further calls
        would only wait behind it.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        ended: Future[None] = Future()
        self._calls.put((ended, function, arguments))
        try:
            ended.result(seconds)
        except TimeoutError as error:
            if ended.done():
                raise  # the call's own
            raise TimeoutError(f"no answer in {seconds:g} s") from error

    def end(self) -> None:
        """Have the thread end after the calls that it was given; it is given no more."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            ended, function, arguments = call
            try:
                function(*arguments)
            except BaseException as error:
                ended.set_exception(error)
            else:
                ended.set_result(None)
