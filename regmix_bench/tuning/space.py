"""The search space of one method, and the run that values of it make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from regmix_bench.errors import UserError, unknown, validated
from regmix_bench.methods import METHODS
from regmix_bench.methods.configured import all_params, configured, method_spec
from regmix_bench.methods.effects import Idle, idle_params
from regmix_bench.specs import Recipe, RunSpec
from regmix_bench.specs.search import search_space
from regmix_bench.types import Search

RECIPE = "recipe"


@dataclass(frozen=True)
class Space:
    """The ranges that are searched for a run, and where the search starts, by keys of ``--set``."""

    spec: RunSpec
    ranges: Mapping[str, Search]
    start: Mapping[str, float]

    @classmethod
    def of(cls, spec: RunSpec, held: Collection[str] = (), include: Sequence[str] = ()) -> Space:
        """Return what is tuned of a run: its method's parameters that declare a range.

        Not those that are ``held``, nor those that the recipe leaves without effect; and the fields
        of the recipe that ``include`` names, as ``recipe.lr``. A range is widened to hold the value
        of ``spec``, where the search starts. Raises :class:`UserError` for what is no such field,
        and where nothing is left to tune.
        """
        name, values = spec.method.name, all_params(spec.method)
        declared = search_space(METHODS[name].Config)
        found = {
            f"{name}.{key}": (mark, values[key])
            for key, mark in declared.items()
            if key not in held and not _is_idle(spec, key)
        }
        of_recipe = search_space(Recipe)
        for text in include:
            group, _, key = text.partition(".")
            if group != RECIPE or key not in Recipe.model_fields:
                known = [f"{RECIPE}.{field}" for field in of_recipe]
                raise unknown("--include field", text, known)
            if key not in of_recipe:
                raise UserError(
                    f"--include {text}: it declares no range; of the recipe"
                    f" {', '.join(of_recipe)} do"
                )
            found[text] = (of_recipe[key], getattr(spec.recipe, key))
        if not found:
            raise UserError(_nothing(name, declared))
        for key, (mark, value) in found.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UserError(f"{key} = {value} is no number, which alone can be tuned")
            if mark.log and value <= 0:
                raise UserError(
                    f"{key} = {value:g} is not on the logarithmic scale that it is tuned on: start"
                    " above zero"
                )
        return cls(
            spec,
            {key: mark.holding(value) for key, (mark, value) in found.items()},
            {key: value for key, (_, value) in found.items()},
        )

    def run(self, values: Mapping[str, float], seed: int) -> RunSpec:
        """Return the run with these values, by keys of ``--set``, and this seed.

        What others of the values leave without effect is at its default, as in any run. Raises
        :class:`UserError` for values that the method refuses together.
        """
        params, recipe = all_params(self.spec.method), self.spec.recipe.model_dump()
        for key, value in values.items():
            group, _, name = key.rpartition(".")
            (recipe if group == RECIPE else params)[name] = value
        name, trained = self.spec.method.name, validated(Recipe, recipe, RECIPE)
        config = configured(method_spec(name, params))
        for key, _ in idle_params(config, trained, self.spec.train_threat.norm):
            del params[key]
        update = {"method": method_spec(name, params), "recipe": trained, "seed": seed}
        return self.spec.model_copy(update=update)


def _is_idle(spec: RunSpec, key: str) -> bool:
    """Return whether a parameter is without effect in ``spec``."""
    config = configured(spec.method)
    marks = type(config).model_fields[key].metadata
    return any(
        mark.where(config, spec.recipe, spec.train_threat.norm)
        for mark in marks
        if isinstance(mark, Idle)
    )


def _nothing(name: str, declared: Mapping[str, Search]) -> str:
    if declared:
        return f"{name} has nothing to tune: what declares a range is held or has no effect here"
    return (
        f"{name} has nothing to tune: declare a range at a field of its Config, as in"
        " Annotated[float, Search(1, 20, log=True)], or name fields of the recipe with --include"
        " recipe.lr,recipe.weight_decay"
    )
