"""All that ``list`` knows of one method, attack, data set, architecture or suite."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from regmix_bench.errors import reason, unknown

if TYPE_CHECKING:
    from regmix_bench.data.protocol import DataSource
    from regmix_bench.specs import RunSpec

#: More of an entry, by the name of the column: text, or rows of parameters.
Details = dict[str, str | list[dict[str, str]]]

#: What one is called, where that is not the word without its s.
_ONE = {"studies": "study"}
#: What costs are told of where an entry does not say it: images (C, H, W), and classes.
_SHAPE, _CLASSES = (3, 32, 32), 10


def chosen_entries(
    rows: Iterable[Mapping[str, Any]], what: str, names: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the rows that ``names`` names by their first column, each with its details.

    Raises :class:`UserError` for a name of none, with the nearest.
    """
    rows = list(rows)
    known = {str(next(iter(row.values()))): row for row in rows}
    # ``npz`` and ``npz:data.npz`` name the entry ``npz:PATH``.
    stems = {name.partition(":")[0]: name for name in known}
    found = []
    for typed in names:
        name = typed if typed in known else stems.get(typed.partition(":")[0], typed)
        if name not in known:
            raise unknown(_ONE.get(what, what.removesuffix("s")), typed, known)
        more = _DETAILS[what](name) if what in _DETAILS else {}
        found.append({**known[name], **more})
    return found


def _method(name: str) -> Details:
    from regmix_bench.grid.suite_files import merged
    from regmix_bench.methods import METHODS

    method = METHODS[name]
    grid = {"methods": [name], "eps": ["8/255"], "norm": (method.norms or ("Linf",))[0]}
    paper = method.citation
    told = paper and (f"{paper.authors} {paper.year}", paper.title, paper.venue)
    arxiv = f"arXiv:{paper.arxiv}" if paper and paper.arxiv else ""
    return {
        "about": _about(method),
        "title": method.title,
        "loss": method.formula,
        "paper": ", ".join(filter(None, (*(told or ()), arxiv))),
        "cost": _told(lambda: _training_cost(merged(grid))),
        "parameters": _parameters(method.Config),
    }


def _training_cost(grid: Mapping[str, Any]) -> str:
    from regmix_bench.grid.look_ahead import step_passes
    from regmix_bench.grid.plan import plan

    (spec,) = plan([grid], device="cpu")
    passes = step_passes(spec, _SHAPE, _CLASSES)
    return f"{passes:.3g} passes for an image and epoch; training without an attack takes 2"


def _attack(name: str) -> Details:
    from regmix_bench.attacks import ATTACKS

    attack = ATTACKS[name]
    return {
        "about": _about(attack),
        "cost": _told(lambda: f"about {attack().passes:,.0f} passes of an image that holds"),
        "parameters": _parameters(attack.Config),
    }


def _dataset(name: str) -> Details:
    from regmix_bench.data.sources import DATASETS
    from regmix_bench.specs.parameters import value_words

    source = DATASETS[name.partition(":")[0]]
    sides, count = " × ".join(map(str, source.image_shape or ())), source.num_classes
    recipe = (f"{key} {value_words(value)}" for key, value in source.recipe.items())
    return {
        "about": _about(source),
        "images": f"{sides} (channels, height, width)" if sides else "",
        "classes": ", ".join(source.classes) or ("" if count is None else f"{count}"),
        "default architecture": _default_arch(source),
        "default recipe": ", ".join(recipe),
        "parameters": _parameters(source.Config),
    }


def _default_arch(source: type[DataSource]) -> str:
    from regmix_bench.data.protocol import PathSource
    from regmix_bench.data.sources import ARCH_OF_LARGE, ARCHS_BY_SIDE

    if not issubclass(source, PathSource):
        return source.arch
    steps = (f"{arch} up to {side} pixels" for side, arch in ARCHS_BY_SIDE)
    return f"{', '.join(steps)}, {ARCH_OF_LARGE} beyond"


def _arch(name: str) -> Details:
    from regmix_bench.models import ARCHS
    from regmix_bench.models.timm_models import TimmModel

    arch = TimmModel if ":" in name else ARCHS[name]
    cost = "" if arch is TimmModel else _told(lambda: _pass_cost(name))
    return {"about": _about(arch), "cost": cost, "parameters": _parameters(arch.Config)}


def _pass_cost(name: str) -> str:
    import torch

    from regmix_bench.models import build_model
    from regmix_bench.training.flops import FlopCounter

    with torch.random.fork_rng([]), torch.no_grad():
        model = build_model(name, _SHAPE, _CLASSES).eval()
        with FlopCounter() as counted:
            model(torch.zeros(1, *_SHAPE))
    weights = sum(each.numel() for each in model.parameters())
    return (
        f"{weights:,} weights, and {counted.flop / 1e9:.3g} GFLOP for an image forwards,"
        f" for images of {' × '.join(map(str, _SHAPE))} in {_CLASSES} classes"
    )


def _suite(name: str) -> Details:
    from regmix_bench.data import canonical_name
    from regmix_bench.grid.plan import plan
    from regmix_bench.grid.suite_files import load_suite

    specs = plan(load_suite(name), canonical_name=canonical_name)

    def each(part: Callable[[RunSpec], object]) -> str:
        return ", ".join(dict.fromkeys(str(part(spec)) for spec in specs))

    return {
        "methods": each(lambda spec: spec.label),
        "datasets": each(lambda spec: spec.dataset_words),
        "archs": each(lambda spec: spec.arch_words),
        "threats": each(lambda spec: spec.train_threat),
        "seeds": each(lambda spec: spec.seed),
        "epochs": each(lambda spec: spec.recipe.epochs),
        "cost": f"`regmix-bench run {name} --dry-run` tells it of this machine",
    }


#: By what is listed; of the rest the row of the list is all that is known.
_DETAILS: Mapping[str, Callable[[str], Details]] = {
    "methods": _method,
    "attacks": _attack,
    "datasets": _dataset,
    "archs": _arch,
    "suites": _suite,
}


def _parameters(config: Any) -> list[dict[str, str]]:
    from regmix_bench.specs.parameters import parameters_of

    return [each._asdict() for each in parameters_of(config)]


def _about(item: object) -> str:
    """Return what a docstring says below its first line, which the list has, as one paragraph."""
    from regmix_bench.registry import docstring

    rest = docstring(item).partition("\n")[2]
    return " ".join(re.sub(r":\w+:`~?([^`]*)`", r"\1", rest).replace("``", "").split())


def _told(cost: Callable[[], str]) -> str:
    """Return a cost that is measured with what may be a stranger's, or why it is not known."""
    try:
        return cost()
    except (Exception, SystemExit) as error:
        return f"not known: {reason(error)}"
