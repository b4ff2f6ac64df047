"""The kinds of file that are read back: their versions, and the steps from an older to the newest.

A later field of a specification, of a record or of a method's configuration needs no step:
:mod:`regmix_bench.specs.identity` says what a file that lacks it means. Raise a version when what
is written changes, so that an older program says that it has to be upgraded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from regmix_bench.errors import UserError, first_problem
from regmix_bench.notation import read_json
from regmix_bench.specs.identity import completed
from regmix_bench.system.reading import read_bytes

Content = dict[str, Any]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class FileKind:
    """A kind of file by its ``name``; ``steps[n]`` turns what version n holds into version n + 1.

    A file that names no version is of ``unversioned``, if that is given.
    """

    name: str
    steps: Mapping[int, Callable[[Content], Content]]
    unversioned: int | None = None

    @property
    def version(self) -> int:
        """Return the newest version, the only one that is written."""
        return max(self.steps) + 1

    def load(self, path: Path) -> Content:
        """Return what a file of JSON holds, as the newest version would have it.

        Raises :class:`UserError` where it cannot be read, and as :meth:`migrate` does.
        """
        try:
            content = read_json(read_bytes(path))
        except OSError as error:
            raise UserError(f"cannot read {self.name} {path}: {error.strerror}") from error
        except ValueError as error:
            raise UserError(f"{path} is not a {self.name}: {error}") from error
        return self.migrate(content, path)

    def migrate(self, content: object, path: Path) -> Content:
        """Return ``content``, that of the file at ``path``, as the newest version would have it.

        Raises :class:`UserError` where it has no version, a newer one, or one that no step reads.
        """
        found: Content = content if isinstance(content, dict) else {}
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
        return found

    def parse(self, content: Content, model: type[M], path: Path) -> M:
        """Return :meth:`load`'s content as a ``model``; raises :class:`UserError` if it is none."""
        try:
            return model.model_validate(completed(model, content))
        except ValidationError as error:
            raise UserError(f"{path} is not a {self.name}: {first_problem(error)}") from error
        except UserError as error:  # of a threat model
            raise UserError(f"{path} is not a {self.name}: {error}") from error


def _same(content: Content) -> Content:
    return content


RECORD = FileKind(
    "record",
    {
        1: lambda content: {**content, "kind": "run"},
        2: _same,  # which lacked the views of a run
        3: _same,  # which lacked components, and had fields of a single value
        # which had a share of labels among the parameters of methods, another rule for alarms, and
        # no passes of an epoch
        4: _same,
    },
)
STUDY = FileKind("study", {0: _same})  # none was written
LEADERBOARD = FileKind("leaderboard", {1: _same, 2: _same, 3: _same})
TRAINING_STATE = FileKind("training state", {0: _same}, unversioned=0)
