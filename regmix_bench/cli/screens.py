"""Screens for the moving lines of a display: a terminal, and the output of a notebook's cell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from regmix_bench.cli.layout import fold
from regmix_bench.system.text import one_line

#: Frames in a second on a terminal, and in a notebook, where each is sent to a browser.
FRAMES, SENT = 4, 2


class Screen(Protocol):
    """Shows a frame that is made anew again and again, below lines that stay."""

    @property
    def is_started(self) -> bool:
        """Return whether frames are being shown."""

    def start(self, refresh: bool = False) -> None:
        """Begin to show frames, the first at once if asked to ``refresh``."""

    def refresh(self) -> None:
        """Show the frame as it is now."""

    def stop(self) -> None:
        """Take the frame away; the lines stay."""

    def say(self, line: str) -> None:
        """Show a line above the frame, in as many as it needs."""


def screen_for(console: Console, frame: Callable[[], Text]) -> Screen:
    """Return what shows frames where the ``console`` writes."""
    return NotebookScreen(console, frame) if console.is_jupyter else TerminalScreen(console, frame)


class TerminalScreen(Live):
    """Frames on a terminal."""

    def __init__(self, console: Console, frame: Callable[[], RenderableType]) -> None:
        super().__init__(
            console=console,
            get_renderable=frame,
            refresh_per_second=FRAMES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def say(self, line: str) -> None:
        """Print a line above the frame, in as many as it needs."""
        for part in fold(one_line(line), self.console.width):
            self.console.print(Text(part), soft_wrap=True)


class NotebookScreen:
    """Frames in one output of a notebook, as text, which any front end shows without a widget."""

    def __init__(self, console: Console, frame: Callable[[], Text]) -> None:
        self.console, self.frame = console, frame
        self.lines: list[str] = []
        self.over = threading.Event()
        self.output: Any = None  # of IPython, which a notebook brings
        self.thread: threading.Thread

    @property
    def is_started(self) -> bool:
        """Return whether frames are being shown."""
        return self.output is not None and not self.over.is_set()

    def start(self, refresh: bool = False) -> None:
        """Begin to show frames."""
        from IPython import display

        self.over.clear()
        publish: Any = display.display
        self.output = publish(self._content(), raw=True, display_id=True)
        self.thread = threading.Thread(target=self._follow, name="display", daemon=True)
        self.thread.start()

    def refresh(self) -> None:
        """Show the frame as it is now."""
        self.output.update(self._content(), raw=True)

    def stop(self) -> None:
        """Leave the lines alone in the output."""
        if self.is_started:
            self.over.set()
            self.thread.join()  # whose last frame would otherwise come after this
            self.refresh()

    def say(self, line: str) -> None:
        """Show a line above the frame, in as many as it needs."""
        self.lines += fold(one_line(line), self.console.width)
        self.refresh()

    def _follow(self) -> None:
        while not self.over.wait(1 / SENT):
            self.refresh()

    def _content(self) -> dict[str, str]:
        """Return the output as MIME types: the lines and, until it is over, the frame."""
        frame = [] if self.over.is_set() else [self.frame().plain]
        return {"text/plain": "\n".join([*self.lines, *frame])}
