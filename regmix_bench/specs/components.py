"""What a specification names and does not hold: methods, models, and the components of plug-ins."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_serializer

from regmix_bench.registry import FILE_NAME
from regmix_bench.types import Frozen


class MethodSpec(Frozen):
    """A method by name, its hyper-parameters, the version of its code, and its row's label.

    ``params`` are those that :func:`regmix_bench.methods.configured.method_spec` keeps: all of
    them, save those that came later and have the value that older runs in effect had. So a
    record's identity needs no class of the method, which may not be installed. ``label`` follows
    from them and today's defaults; a record is written with ``recorded_label`` where it has one,
    the label that it bore first, which its file's name and a suite's reference go by.
    """

    name: str
    version: int
    params: dict[str, Any]
    label: str
    recorded_label: str | None = Field(None, exclude=True)

    @field_serializer("label")
    def _as_recorded(self, label: str) -> str:
        return self.recorded_label or label


class ModelSource(Frozen):
    """Where a model that was not trained by the run at hand comes from, free of paths.

    ``name`` is a run_id and checkpoint, an identifier of RobustBench, ``module:callable`` or a
    file's name; ``sha256`` is that of its weights, of a callable together with its code.
    """

    kind: Literal["run", "robustbench", "callable", "weights", "program"]
    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Component(Frozen):
    """An attack, a data set or an architecture of a plug-in that decides a run's numbers.

    ``version`` is that of its code, which it raises when a change alters results; ``params`` is
    its configuration, JSON values by name.
    """

    kind: Literal["attack", "dataset", "arch"]
    name: str = Field(pattern=FILE_NAME)
    version: int
    params: dict[str, Any] = {}
