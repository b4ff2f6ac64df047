"""Numbers that others have published, as ``published.yaml`` holds them: read, and refused.

The file has three parts: ``sources`` by a short name; ``protocols``, which hold what several rows
share; and ``rows``. A row, or a protocol, gives what it has over the ``protocol`` that it names, or
over a list of them, each over those before it; mappings are joined key by key. A row that then
lacks its source, the weights that were scored, the selection set or the tricks is refused:
``unknown`` is to be said, and ``none`` takes back a rule that a protocol breaks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from regmix_bench.errors import UserError, abridged, unknown, validated
from regmix_bench.notation import read_yaml
from regmix_bench.records.paths import PUBLISHED
from regmix_bench.registry import FILE_NAME
from regmix_bench.sheets.reader import joined
from regmix_bench.sheets.rules import RULES
from regmix_bench.system.reading import read_text
from regmix_bench.types import Frozen, ThreatModel

_PARTS = ("sources", "protocols", "rows")

# Rows share what a protocol says, each by a copy of its own.
_MOST = 100

Unknown = Literal["unknown"]
Words = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Percentage:
    """An accuracy in percent, with its standard deviation over seeds where there is one."""

    mean: float
    deviation: float | None = None

    @classmethod
    def read(cls, value: object) -> Percentage:
        """Read ``50.49`` or ``50.49 ± 0.15``; raises ``ValueError`` for anything else."""
        found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)(?: ± (\d{1,2}(?:\.\d+)?))?", str(value))
        if not found or float(found[1]) > 100:
            raise ValueError("it is no accuracy in percent, such as 50.49 or 50.49 ± 0.15")
        return cls(float(found[1]), float(found[2]) if found[2] else None)


def _still_broken(broken: dict[str, str]) -> dict[str, str]:
    """Leave out what a row takes back, and refuse what is no rule."""
    for name in broken:
        if name not in RULES:
            raise ValueError(str(unknown("rule", name, RULES)))
    return {name: why for name, why in broken.items() if why != "none"}


_Percentage = Annotated[Percentage, BeforeValidator(Percentage.read)]


class Source(Frozen):
    """A publication: a short ``name``, its ``citation``, and ``where`` in it the numbers stand."""

    name: Words
    citation: Words
    where: Words
    url: str = Field(pattern="^https://")


class Scored(Frozen):
    """The weights behind a row: as trained or an average of them, and of which epoch."""

    weights: Literal["raw", "averaged", "mixed", "unknown"]
    epoch: Literal["selected", "last", "mixed", "unknown"]


class PublishedTricks(Frozen):
    """Tricks that a row had besides its method.

    ``true_class_mass`` is the label's share of the true class (1 where labels are not smoothed),
    ``awp`` the γ of adversarial weight perturbation. All else is words, ``none`` or ``unknown``.
    """

    true_class_mass: Annotated[float, Field(gt=0, le=1)] | Unknown
    averaging: Words
    awp: Annotated[float, Field(gt=0)] | Literal["none", "unknown"]
    extra_data: Words
    other: Words


class Published(Frozen):
    """One row: accuracies in percent as its source gives them, and how they came about.

    ``threat`` is that of the attack. ``robust`` names each attack as the header of our tables
    would, and ``attacks`` says in words what the source tells of one: version, restarts, seed.
    ``images`` were scored, ``seeds`` trained; ``train_seconds`` and ``memory_gb`` are of one
    training, on ``machine``. ``broken`` names each rule of
    :data:`~regmix_bench.sheets.rules.RULES` that the row breaks, and says by what.
    """

    label: Words
    source: Source
    dataset: str = Field(pattern=FILE_NAME)
    threat: ThreatModel
    arch: Words
    scored: Scored
    selection: Literal["validation", "test", "none", "unknown"]
    tricks: PublishedTricks
    images: Annotated[int, Field(gt=0)] | Unknown
    seeds: Annotated[int, Field(gt=0)] | Unknown
    clean: _Percentage | None = None
    robust: dict[str, _Percentage] = Field(min_length=1, max_length=_MOST)
    attacks: dict[str, Words] = Field({}, max_length=_MOST)
    train_seconds: float | None = Field(None, gt=0)
    memory_gb: float | None = Field(None, gt=0)
    machine: Words | None = None
    broken: Annotated[dict[str, Words], AfterValidator(_still_broken)] = {}
    remark: Words | None = None

    @model_validator(mode="after")
    def _checked(self) -> Published:
        if (self.train_seconds or self.memory_gb) and self.machine is None:
            raise ValueError("seconds and memory need their machine: write unknown if it is")
        return self

    @property
    def terms(self) -> PublishedTerms:
        """Return the terms on which it stands beside other rows."""
        extra = self.tricks.extra_data != "none"
        return PublishedTerms(self.dataset, arch_class(self.arch), self.threat, extra)

    @property
    def stem(self) -> str:
        """The part of a file name that says which table it stands in."""
        source = re.sub(r"[^a-z0-9]+", "-", self.source.name.lower()).strip("-")
        threat = f"{self.threat.norm}-{self.threat.epsilon.slug}"
        more = "-extra-data" if self.terms.extra_data else ""
        return f"published-{self.dataset}-{self.terms.arch_class}-{threat}{more}-{source}"


@dataclass(frozen=True)
class PublishedTerms:
    """Terms that rows must share before they may stand in one table."""

    dataset: str
    arch_class: str
    threat: ThreatModel
    extra_data: bool = False

    def at(self, threat: ThreatModel) -> PublishedTerms:
        """Return the terms that differ in the threat alone."""
        return replace(self, threat=threat)


def arch_class(name: str) -> str:
    """Return what an architecture's names have in common, as ``resnet18`` or ``wrn3410``.

    Spelling does not count, nor whether a residual network activates before its convolutions.
    """
    plain = re.sub(r"[^a-z0-9]+", "", name.lower())
    return plain.replace("wideresnet", "wrn").replace("preact", "") or "unknown"


def published_file(results: Path) -> Path:
    """Return ``<results>/published.yaml`` if there is one, or else the file of this package."""
    own = results / PUBLISHED
    return own if os.path.lexists(own) else Path(str(files("regmix_bench.reporting") / PUBLISHED))


def load_published(results: Path) -> tuple[Published, ...]:
    """Read the rows of :func:`published_file`.

    Raises :class:`UserError` where it cannot be read, is no such file, or a row is refused.
    """
    path = published_file(results)
    try:
        # pydantic says what may be made of a text.
        content = read_yaml(read_text(path), texts=True)
    except OSError as error:
        raise UserError(f"cannot read published numbers {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    try:
        return tuple(_rows(content))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _rows(content: object) -> Iterable[Published]:
    if not isinstance(content, dict) or "rows" not in content:
        raise UserError("it is not sources, protocols and rows of published numbers")
    for key in content:
        if key not in _PARTS:
            raise unknown("key", key, _PARTS)
    rows = content["rows"]
    if not isinstance(rows, list):
        raise UserError("rows is not a list")
    named = _mapping(content.get("sources", {}), "sources")
    sources = {
        name: validated(Source, _mapping(values, where), where)
        for name, values in named.items()
        for where in (f"source {abridged(name)}",)
    }
    protocols: dict[str, dict[str, Any]] = {}
    for name, values in _mapping(content.get("protocols", {}), "protocols").items():
        protocols[name] = _with_protocols(values, protocols, f"protocol {abridged(name)}")
    for number, values in enumerate(rows, start=1):
        row = _with_protocols(values, protocols, f"row {number}")
        where = f"row {number} ({abridged(row['label'])})" if "label" in row else f"row {number}"
        if "source" in row:
            if not isinstance(row["source"], str) or row["source"] not in sources:
                raise unknown(f"source of {where}", row["source"], sources)
            row["source"] = sources[row["source"]]
        yield validated(Published, row, where)


def _with_protocols(
    values: object, protocols: Mapping[str, Mapping[str, Any]], where: str
) -> dict[str, Any]:
    """Return the values of a row or protocol, over those of the protocols that it names."""
    own = dict(_mapping(values, where))
    names = own.pop("protocol", [])
    found: dict[str, Any] = {}
    for name in names if isinstance(names, list) else [names]:
        if not isinstance(name, str) or name not in protocols:
            raise unknown(f"protocol of {where}", name, protocols)
        found = joined(found, protocols[name])
    return joined(found, own)


def _mapping(values: object, where: str) -> Mapping[str, Any]:
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{where} is no mapping from names to values")
    return values
