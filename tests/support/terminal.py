"""A terminal of so many columns and rows, with a command in it whose screens can be looked at."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyte

from support.synthetic import unmeasured

#: The columns of the screen itself: what a program writes beyond its terminal's width shows there.
BEYOND = 400


class Terminal:
    """A screen that keeps each of its states, as lines without what is empty at their ends."""

    def __init__(self, rows: int = 24) -> None:
        self.screen = pyte.HistoryScreen(BEYOND, rows, history=10_000)
        self.stream = pyte.Stream(self.screen)
        self.states: list[list[str]] = []

    def feed(self, text: str) -> None:
        """Show what a program writes."""
        self.stream.feed(text)
        lines = self.lines()
        if not self.states or lines != self.states[-1]:
            self.states.append(lines)

    def lines(self) -> list[str]:
        """The lines that are shown, without empty ones at the end."""
        found = [line.rstrip() for line in self.screen.display]
        while found and not found[-1]:
            found.pop()
        return found

    def everything(self) -> list[str]:
        """The lines that have scrolled away, and those that are shown."""
        above = [
            "".join(row[place].data for place in range(BEYOND)).rstrip()
            for row in self.screen.history.top
        ]
        return above + self.lines()

    @property
    def widest(self) -> int:
        """The most columns that a line of any state had."""
        lines = [*self.everything(), *(line for state in self.states for line in state)]
        return max(map(len, lines), default=0)


def run_in_terminal(
    command: Sequence[object],
    folder: Path,
    columns: int = 80,
    rows: int = 24,
    interrupt: Callable[[list[str]], bool] = lambda lines: False,
    seconds: float = 120,
    **env: str,
) -> tuple[int, Terminal]:
    """Run the command line in a terminal, in a folder; returns its exit status and what was seen.

    It gets Ctrl-C once ``interrupt`` says so of the lines that are shown.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {key: value for key, value in unmeasured().items() if key != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-m", "regmix_bench.cli", *map(str, command)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env=environment | {"TERM": "xterm", "LANG": "C.UTF-8"} | env,
        start_new_session=True,
    )
    os.close(theirs)
    terminal, interrupted = Terminal(rows), False
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                text = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not text:
                break
            terminal.feed(text.decode("utf-8", "replace"))
            if not interrupted and interrupt(terminal.lines()):
                interrupted = True
                os.killpg(process.pid, signal.SIGINT)
        return process.wait(timeout=seconds), terminal
    finally:
        process.kill()
        os.close(ours)
