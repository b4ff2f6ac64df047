"""The rule that a parameter which another one leaves without effect says so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from torch import Tensor

from regmix_bench.errors import UserError, validated
from regmix_bench.methods.effects import idle_params
from regmix_bench.specs import Recipe
from regmix_bench.testing.contract import Subject, norms_of, require
from regmix_bench.testing.samples import state_of
from regmix_bench.testing.steps import CPU, SHAPE, SIZE, network, train_epoch

#: As many as it takes for what is stored to be used again.
EPOCHS = 2


def parameters_without_effect_say_so(subject: Subject) -> str | None:
    """Change parameters two at a time, and look whether the second still changes a training.

    The first is turned to 0 or to another choice. What is marked as
    :class:`~regmix_bench.methods.effects.Idle` there must change nothing. What changes nothing and
    is not marked is noted: so short a training may not come to where it would.
    """
    base = subject.create().config
    if "steps" in type(base).model_fields:
        base = _with(base, "steps", 2) or base  # of an attack, which is long enough
    trained = cache(lambda config: _trained(subject, config))
    effective = {
        name: changed
        for name in type(base).model_fields
        if (changed := [c for c in _others(base, name) if trained(c) != trained(base)])
    }
    for name, configs in effective.items():
        wrong = _is_marked(subject, configs[0], name)
        require(not wrong, f"{name} changes the training, and is marked as idle by default")
    found = []
    for switch in type(base).model_fields:
        for turned in _turned(base, switch):
            where = f"where {switch} is {getattr(turned, switch)}"
            for name in effective.keys() - {switch}:
                both = [_with(turned, name, getattr(c, name)) for c in effective[name]]
                made = [config for config in both if config is not None]
                if made:
                    idle = all(trained(config) == trained(turned) for config in made)
                    marked = _is_marked(subject, made[0], name)
                    said = f"{name} changes the training, and is marked as idle {where}"
                    require(idle or not marked, said)
                    found += [f"{name} {where}"] if idle and not marked else []
    return f"no effect is seen of {', '.join(sorted(found))}" if found else None


def _is_marked(subject: Subject, config: BaseModel, name: str) -> bool:
    return name in dict(idle_params(config, Recipe(), norms_of(subject)[0]))


def _turned(base: BaseModel, name: str) -> Iterator[BaseModel]:
    """Yield ``base`` with another choice of one parameter, or with a 0 where it is a number."""
    for config in _others(base, name):
        value = getattr(config, name)
        if not isinstance(value, int | float) or isinstance(value, bool) or value == 0:
            yield config


def _others(base: BaseModel, name: str) -> list[BaseModel]:
    """Return ``base`` with other values of one parameter, as far as they are taken."""
    value: Any = getattr(base, name)
    annotation = type(base).model_fields[name].annotation
    if get_origin(annotation) is Literal:
        tried: list[Any] = list(get_args(annotation))
    elif isinstance(value, bool):
        tried = [not value]
    elif isinstance(value, int):
        tried = [value + 1, 1, 0]
    else:
        tried = [value / 2 or 1.0, 0.0] if isinstance(value, float) else []
    found = (_with(base, name, one) for one in dict.fromkeys(tried) if one != value)
    return [config for config in found if config is not None]


def _with(base: BaseModel, name: str, value: Any) -> BaseModel | None:
    """Return ``base`` with another value, or None where it is not taken."""
    content = base.model_dump(mode="python") | {name: value}
    try:
        return validated(type(base), content, name)
    except UserError:
        return None


def _trained(subject: Subject, config: BaseModel) -> tuple[float, ...]:
    """Return sums over losses and weights after a short training, alike where it is the same."""
    method = subject.cls(config)
    method.epochs = EPOCHS
    method.setup(SIZE, SHAPE, CPU)
    model, norm = network(), norms_of(subject)[0]
    outputs = [
        output for epoch in range(EPOCHS) for output in train_epoch(method, model, epoch + 1, norm)
    ]
    weights: list[Tensor] = [*state_of(model).values()]
    weights += state_of(method.evaluated_model(model)).values()
    losses = [output.loss.item() for output in outputs]
    return (*losses, *(weight.double().sum().item() for weight in weights))
