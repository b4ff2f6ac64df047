"""Parts that a specification only names: methods, models, and the components of plug-ins."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, field_serializer

from regmix_bench.errors import UserError, validated
from regmix_bench.registry import FILE_NAME, Registry, create, format_name, parse_name
from regmix_bench.specs.identity import completed, written
from regmix_bench.types import Frozen, JSONValues, Later

T = TypeVar("T")

#: What a user chose as a name: it means nothing to a terminal, to HTML, Markdown or a shell.
ShownName = Annotated[str, AfterValidator(lambda text: _require_shown(text))]
_SHOWN = re.compile(r"\w[\w .,+()-]{0,79}")

ComponentKind = Literal["attack", "dataset", "arch"]


class MethodSpec(Frozen):
    """A method by name, its hyper-parameters, the version of its code, and its row's label.

    ``params`` are those that :func:`regmix_bench.methods.configured.method_spec` keeps: all of
    them, save those that came later and have the value that older runs in effect had. So a
    record's identity needs no class of the method, which may not be installed. ``label`` follows
    from them and today's defaults; a record is written with ``recorded_label`` where it has one,
    the label that it bore first, which its file's name and a suite's reference go by. ``code`` is
    of a method in a file of the user's, and ``source_file`` where that lies on this machine, for
    the processes that train with it; no record has that.
    """

    name: str
    version: int = Field(ge=0, lt=2**31)
    params: JSONValues
    label: str
    code: Annotated[str | None, Later(None)] = Field(None, pattern=r"^[0-9a-f]{12}$")
    recorded_label: str | None = Field(None, exclude=True)
    source_file: str | None = Field(None, exclude=True)

    @field_serializer("label")
    def _as_recorded(self, label: str) -> str:
        return self.recorded_label or label


class ModelSource(Frozen):
    """The origin of a model that was not trained by the run at hand, free of paths.

    ``name`` is a run_id and checkpoint, an identifier of RobustBench, ``module:callable``, a
    file's name or the class of a live module with the digest of its settings; ``sha256`` is that of
    its weights, of a callable together with its code.
    """

    kind: Literal["run", "robustbench", "callable", "weights", "program", "module"]
    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def run_id(self) -> str | None:
        """Return that of the run whose weights it is, None of another model."""
        return self.name.partition(":")[0] if self.kind == "run" else None


class DataNames(Frozen):
    """The words of readers for data that a path names: of the data set, and of classes by label.

    No number follows from it, so that it is no part of an identity. ``classes`` is empty where the
    data give theirs no names.
    """

    title: ShownName
    classes: tuple[ShownName, ...] = ()

    def told_apart(self, dataset: str) -> DataNames:
        """Return the names with digits of the content of ``dataset`` behind the title."""
        _, _, content = dataset.rpartition("-")
        title = f"{self.title[:70].rstrip()} ({content[:4]})"
        return self.model_copy(update={"title": title})


def shown_name(text: str) -> str:
    """Return ``text``, such as the name of a file, with a dash for what no shown name may hold."""
    return re.sub(r"[^\w .,+()-]+", "-", text).lstrip(" .,+()-")[:80].strip(" -") or "unnamed"


def shown_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return the shown names of classes by label, with the label where two would have the same."""
    shown = [shown_name(name) for name in names]
    times = Counter(shown)
    return tuple(
        f"{name[:70].rstrip()} ({label})" if times[name] > 1 else name
        for label, name in enumerate(shown)
    )


def _require_shown(text: str) -> str:
    if not _SHOWN.fullmatch(text):
        raise ValueError("is no name of letters, digits, spaces and _ . , + ( ) -, 80 at most")
    return text


class Component(Frozen):
    """An attack, a data set or an architecture of a plug-in that decides a run's numbers.

    ``version`` is that of its code, which it raises when a change alters results; ``params`` is
    its configuration, JSON values by name.
    """

    kind: ComponentKind
    name: str = Field(pattern=FILE_NAME)
    version: int = Field(ge=0, lt=2**31)
    params: JSONValues = {}

    def __hash__(self) -> int:  # a dictionary has none
        return hash(self.model_dump_json())

    def __str__(self) -> str:
        """Return the name as a user types it, such as ``mine[width=32]``."""
        return format_name(self.name, self.params)


def parse_component(
    kind: ComponentKind, registry: Registry[Any], text: str
) -> tuple[str, Component | None]:
    """Return the name in ``text``, such as ``mine[width=32]``, and what an identity says of it.

    That is nothing of what comes with this package, in its first version and as it is without
    parameters: records are older than components. Raises :class:`UserError` for a name or a
    parameter that is unknown or refused.
    """
    typed, values = parse_name(registry.kind, text)
    name = registry.canonical(typed)
    found = registry[name]
    config = validated(found.Config, values, name)
    if registry.is_builtin(name) and found.version == 1 and config == found.Config():
        return name, None
    params = written(config)
    return name, Component(kind=kind, name=name, version=found.version, params=params)


def create_component(
    registry: Registry[type[T]], name: str, component: Component | None = None
) -> T:
    """Return the item called ``name``, with the parameters of ``component`` where there is one.

    Raises :class:`UserError` where it is not installed here, or in another version.
    """
    if component is None:
        return create(registry, name)
    found: Any = registry[name]
    if found.version != component.version:
        raise UserError(
            f"{registry.kind} {name!r} is wanted in version {component.version}, and"
            f" {registry.origin(name)} has version {found.version}"
        )
    return create(registry, name, completed(found.Config, component.params))
