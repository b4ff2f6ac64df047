"""Files that are written whole or not at all, that stay in their folder, and their digests."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from regmix_bench.errors import UserError
from regmix_bench.system.reading import open_regular


class NoSuchFile(UserError):
    """There is no file at a path, or not any more; a caller may know what that means."""


class CannotWrite(UserError):
    """The disk is full, or the folder refuses: nothing that a run has done wrong."""


_TEMPORARY = ".tmp-"
_NAMED = 120  # characters of the name that is to be, in that of the temporary file


# Nothing that another system takes for a drive, a folder or an end; and no system takes more bytes.
_NAME = re.compile(r"[^\x00-\x1f\x7f\\:\ud800-\udfff]+")
_NAME_BYTES = 255


def below(folder: Path, name: str) -> Path:
    """Return the place in ``folder`` that ``name`` stands for, a text that came out of a file.

    ``name`` may lead into folders below, with ``/`` between them. Raises :class:`UserError` where
    it is an absolute path, has a ``..``, or is no name of a file.
    """
    if not all(map(_is_name, name.split("/"))):
        raise UserError(f"{name[:80]!r} is no name of a file in {folder}")
    return folder / name


def held_below(folder: Path, name: str) -> Path:
    """Return what :func:`below` does, where no link leads out of ``folder``.

    Whatever names a file of ours inside of another file goes through here. Raises
    :class:`UserError` where it leads out of ``folder`` in any way.
    """
    path = below(folder, name)
    try:
        stays = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that lead in a circle
        stays = False
    if not stays:
        raise UserError(f"{path} leads out of {folder}")
    return path


def require_sole(path: Path) -> Path:
    """Return ``path``, where writing into it, in place, changes nothing that lies elsewhere.

    Raises :class:`UserError` where it is a link, has other names, or is no regular file.
    """
    try:
        found = path.lstat()
    except OSError:
        return path  # opening it says why, if it is not simply new
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise UserError(f"{path} is a link, has another name too, or is no file: remove it")
    return path


def _is_name(part: str) -> bool:
    plain = _NAME.fullmatch(part) is not None and part not in (".", "..")
    return plain and len(part.encode()) <= _NAME_BYTES


@contextlib.contextmanager
def atomic_write(
    path: Path, named: Callable[[], Path] | None = None, durable: bool = True
) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` that takes its place only when the block ends well.

    It takes that of what ``named`` returns then instead, in the same folder, where its name follows
    from what is written. One that is not ``durable`` may be lost where the power fails, and does
    not wait for the disk.

    Raises :class:`CannotWrite` where the folder refuses the file or the disk is full, and where
    ``path`` is that of a folder, a FIFO or a device, or of a link to one; whatever stood at
    ``path`` before is then still there.
    """
    if os.path.exists(path) and not os.path.isfile(
        path
    ):  # a privileged process would replace /dev/stdout
        raise CannotWrite(f"cannot write {path}: it is no regular file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f"{_TEMPORARY}{path.name[:_NAMED]}-"
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path if named is None else named())
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error
        raise


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write several files, whole, and all of them or none.

    Each is on the disk beside its place before the first of them takes its place. Raises as
    :func:`atomic_write` does.
    """
    with contextlib.ExitStack() as written:
        for path, data in files.items():
            stream = written.enter_context(atomic_write(path))
            stream.write(data)
            stream.flush()  # here, where a disk that is full stops all


def require_apart(outputs: Mapping[str, Path], inputs: Iterable[Path]) -> None:
    """Raise :class:`UserError` where a file would be written over another one, or over an input.

    ``outputs`` are by the options that name them.
    """
    taken = {os.path.realpath(path): f"{path}, which is read" for path in inputs}
    for option, path in outputs.items():
        place = os.path.realpath(path)
        if place in taken:
            raise UserError(f"{option} would write over {taken[place]}: name another file")
        taken[place] = f"{path} of {option}"


def copy_file(path: Path, new: Path) -> None:
    """Copy a regular file, atomically; raises as :func:`atomic_write` and ``open_regular`` do."""
    with open_regular(path) as source, atomic_write(new) as target:
        shutil.copyfileobj(source, target)


def sweep(folder: Path, name: str = "") -> None:
    """Remove half-written files named ``name…`` that killed processes left in ``folder``.

    To be called only where no other process writes these files now.
    """
    for path in folder.glob(f"{_TEMPORARY}{glob.escape(name[:_NAMED])}*"):
        path.unlink(missing_ok=True)


def _umask() -> int:
    # mkstemp makes private files; results are to be shared as any other file is.
    current = os.umask(0o022)
    os.umask(current)
    return current


def file_digest(path: Path) -> str:
    """Hash a file: SHA-256 in hex.

    Raises :class:`UserError` where it cannot be read, and :class:`NoSuchFile` where there is none.
    """
    try:
        with open_regular(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        kind = NoSuchFile if isinstance(error, FileNotFoundError) else UserError
        raise kind(f"cannot read {path}: {error.strerror or error}") from error
