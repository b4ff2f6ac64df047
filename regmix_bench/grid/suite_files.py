"""Suite files: what a YAML file may say of a grid, and where each of its keys belongs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from regmix_bench.errors import UserError, unknown, validated
from regmix_bench.grid.settings import GROUPS, DataSettings
from regmix_bench.methods import METHODS
from regmix_bench.notation import read_yaml
from regmix_bench.specs import Recipe, Scoring
from regmix_bench.system.reading import read_text
from regmix_bench.types import DEFAULT_NORM, Evaluated, Frozen, NormName

# YAML reads 0.031 as a number and 8/255 as text.
_EpsilonText = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    WithJsonSchema({"type": ["string", "number"]}),
]


class Grid(Frozen):
    """The content of a suite file: the axes of a grid and what its runs share.

    Its keys are the options of ``run``; ``recipe``, ``scoring``, ``data`` and ``params`` hold what
    ``--set`` sets. ``reference`` is the method that the others are compared with, the first one if
    left out. ``tuned`` is how `tune` came to the values, which the records keep.
    """

    methods: tuple[str, ...] = Field(min_length=1)
    datasets: tuple[str, ...] = Field(("digits",), min_length=1)
    archs: tuple[str, ...] | None = None
    eps: tuple[_EpsilonText, ...] = Field(min_length=1)
    threats: tuple[_EpsilonText, ...] | None = None
    pgd_eps: tuple[_EpsilonText, ...] = ()
    norm: NormName = DEFAULT_NORM
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field((0,), min_length=1)
    recipe: dict[str, Any] = {}
    scoring: dict[str, Any] = {}
    data: dict[str, Any] = {}
    params: dict[str, dict[str, Any]] = {}
    reference: str | None = None
    tuned: dict[str, Any] | None = None
    evaluate: Evaluated = "selected"


class Shorthands(Frozen):
    """The keys that stand for others, as the options of ``run`` with these names do."""

    eval_eps: tuple[_EpsilonText, ...] | None = Field(None, description="threats")
    attacks: tuple[str, ...] = Field((), description="scoring.attacks, of version custom")
    screen: bool = Field(False, description="scoring.screen")
    train_examples: int | None = Field(None, ge=1, description="data.train_examples")
    eval_examples: int | None = Field(None, ge=1, description="data.eval_examples")


#: Keys whose value the kind of device decides, where none is said, or "auto".
BY_DEVICE = (
    ("recipe", "precision"),
    ("recipe", "validation_precision"),
    ("scoring", "search_precision"),
)
#: What the groups that ``--set`` names may hold.
GROUP_MODELS: dict[str, type[Frozen]] = {
    "recipe": Recipe,
    "scoring": Scoring,
    "data": DataSettings,
}


def packaged_suites() -> list[str]:
    """Return the names of the suites that come with the package."""
    entries = files("regmix_bench.grid").joinpath("suites").iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in entries if ".yaml" in entry.name)


def suite_words(name: str) -> str:
    """Return the first sentence of what a packaged suite says of itself, at its top."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), _packaged(name).splitlines())
    about = " ".join(line.lstrip("# ") for line in lines)
    return re.split(r"(?<=[.])\s", about, maxsplit=1)[0]


def _packaged(name: str) -> str:
    return files("regmix_bench.grid").joinpath("suites", f"{name}.yaml").read_text("utf-8")


def load_suite(name: str) -> list[dict[str, Any]]:
    """Load the grids of a packaged suite or of a YAML file, as written.

    A file is one grid, or keys that are shared and a list ``grids`` whose own replace them, in
    ``recipe``, ``scoring`` and ``data`` key by key. Raises :class:`UserError` where there is no
    such suite or the file is not YAML of that form.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        try:
            text = read_text(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UserError(f"cannot read suite {name}: {reason}") from error
    elif name in packaged_suites():
        text = _packaged(name)
    else:
        raise unknown("suite", name, packaged_suites())
    try:
        content = read_yaml(text)
    except ValueError as error:
        raise UserError(f"suite {name} is not YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"suite {name} is not a mapping of keys such as methods and eps")
    grids = content.pop("grids", [{}])
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids or [None]):
        raise UserError(f"suite {name}: grids is not a list of mappings")
    return [merged(content, grid) for grid in grids]


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of all ``layers``, later over earlier; of the groups, key by key."""
    found: dict[str, Any] = {group: {} for group in GROUPS}
    for layer in layers:
        short = _written_out(layer)
        groups = {
            group: {**found[group], **short.get(group, {}), **_mapping(layer, group)}
            for group in GROUPS
        }
        rest = {key: value for key, value in layer.items() if key not in Shorthands.model_fields}
        if "eval_eps" in layer:
            if "threats" in layer:
                raise UserError("suite.eval_eps is another name of suite.threats: say one of them")
            rest["threats"] = layer["eval_eps"]
        found |= rest | groups
    return found


def _written_out(layer: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return by group what the shorthands of ``layer`` stand for."""
    given = {key: layer[key] for key in Shorthands.model_fields if key in layer}
    validated(Shorthands, given, "suite")
    found: dict[str, dict[str, Any]] = {"scoring": {}, "data": {}}
    for key, value in given.items():
        if key == "eval_eps":
            continue
        found["data" if key in DataSettings.model_fields else "scoring"][key] = value
    if "attacks" in given:
        found["scoring"]["autoattack_version"] = "custom"
    return found


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key, {})
    if not isinstance(value, Mapping):
        raise UserError(f"suite.{key} is not a mapping")
    return value


def params_of(content: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters by method; raises :class:`UserError` for what are none."""
    params = _mapping(content, "params")
    for name in params:
        if not isinstance(params[name], Mapping):
            raise UserError(f"suite.params: {str(name)[:80]!r} is not a mapping")
    return params


def read_grid(content: Mapping[str, Any]) -> Grid:
    """Return the grid that ``content`` says.

    Raises :class:`UserError` for a key that stands where it does not belong, and says where it
    does; and for an unknown key or a refused value.
    """
    known: dict[str, type[Frozen]] = {"suite": Grid, **GROUP_MODELS}
    for where, model in known.items():
        for key in content if where == "suite" else content[where]:
            if key not in model.model_fields and (places := list(_places(key, content))):
                said = " or ".join(places)
                raise UserError(f"unknown key of {where} {str(key)!r}: it belongs to {said}")
    return validated(Grid, content, "suite")


def _places(key: object, content: Mapping[str, Any]) -> Iterator[str]:
    """Yield where else a key of this name would be known."""
    if key in {*Grid.model_fields, *Shorthands.model_fields}:
        yield "the suite itself"
    for group, model in GROUP_MODELS.items():
        if key in model.model_fields:
            yield group
    named = content.get("methods")
    for text in named if isinstance(named, list | tuple) else ():
        name = str(text).partition("[")[0]
        if name in METHODS.names() and key in METHODS[name].Config.model_fields:
            yield f"params.{name}"
