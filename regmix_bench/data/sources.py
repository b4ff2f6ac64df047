"""Datasets by name: what there is, what a typed name stands for, and how it is loaded."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from regmix_bench.attacks.protocol import AttackedData
from regmix_bench.data import cache
from regmix_bench.data.dataset import Dataset, faults
from regmix_bench.data.protocol import DataSource, PathSource
from regmix_bench.errors import UserError, reason, unknown
from regmix_bench.registry import Registry, create, parse_name
from regmix_bench.specs.components import (
    Component,
    DataNames,
    create_component,
    parse_component,
    shown_name,
)
from regmix_bench.system.surroundings import home_folder

#: What ``--datasets`` takes; a :class:`PathSource` is followed by ``:PATH``.
DATASETS: Registry[type[DataSource]] = Registry(
    "dataset",
    group="regmix_bench.datasets",
    builtin={
        "digits": "regmix_bench.data.digits:Digits",
        "cifar10": "regmix_bench.data.cifar:CIFAR10",
        "cifar100": "regmix_bench.data.cifar:CIFAR100",
        "tiny-imagenet": "regmix_bench.data.tiny_imagenet:TinyImageNet",
        "npz": "regmix_bench.data.paths:ArrayFile",
        "folder": "regmix_bench.data.paths:ImageFolder",
    },
    base="regmix_bench.data.protocol:DataSource",
)

#: The architecture of data of a path by the longer side of its images: up to so many pixels.
ARCHS_BY_SIDE = ((16, "smallcnn"), (64, "preactresnet18"))
#: That of larger images: its stem and pooling make 224 pixels as cheap as 56 are to those.
ARCH_OF_LARGE = "timm-resnet18"


def default_data_dir() -> Path:
    """Return ``REGMIX_BENCH_DATA``, else ``regmix-bench`` in the user's data folder."""
    if chosen := os.environ.get("REGMIX_BENCH_DATA"):
        return Path(os.path.expanduser(chosen))
    return Path(os.environ.get("XDG_DATA_HOME") or home_folder() / ".local/share") / "regmix-bench"


def typed_names() -> list[str]:
    """Return what a user may type: every name, that of a :class:`PathSource` with ``:PATH``."""
    found = []
    for entry in DATASETS.entries():
        of_path = entry.item is not None and issubclass(entry.item, PathSource)
        found.append(f"{entry.name}:PATH" if of_path else entry.name)
    return found


def split_names(option: str, value: object, data_dir: Path | None) -> list[str]:
    """Return the names in a list of data sets, each text of it split at commas between names.

    A comma belongs to a path where the path with it exists, or where no name follows. Raises
    :class:`UserError` for an empty name.
    """
    found: list[str] = []
    several = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    for text in map(str, several):
        parts = re.split(r",(?![^\[]*\])", text)
        while parts:
            length = _length(parts, data_dir)
            found.append(",".join(parts[:length]).strip())
            parts = parts[length:]
        if not all(found):
            raise UserError(
                f"{option} {text!r} has an empty place: separate names by single commas"
            )
    return found


def _length(parts: Sequence[str], data_dir: Path | None) -> int:
    """Return how many of the ``parts`` of a text make up its first name."""
    kind, colon, path = parts[0].strip().partition(":")
    if not colon or kind not in DATASETS.names() or not issubclass(DATASETS[kind], PathSource):
        return 1
    for length in range(len(parts), 1, -1):
        if _found(",".join((path, *parts[1:length])).strip(), data_dir).exists():
            return length
    names = (re.split(r"[:\[]", part.strip())[0] for part in parts[1:])
    known = (not name or name in DATASETS.names() or path_source(name) for name in names)
    return 1 + next((place for place, is_name in enumerate(known) if is_name), len(parts) - 1)


def canonical_name(
    text: str,
    data_dir: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    to_train: bool = False,
) -> str:
    """Return the text that a specification is planned with.

    ``npz:PATH`` becomes ``npz-`` and ``folder:PATH`` becomes ``folder-``, followed by twelve digits
    of the content's SHA-256; the source is checked, decoded and cached, so that the new name alone
    loads it, and :func:`data_names` says what readers call it. Every other text stays, with its
    parameters. A relative PATH that does not exist is looked for in ``data_dir``. ``say`` gets a
    line for what was left out. Raises :class:`UserError` for an unknown name, and for a source that
    cannot be used or, ``to_train``, lacks training images of a class.
    """
    kind, colon, path = text.partition(":")
    if colon and kind in DATASETS.names():
        source = create(DATASETS, kind)
        if isinstance(source, PathSource):
            source.to_train = to_train
            with _in_one_line(text, kind):
                found = _locate(text, path, data_dir)
                entry = source.entry(found)
            place = Path(os.path.abspath(found))
            title = shown_name(place.name if found.is_dir() else place.stem)
            cache.keep_names(entry, DataNames(title=title, classes=source.class_names))
            for note in source.notes:
                say(note)
            return entry
    name, _ = parse_name("dataset", text)
    if path_source(name) is not None:
        if not cache.contains(name):
            typed = f"{name.rpartition('-')[0]}:PATH"
            raise UserError(f"dataset {name!r} is not in the cache {cache.folder()}: give {typed}")
        return name
    if name not in DATASETS.names():
        raise unknown("dataset", name, typed_names())
    if issubclass(DATASETS[name], PathSource):
        raise UserError(f"dataset {text!r} names no path: write it like {name}:PATH")
    return text


def dataset_component(text: str) -> tuple[str, Component | None]:
    """Return the name that a specification has for a :func:`canonical_name`, and its component.

    What is named by its content needs none.
    """
    return (text, None) if path_source(text) else parse_component("dataset", DATASETS, text)


def load_dataset(
    text: str,
    data_dir: Path | None = None,
    download: bool = False,
    component: Component | None = None,
    *,
    tested: bool = True,
) -> Dataset:
    """Load a dataset by the name a user types, or by the one in a record with its ``component``.

    ``data_dir`` defaults to ``REGMIX_BENCH_DATA``, else to ``regmix-bench`` in the user's data
    folder; ``download`` lets a source fetch what is missing there. Unless ``tested``, nothing here
    looks at the test images. Raises :class:`UserError` where the data are absent or unusable.
    """
    name = canonical_name(text, data_dir)
    if path_source(name) is not None:
        with _in_one_line(text, name.rpartition("-")[0]):
            return cache.load_or_decode(lambda: canonical_name(text, data_dir))
    name, typed = dataset_component(name)
    source = create_component(DATASETS, name, component or typed)
    with _in_one_line(text, name):
        dataset = source.load(data_dir or default_data_dir(), download)
    if found := faults(dataset, tested=tested):
        raise UserError(f"dataset {name!r} of {DATASETS.origin(name)} is unusable: {found[0]}")
    return dataset


def path_source(name: str) -> type[PathSource] | None:
    """Return the source of a dataset ``npz-…`` or ``folder-…``, and None for any other name."""
    kind, _, digest = name.rpartition("-")
    if not re.fullmatch(r"[0-9a-f]{12}", digest) or kind not in DATASETS.names():
        return None
    source = DATASETS[kind]
    return source if issubclass(source, PathSource) else None


def attacked_data(dataset: str) -> AttackedData:
    """Return what is known of a dataset's images without loading them.

    ``dataset`` is the name in a specification.
    """
    if path_source(dataset) is not None:
        return AttackedData(cache.entry_shape(dataset), cache.entry_classes(dataset))
    source = DATASETS[dataset]
    return AttackedData(source.image_shape, source.num_classes or len(source.classes) or None)


def default_arch(dataset: str) -> str:
    """Return the architecture of a run that names none: the data set's own, or by its images' size.

    ``dataset`` is the name in a specification. The machine has no say in it.
    """
    source = path_source(dataset)
    if source is None:
        return DATASETS[dataset].arch
    shape = cache.entry_shape(dataset)
    side = max(shape[1:]) if shape else 0  # whoever loads a damaged entry says what is wrong
    fitting = (arch for most, arch in ARCHS_BY_SIDE if side <= most)
    return next(fitting, ARCH_OF_LARGE)


def data_names(dataset: str, title: str | None = None) -> DataNames | None:
    """Return what readers call data that a user named by a path, ``title`` before its file's name.

    ``dataset`` is the name in a specification. None for data with a name of their own, and where
    nothing says it. Raises :class:`UserError` for a title that is none, or that is given to others.
    """
    if path_source(dataset) is None:
        if title is not None:
            raise UserError(f"data.name {title!r} is for data of a path: {dataset} has its name")
        return None
    kept = cache.entry_names(dataset)
    return kept if title is None else titled(title, kept.classes if kept else ())


def titled(title: str, classes: tuple[str, ...] = ()) -> DataNames:
    """Return names of a user's; raises :class:`UserError` for a title that cannot be one."""
    if shown_name(title) != title:
        raise UserError(
            f"data.name {title!r} is no name of up to 80 letters, digits, spaces and . , + - ( ),"
            f" such as {shown_name(title)!r}"
        )
    return DataNames(title=title, classes=classes)


def class_names(dataset: str, names: DataNames | None = None) -> tuple[str, ...]:
    """Return what the classes are called, where a record or the source says it, else ().

    ``names`` are those of the specification that names ``dataset``.
    """
    if names is not None:
        return names.classes
    with contextlib.suppress(UserError):  # of a source that is not installed here
        return DATASETS[dataset].classes
    return ()


def class_name(names: Sequence[str], label: int) -> str:
    """Return the name of a class, or its number where ``names`` have none for it."""
    return names[label] if 0 <= label < len(names) else str(label)


@contextlib.contextmanager
def _in_one_line(text: str, name: str) -> Iterator[None]:
    """Turn what a source raises into one line, whatever it is where the source is a stranger's."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read dataset {text!r}: {error}") from error
    except MemoryError as error:
        raise UserError(f"dataset {text!r} does not fit into memory: {error}") from error
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if DATASETS.is_builtin(name):
            raise
        origin = DATASETS.origin(name)
        raise UserError(f"dataset {text!r} of {origin} fails: {reason(error)}") from error


def _locate(text: str, path: str, data_dir: Path | None) -> Path:
    if not path:
        raise UserError(f"dataset {text!r} names no path: write it like {text}PATH")
    return find_path(f"dataset {text!r}", path, data_dir)


def find_path(called: str, path: str, data_dir: Path | None) -> Path:
    """Return where ``path`` leads to: as a user typed it, else in the folder of the datasets.

    Raises :class:`UserError` where neither is there; ``called`` begins what it says.
    """
    found = _found(path, data_dir)
    if not found.exists():
        typed = os.path.expanduser(path)
        other = (
            ""
            if os.path.isabs(typed)
            else f", neither here nor in {data_dir or default_data_dir()}"
        )
        raise UserError(f"{called}: there is no {typed}{other}")
    return found


def _found(path: str, data_dir: Path | None) -> Path:
    typed = Path(os.path.expanduser(path))
    return typed if typed.exists() else (data_dir or default_data_dir()) / typed
