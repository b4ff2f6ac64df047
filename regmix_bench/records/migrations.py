"""The versions of every kind of file that is read back, and the steps from an older to the newest.

A later field of a specification, of a record or of a method's configuration needs no step:
:mod:`regmix_bench.specs.identity` says what a file that lacks it means. Raise a version when what
is written changes, so that an older program says that it has to be upgraded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regmix_bench.errors import UserError

Content = dict[str, Any]


def _same(content: Content) -> Content:
    return content


@dataclass(frozen=True)
class FileKind:
    """A kind of file by its ``name``; ``steps[n]`` turns what version n holds into version n + 1.

    Where a file has no version it is of version ``unversioned``, if that is given.
    """

    name: str
    steps: Mapping[int, Callable[[Content], Content]]
    unversioned: int | None = None

    @property
    def version(self) -> int:
        """Return the newest version, the only one that is written."""
        return max(self.steps) + 1

    def migrate(self, content: object, path: Path) -> Content:
        """Return what the file at ``path`` holds as the newest version would have it.

        Raises :class:`UserError` where it has no version, a newer one, or one that no step reads.
        """
        found: Any = content if isinstance(content, dict) else {}
        version = found.get("schema_version", self.unversioned if found else None)
        if not isinstance(version, int) or isinstance(version, bool):
            raise UserError(f"{path} is not a {self.name}: it has no schema_version")
        if version > self.version:
            raise UserError(
                f"{path} has schema {version}, this version reads up to {self.version}:"
                " upgrade regmix-bench"
            )
        for number in range(version, self.version):
            if number not in self.steps:
                raise UserError(f"{path} has schema {number}, which no migration reads")
            found = {**self.steps[number](found), "schema_version": number + 1}
        return dict(found)


RECORD = FileKind(
    "record",
    {
        1: lambda content: {**content, "kind": "run"},
        2: _same,  # since then a run may name its views
        3: _same,  # since then a specification names components, and no field of one value
    },
)
LEADERBOARD = FileKind("leaderboard", {1: _same, 2: _same})
TRAINING_STATE = FileKind("training state", {0: _same}, unversioned=0)
