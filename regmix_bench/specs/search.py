"""Search spaces: the fields of a class that ``tune`` may choose, each with its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from pydantic import BaseModel

from regmix_bench.types import Search


def search_space(config: type[BaseModel]) -> Mapping[str, Search]:
    """Return the ranges that the fields of a class declare, by name, in its order."""
    return MappingProxyType(
        {
            name: replace(mark, whole=field.annotation is int)
            for name, field in config.model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Search)
        }
    )
