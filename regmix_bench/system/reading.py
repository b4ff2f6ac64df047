"""Files that come from outside, opened in one place: regular ones alone, and never waited for.

A FIFO would wait for a writer, a terminal for a key, and a device may have no end. What is no
regular file is an ``OSError`` here, so that a reader says it as it says that there is no such file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

#: The most bytes that a text may have, be it JSON or YAML: 2,000 times a record of 200 epochs.
LARGEST_TEXT = 2**28


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises :class:`OSError` where there is none, where it may not be read, and where the path is
    that of a folder, a FIFO, a socket or a device, or of a link to one.
    """
    return open(path, "rb", opener=_regular)


def _regular(path: str, flags: int) -> int:
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file", path)
    except OSError:
        os.close(handle)
        raise
    return handle


def read_bytes(path: Path) -> bytes:
    """Return the content of a text, not decoded; raises :class:`OSError` if it is too large."""
    with open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size > LARGEST_TEXT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return stream.read()


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8; raises ``OSError`` and ``UnicodeDecodeError``."""
    return read_bytes(path).decode()


@contextmanager
def open_tensors(path: Path, framework: Literal["pt", "numpy"]) -> Iterator[Any]:
    """Open a file of safetensors, which its library maps into memory by its path."""
    from safetensors import safe_open

    with open_regular(path), safe_open(path, framework=framework) as file:
        yield file
