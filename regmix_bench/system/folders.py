"""Folders into which one process at a time writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from regmix_bench.errors import UserError
from regmix_bench.system.files import CannotWrite


@contextlib.contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which is made where there is none, while the block goes on.

    The lock is one of ``flock`` on the folder itself: it leaves no file, and ends with its process,
    however that ends. Folders that were made and stay empty are removed. Raises :class:`UserError`
    where another process has it, and :class:`CannotWrite` where there can be no such folder.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CannotWrite(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        with contextlib.suppress(OSError):  # of file systems that lock no folder
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"another process writes into {folder}: wait for it") from error
        yield
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):  # one is not empty, as it should be
            for path in made:
                path.rmdir()
