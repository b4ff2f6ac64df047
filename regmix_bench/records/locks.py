"""One process at a time works on a run, be it on this machine or on one that shares the folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from regmix_bench.errors import UserError
from regmix_bench.records.paths import LOCK, artifacts_dir
from regmix_bench.system.files import CannotWrite, require_sole
from regmix_bench.system.reading import open_regular, read_bytes

#: Seconds to wait for a lock that may only be looked at.
_GLANCE = 0.2


class Busy(UserError):
    """Another process, which is alive, works on the run."""


@contextlib.contextmanager
def run_lock(results: Path, run_id: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the run ``run_id`` below ``results`` while the block goes on.

    The lock is one of ``flock``, which ends with its process, however that ends; ``say`` gets a
    line where one has ended without giving it back. Raises :class:`Busy` where another process has
    it, :class:`CannotWrite` where the folder refuses the file, or its file system locks, and
    :class:`UserError` where the file is one that lies elsewhere too.
    """
    path = artifacts_dir(results, run_id) / LOCK
    # The file stays: were it removed, two could hold it, one by its name and one without.
    lock = filelock.FileLock(require_sole(path), fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_GLANCE)
    except filelock.Timeout as error:
        raise Busy(f"left to {_holder(path) or 'another process'}, which works on it") from error
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error
    try:
        if dead := _holder(path):
            say(f"taken over from {dead}, which ended before it was done")
        _write(path, f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        _write(path, "")
        lock.release()


def is_held(path: Path) -> bool:
    """Return whether a process that is alive holds the lock of ``path``."""
    try:
        with open_regular(path) as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back as the file is closed
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _holder(path: Path) -> str:
    """Whom the file names, on one line that a terminal may be given."""
    try:
        words = read_bytes(path).decode(errors="replace").split()
    except OSError:
        return ""
    return "".join(character for character in " ".join(words) if character.isprintable())[:80]


def _write(path: Path, text: str) -> None:
    # Only a reader misses it, as the lock itself needs no content: no reason to fail a run.
    with contextlib.suppress(OSError):
        path.write_text(text, encoding="utf-8")
