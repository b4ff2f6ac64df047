"""AutoAttack: lists of attacks, each of which sees what those before it have not found.

Order and parameters are those of ``pyautoattack.AutoAttack``, so that the outcome of every image
is that of a call of it; :mod:`regmix_bench.attacks.autoattack` has the attacks. Under L1 they are
those of Croce and Hein, "Mind the box: l1-APGD for sparse adversarial attacks on image
classifiers", ICML 2021.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from regmix_bench.attacks import ATTACKS, load_attack
from regmix_bench.attacks.autoattack import APGDCE, APGDDLR, APGDT, FAB, FABT, Square
from regmix_bench.attacks.protocol import Attack, AttackedData
from regmix_bench.errors import UserError
from regmix_bench.registry import parse_name
from regmix_bench.specs.scoring import AutoAttackVersion, Scoring
from regmix_bench.types import NORMS, ThreatModel

#: Attacks of this package that are defined under its norms on any images of two classes or more.
#: They are not asked, as torch would have to be loaded for that.
DEFINED_EVERYWHERE = frozenset({"clean", "fgsm", "pgd", "gama-pgd", "random-directions"})


def require_defined(
    scoring: Scoring,
    threats: Iterable[ThreatModel],
    data: AttackedData | None = None,
    others: Iterable[ThreatModel] = (),
) -> None:
    """Raise :class:`UserError` where an attack of a scoring is not defined for a threat or image.

    Nor may the budget of a threat be larger than the largest difference of two images, nor that of
    ``others``, which are trained against or scored without this ensemble. Of ``data`` nothing need
    be known. Loads no torch, unless an attack of another package does.
    """
    data, threats = data or AttackedData(), tuple(threats)
    for threat in (*threats, *others):
        data.require(threat)
    named = [(label, parse_name("attack", label)[0]) for label in scoring.attacks]
    version = scoring.autoattack_version
    for threat in threats:
        if version == "plus" and NORMS[threat.norm].sparse:
            raise UserError(
                f"AutoAttack plus is not meant for {threat.norm}: standard is stronger there"
            )
        attacks = [] if version == "custom" else _members(version, threat.norm)
        for label, name in named:
            builtin = ATTACKS.is_builtin(name) and NORMS.is_builtin(threat.norm)
            if name not in DEFINED_EVERYWHERE or not builtin:
                attacks.append(load_attack(label))
        for attack in attacks:
            attack.require(threat, data)


def ensemble(
    version: AutoAttackVersion, labels: Sequence[str], classes: int, norm: str
) -> tuple[dict[str, Attack], tuple[str, ...]]:
    """Return the attacks of a version by name, in order, for a model of so many classes.

    ``labels`` are those of version ``custom``, which may be of any attack. The second value says in
    words which attacks were changed because there are too few classes.
    """
    if version == "custom":
        members = {label: load_attack(label) for label in labels}
        names = list(members)
        if {"fab", "fab-t"} <= members.keys() and names.index("fab-t") < names.index("fab"):
            # The authors' two share one object, of which FAB-T sets the restarts to one.
            members["fab"] = FAB.of(n_restarts=1)
    else:
        members = {attack.name: attack for attack in _members(version, norm)}
    one = version == "rand" or (version == "standard" and not NORMS[norm].sparse)
    return _adapt_to_classes(members, classes, restarts=1 if one else 5)


_VERSIONS: dict[str, list[Attack]] = {
    "standard": [APGDCE.of(n_restarts=1), APGDT(), FABT(), Square()],
    "plus": [APGDCE(), APGDDLR(), FAB(), Square(), APGDT(), FABT()],
    "rand": [attack.of(n_restarts=1, eot_iter=20) for attack in (APGDCE, APGDDLR)],
}
_SPARSE: list[Attack] = [
    APGDCE.of(use_largereps=True),
    APGDT.of(n_target_classes=5, use_largereps=True),
    FABT(),
    Square(),
]


def _members(version: AutoAttackVersion, norm: str) -> list[Attack]:
    """Return the attacks of one of the authors' versions under a norm, in order."""
    sparse = version == "standard" and NORMS[norm].sparse
    return _SPARSE if sparse else _VERSIONS[version]


def _adapt_to_classes(
    members: dict[str, Attack], classes: int, restarts: int
) -> tuple[dict[str, Attack], tuple[str, ...]]:
    """Lower the number of target classes, and replace attacks whose loss is undefined.

    The targeted DLR loss needs four classes and the untargeted one three (Croce & Hein 2020, eq. 6
    and 8); with two, cross-entropy orders images by the only margin there is, and takes its place.
    ``restarts`` are those of an attack that takes another's.
    """
    substitutions = []
    targeted = {name: a for name, a in members.items() if isinstance(a, APGDT | FABT)}
    wanted = max((a.config.n_target_classes for a in targeted.values()), default=0)
    if (targets := classes - 1) < wanted:
        substitutions.append(f"{targets} target classes instead of {wanted}")
        for name, attack in targeted.items():
            fewer = min(targets, attack.config.n_target_classes)
            members[name] = _changed(attack, n_target_classes=fewer)
    undefined: dict[int, list[type[Attack]]] = {3: [APGDT], 2: [APGDT, APGDDLR]}
    other: type[APGDCE | APGDDLR] = APGDDLR if classes == 3 else APGDCE
    for name in [
        n for kind in undefined.get(classes, []) for n, a in members.items() if isinstance(a, kind)
    ]:
        shared = {key: getattr(members[name].config, key) for key in ("eot_iter", "use_largereps")}
        instead = other.of(n_restarts=restarts, **shared)
        if other.name in members:
            del members[name]
        else:
            members = {
                other.name if n == name else n: instead if n == name else a
                for n, a in members.items()
            }
        words = other.name
        if other is APGDCE:
            members[other.name] = _changed(members[other.name], n_restarts=5)
            words = f"5 restarts of {words}"
        substitutions.append(f"{words} instead of {name}")
    return members, tuple(substitutions)


def _changed(attack: Attack, **params: object) -> Attack:
    return attack.of(**{**dict(attack.config), **params})
