"""Decoded datasets kept as arrays, so that a folder of images is decoded once.

``<cache>/datasets/<name>.npz`` holds the arrays; its name ends in the first digits of their content
digest, and reading it checks them. ``<name>.json`` beside it has what readers call the data, as the
source that was named last says. A file of ``<cache>/sources/`` is named by the fingerprint of a
source and holds the name of the dataset that it led to; the fingerprint covers paths, sizes and
times of the source's files, so that finding it costs one ``stat`` a file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from regmix_bench.data.dataset import Dataset
from regmix_bench.errors import UserError
from regmix_bench.specs import DataNames
from regmix_bench.system.files import atomic_write
from regmix_bench.system.reading import open_regular, read_bytes
from regmix_bench.system.surroundings import home_folder

#: Raise it when sources are decoded in another way, so that no older entry is found.
DECODER_VERSION = 2
ENTRY = re.compile(r"[a-z0-9-]+-[0-9a-f]{12}")


class DamagedEntry(UserError):
    """A cached dataset whose content is not what was written; it has been removed."""


def folder() -> Path:
    """Return ``REGMIX_BENCH_CACHE``, else ``regmix-bench`` in the user's cache folder."""
    if chosen := os.environ.get("REGMIX_BENCH_CACHE"):
        return Path(os.path.expanduser(chosen))
    return Path(os.environ.get("XDG_CACHE_HOME") or home_folder() / ".cache") / "regmix-bench"


def fingerprint(root: Path, files: Iterable[Path], *context: object) -> str:
    """Hash what ``stat`` says of the files below ``root``, its place, and ``context``."""
    facts = []
    for file in files:
        stat = file.stat()
        below_root = str(file).removeprefix(str(root)).lstrip(os.sep)
        # The change time sees a file replaced by another of the same size and modification time,
        # as unpacking an archive does.
        facts.append((below_root, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    content = json.dumps([DECODER_VERSION, str(root.resolve()), context, facts])
    return hashlib.sha256(content.encode()).hexdigest()


def entry(prefix: str, fingerprint: str, decode: Callable[[], Dataset]) -> str:
    """Return the name of a source's entry, which is decoded and written if there is none yet.

    The entry is found by the source's ``fingerprint``; its name begins with ``prefix``.
    """
    pointer = folder() / "sources" / f"{prefix}-{fingerprint}"
    if pointer.is_file():
        name = read_bytes(pointer).decode("ascii", errors="replace")
        if contains(name):
            return name
    dataset = decode()
    name = f"{prefix}-{dataset.digest[:12]}"
    content: dict[str, Any] = {**dataset.arrays(), "classes": np.array(dataset.classes)}
    with atomic_write(_path(name)) as stream:
        np.savez(stream, **content)
    with atomic_write(pointer) as stream:
        stream.write(name.encode())
    return name


def contains(name: str) -> bool:
    """Tell whether there is an entry of this name."""
    return ENTRY.fullmatch(name) is not None and _path(name).is_file()


def load_entry(entry_name: str, dataset_name: str) -> Dataset:
    """Load an entry as the dataset ``dataset_name``.

    Raises :class:`DamagedEntry` and removes the entry if its content does not match its name, and
    :class:`UserError` if there is none.
    """
    path = _path(entry_name)
    if not contains(entry_name):
        raise UserError(
            f"dataset {entry_name!r} is not in the cache {folder()}: name its source once"
        )
    try:
        with open_regular(path) as stream, np.load(stream, allow_pickle=False) as stored:
            validation = (
                (stored["val_images"], stored["val_labels"]) if "val_images" in stored else None
            )
            dataset = Dataset(
                name=dataset_name,
                train_images=stored["train_images"],
                train_labels=stored["train_labels"],
                test_images=stored["test_images"],
                test_labels=stored["test_labels"],
                classes=tuple(str(name) for name in stored["classes"]),
                validation=validation,
            )
        damage = "" if entry_name.endswith(dataset.digest[:12]) else "its digest differs"
    except Exception as error:  # of a damaged file numpy may raise anything
        damage = str(error) or type(error).__name__
    if damage:
        path.unlink(missing_ok=True)
        raise DamagedEntry(
            f"cached dataset {path} was damaged ({damage}) and is removed: name its source again"
        )
    return dataset


def entry_shape(entry_name: str) -> tuple[int, int, int] | None:
    """Return the shape (C, H, W) of an entry's images by the head of their array, or None."""
    try:
        with (
            open_regular(_path(entry_name)) as stream,
            zipfile.ZipFile(stream) as archive,
            archive.open("test_images.npy") as member,
        ):
            np.lib.format.read_magic(member)
            (_, channels, height, width), *_ = np.lib.format.read_array_header_1_0(member)
    except Exception:  # whoever loads a damaged entry says what is wrong
        return None
    return channels, height, width


def entry_classes(entry_name: str) -> int | None:
    """Return the number of classes of an entry, as its dataset counts them, or None."""
    try:
        with (
            open_regular(_path(entry_name)) as stream,
            np.load(stream, allow_pickle=False) as stored,
        ):
            return len(stored["classes"]) or 1 + int(stored["test_labels"].max())
    except Exception:  # whoever loads a damaged entry says what is wrong
        return None


def keep_names(entry_name: str, names: DataNames) -> None:
    """Write what readers call the data of an entry, unless it says so already."""
    if entry_names(entry_name) != names:
        with atomic_write(_names_path(entry_name)) as stream:
            stream.write(names.model_dump_json().encode())


def entry_names(entry_name: str) -> DataNames | None:
    """Return what readers call the data of an entry, or None where nothing says it."""
    try:
        return DataNames.model_validate_json(read_bytes(_names_path(entry_name)))
    except (OSError, ValueError, UserError):  # of an older entry, or damaged: its digest names it
        return None


def load_or_decode(find_entry: Callable[[], str], dataset_name: str | None = None) -> Dataset:
    """Load the entry that ``find_entry`` names, as the dataset ``dataset_name``, else its own name.

    Where it is damaged, ``find_entry`` is called a second time, which decodes its source anew, if
    that is known and still there. Raises :class:`DamagedEntry` otherwise.
    """
    name = find_entry()
    try:
        return load_entry(name, dataset_name or name)
    except DamagedEntry as damaged:
        try:
            name = find_entry()
        except UserError:
            raise damaged from None
    return load_entry(name, dataset_name or name)


def _path(name: str) -> Path:
    return folder() / "datasets" / f"{name}.npz"


def _names_path(name: str) -> Path:
    return _path(name).with_suffix(".json")
