"""Perturbations inside a threat model: norms, the one PGD loop, starting points, attacks.

``ATTACKS`` finds an attack by name without importing the others; :func:`load_attack` makes one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from regmix_bench.registry import Registry, parse_name
from regmix_bench.specs import Component
from regmix_bench.specs.components import parse_component

if TYPE_CHECKING:
    from regmix_bench.attacks.protocol import Attack

#: Every attack that a score can name.
ATTACKS: Registry[type[Attack]] = Registry(
    "attack",
    group="regmix_bench.attacks",
    base="regmix_bench.attacks.protocol:Attack",
    builtin={
        "clean": "regmix_bench.attacks.white_box:Clean",
        "fgsm": "regmix_bench.attacks.white_box:FGSM",
        "pgd": "regmix_bench.attacks.white_box:PGD",
        "gama-pgd": "regmix_bench.attacks.gama:GAMAPGD",
        "apgd-ce": "regmix_bench.attacks.autoattack:APGDCE",
        "apgd-dlr": "regmix_bench.attacks.autoattack:APGDDLR",
        "apgd-t": "regmix_bench.attacks.autoattack:APGDT",
        "fab": "regmix_bench.attacks.autoattack:FAB",
        "fab-t": "regmix_bench.attacks.autoattack:FABT",
        "square": "regmix_bench.attacks.autoattack:Square",
        "quick-apgd": "regmix_bench.attacks.quick:QuickAPGD",
        "random-directions": "regmix_bench.attacks.black_box:RandomDirections",
    },
)


def load_attack(text: str) -> Attack:
    """Return the attack that a text such as ``square``, ``pgd[steps=50]`` or ``pgd-50`` names.

    The last is the usual name of ``pgd[steps=50]``, as for every attack with such a parameter.
    Raises :class:`UserError` for an unknown name or parameter and for a refused value.
    """
    name, params = parse_name("attack", text)
    known = ATTACKS.names()
    stem, _, steps = name.rpartition("-")
    fields = ATTACKS[stem].Config.model_fields if name not in known and stem in known else {}
    if "steps" in fields and steps.isascii() and steps.isdigit():
        name, params = stem, {"steps": int(steps), **params}
    return ATTACKS[name].of(**params)


def attack_labels(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the labels of attacks that are named; one name may be written in several ways.

    A bare name is its own label, for which nothing is imported. Raises :class:`UserError` where
    :func:`load_attack` does.
    """
    known = ATTACKS.names()
    return tuple(text if text in known else load_attack(text).label for text in texts)


def attack_components(labels: Iterable[str]) -> tuple[Component, ...]:
    """Return what a run's identity says of those attacks that do not come with this package.

    Of the others their labels say it. Raises :class:`UserError` where one is not installed.
    """
    named = {label: parse_name("attack", label)[0] for label in labels}
    strangers = [label for label, name in named.items() if not ATTACKS.is_builtin(name)]
    found = (parse_component("attack", ATTACKS, label)[1] for label in strangers)
    return tuple(component for component in found if component is not None)
