"""The protocol of data sets: a class with a ``name`` and a ``load``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from regmix_bench.data.dataset import Dataset
from regmix_bench.errors import UserError
from regmix_bench.types import Frozen


class DataSource(ABC):
    """The source of the images of one data set.

    The first line of a subclass's docstring is what ``list datasets`` shows. ``Config`` holds the
    parameters that a user may give in brackets, as in ``name[key=value]``. Raise ``version`` when a
    change alters images, labels or their order.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    #: The architecture of a run that names none.
    arch: ClassVar[str] = "preactresnet18"
    #: Shape (C, H, W) of every image, where it is known without the data: a plan asks for it.
    image_shape: ClassVar[tuple[int, int, int] | None] = None
    #: Number of classes, where it is known without the data.
    num_classes: ClassVar[int | None] = None
    #: Keys of the recipe that fit these images better than its defaults.
    recipe: ClassVar[Mapping[str, Any]] = {}
    #: What the classes are called, by label; empty where a figure shall give their numbers.
    classes: ClassVar[tuple[str, ...]] = ()

    class Config(Frozen):
        """Parameters: validated, named, and all of them part of a run's identity."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def load(self, data_dir: Path, download: bool) -> Dataset:
        """Return the whole data set, the same at every call.

        ``data_dir`` is the folder of data sets, which may not exist; ``download`` says whether the
        user allows to fetch what is missing there. Raises
        :class:`~regmix_bench.errors.UserError` where the data are absent or unusable.
        """


class PathSource(DataSource):
    """Data that a user names by a path, as in ``npz:PATH``."""

    #: Lines that a user should read of what :meth:`entry` found.
    notes: tuple[str, ...] = ()
    #: What :meth:`entry` found the classes to be called, by label, if anything says it.
    class_names: tuple[str, ...] = ()
    #: Whether the data are to train on, so that each class needs training images.
    to_train: bool = False

    @abstractmethod
    def entry(self, path: Path) -> str:
        """Check, decode and cache what lies at ``path``; return the name of the cache's entry.

        That is ``<name>-`` and twelve digits of the content's SHA-256, as
        :func:`regmix_bench.data.cache.entry` makes it. Raises
        :class:`~regmix_bench.errors.UserError` for data that are not what they should be.
        """

    def load(self, data_dir: Path, download: bool) -> Dataset:
        raise UserError(f"dataset {self.name!r} names no path: write it like {self.name}:PATH")
