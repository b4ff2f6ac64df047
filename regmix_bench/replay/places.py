"""Lines of code for whoever has to look: not torch's, and not of what runs a model for it."""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import NamedTuple

import torch

_PACKAGE, _ROOMS = Path(__file__).parents[1], ("replay", "kernels", "models")
_BETWEEN = tuple(
    os.path.join(folder, "")
    for folder in (Path(torch.__file__).parent, *(_PACKAGE / room for room in _ROOMS))
)
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")  # packages may be installed below it


class Place(NamedTuple):
    """A line that was executing."""

    code: CodeType
    line: int

    def __str__(self) -> str:
        """Name the file by its folder and its name: ``methods/regmix.py:64``."""
        return f"{'/'.join(Path(self.code.co_filename).parts[-2:])}:{self.line}"


def at(place: Place | None) -> str:
    """Return what to say of a place after what happened there."""
    return f" ({place})" if place else ""


def here(caller: int) -> Place | None:
    """Return the innermost such line of this thread, or else of the thread ``caller``.

    Autograd does the backward pass of a CUDA device in a thread of its own, on whose stack none of
    ours lies: the line is then the one that waits for the backward pass.
    """
    found = _innermost(sys._getframe(1))
    if found is None and threading.get_ident() != caller:
        found = _innermost(sys._current_frames().get(caller))
    return found


def raised_at(error: BaseException) -> Place | None:
    """Return the innermost such line of those that ``error`` came through."""
    found, trace = None, error.__traceback__
    while trace is not None:
        found = _line_of(trace) or found
        trace = trace.tb_next
    return found


def _innermost(frame: FrameType | None) -> Place | None:
    while frame is not None:
        if not _lies_between(frame.f_code.co_filename):
            return Place(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return None


def _line_of(trace: TracebackType) -> Place | None:
    code = trace.tb_frame.f_code
    return None if _lies_between(code.co_filename) else Place(code, trace.tb_lineno)


@cache
def _lies_between(filename: str) -> bool:
    standard = filename.startswith(_STANDARD) and "-packages" not in filename
    return standard or filename.startswith((*_BETWEEN, "<frozen ", "<eval"))
