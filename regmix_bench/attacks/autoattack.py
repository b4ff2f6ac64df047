"""AutoAttack: its attacks, by the authors' package, and the list of them that is an ensemble.

Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", ICML 2020. The order and the parameters are those of
``pyautoattack.AutoAttack``, so that the outcome of every image is that of a call of it. Under L1
they are those of Croce and Hein, "Mind the box: l1-APGD for sparse adversarial attacks on image
classifiers", ICML 2021. A plan asks its attacks where they are defined, so that torch is loaded
where they run.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from regmix_bench.attacks import ATTACKS, load_attack
from regmix_bench.attacks.protocol import Attack, AttackedData, Searched
from regmix_bench.errors import UserError
from regmix_bench.registry import parse_name
from regmix_bench.specs.scoring import AutoAttackVersion, Scoring
from regmix_bench.types import NORMS, Frozen, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


class _Member(Attack):
    """One of the authors' attacks, which seed torch's global generator themselves."""

    norms = ("Linf", "L2", "L1")

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int = 0
    ) -> Tensor:
        return self._images(self._ready(model, x, threat, seed), x, y, threat)

    def _images(self, attack: Any, x: Tensor, y: Tensor, threat: ThreatModel) -> Tensor:
        """Return what the authors' object makes of images."""
        images: Tensor = attack.perturb(x.clone(), y.clone())
        # Under L1 what they project is rounded, and may be 1 and a bit.
        return images.clamp(*threat.bounds)

    def _ready(self, model: nn.Module, x: Tensor, threat: ThreatModel, seed: int) -> Any:
        """Return the authors' object for images such as ``x``."""
        return self._authors(
            model,
            norm=threat.norm,
            eps=float(threat.epsilon),
            seed=seed,
            device=x.device,
            verbose=False,
        )

    @abstractmethod
    def _authors(self, model: nn.Module, **common: Any) -> Any:
        """Return the authors' object."""


class _AnyAPGD(_Member):
    """APGD on whichever loss."""

    def obstacle(self, threat: ThreatModel, data: AttackedData) -> str | None:
        if not self.config.use_largereps or NORMS[threat.norm].sparse:
            return None
        return "use_largereps is for a norm whose steps move few pixels, such as L1"


#: Croce & Hein 2021, section 4.
_LargeReps = Annotated[
    bool, Field(description="Under L1, spend 3 of 10 steps each at 3ε and at 2ε before those at ε")
]


class _APGD(_AnyAPGD):
    loss: ClassVar[str]

    class Config(Frozen):
        """Steps of a run, runs, gradients of which each step takes the mean, and larger balls."""

        n_iter: int = Field(100, ge=1, description="Steps of the attack")
        n_restarts: int = Field(5, ge=1, description="Starts, one after the other")
        eot_iter: int = Field(1, ge=1, description="Gradients that a step averages")
        use_largereps: _LargeReps = False

    @property
    def passes(self) -> float:
        config = self.config
        return float(2 * config.n_iter * config.n_restarts * config.eot_iter)

    def _authors(self, model: nn.Module, **common: Any) -> Any:
        from pyautoattack.autopgd_base import APGDAttack

        from regmix_bench.attacks.autoattack_checks import LOGGER

        return APGDAttack(
            model, loss=self.loss, rho=0.75, logger=LOGGER, **common, **dict(self.config)
        )


class APGDCE(_APGD):
    """APGD, PGD that sets its own step size, on cross-entropy (Croce & Hein 2020, section 3)."""

    name = "apgd-ce"
    loss = "ce"


class APGDDLR(_APGD):
    """APGD on the difference of logits ratio (Croce & Hein 2020, eq. 6)."""

    name = "apgd-dlr"
    loss = "dlr"


class APGDT(_AnyAPGD):
    """APGD on the targeted difference of logits ratio, class after class (eq. 8)."""

    name = "apgd-t"

    class Config(Frozen):
        """Steps, runs, gradients of each step, and target classes, the likeliest first."""

        n_iter: int = Field(100, ge=1, description="Steps of the attack")
        n_restarts: int = Field(1, ge=1, description="Starts, one after the other")
        eot_iter: int = Field(1, ge=1, description="Gradients that a step averages")
        n_target_classes: int = Field(9, ge=1, description="Classes that are aimed at")
        use_largereps: _LargeReps = False

    @property
    def passes(self) -> float:
        config = self.config
        steps = config.n_iter * config.n_restarts * config.n_target_classes
        return float(2 * steps * config.eot_iter)

    def _authors(self, model: nn.Module, **common: Any) -> Any:
        from pyautoattack.autopgd_base import APGDAttack_targeted

        from regmix_bench.attacks.authors_steps import spare_apgd_targeted
        from regmix_bench.attacks.autoattack_checks import LOGGER

        attack = APGDAttack_targeted(model, rho=0.75, logger=LOGGER, **common, **dict(self.config))
        spare_apgd_targeted(attack)
        return attack


class FAB(_Member):
    """The nearest image of another class, by steps to the linearised decision boundary.

    Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary
    attack", ICML 2020.
    """

    name = "fab"

    class Config(Frozen):
        """Steps of a run, and runs."""

        n_iter: int = Field(100, ge=1, description="Steps of the attack")
        n_restarts: int = Field(5, ge=1, description="Starts, one after the other")

    @property
    def passes(self) -> float:
        # A step derives the logits of all classes, of which ten are typical, and looks twice.
        return float(12 * self.config.n_iter * self.config.n_restarts)

    def _authors(self, model: nn.Module, **common: Any) -> Any:
        from pyautoattack.fab_pt import FABAttack_PT

        return FABAttack_PT(model, **common, **dict(self.config))


class FABT(_Member):
    """FAB towards one class after the other."""

    name = "fab-t"

    class Config(Frozen):
        """Steps of a run, runs, and the number of target classes, the likeliest first."""

        n_iter: int = Field(100, ge=1, description="Steps of the attack")
        n_restarts: int = Field(1, ge=1, description="Starts, one after the other")
        n_target_classes: int = Field(9, ge=1, description="Classes that are aimed at")

    @property
    def passes(self) -> float:
        config = self.config
        return float(3 * config.n_iter * config.n_restarts * config.n_target_classes)

    def _authors(self, model: nn.Module, **common: Any) -> Any:
        from pyautoattack.fab_pt import FABAttack_PT

        from regmix_bench.attacks.authors_steps import spare_fab_targeted

        attack = FABAttack_PT(model, targeted=True, **common, **dict(self.config))
        spare_fab_targeted(attack)
        return attack


class Square(_Member):
    """Random search over squares of pixels (Andriushchenko et al., ECCV 2020).

    ``resc_schedule`` fits the sizes of the squares to the number of queries, which AutoAttack does
    not. Under L1 and L2 the authors' program begins with five rows of squares, which do not fit
    images of every size, and no image of less than five rows.
    """

    name = "square"

    class Config(Frozen):
        """Forward passes for an image, and whether the schedule is made for as many."""

        n_queries: int = Field(5000, ge=1, description="Forward passes for an image")
        resc_schedule: bool = Field(False, description="Fit the sizes of squares to the queries")

    @property
    def passes(self) -> float:
        return float(self.config.n_queries)

    def search(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int = 0
    ) -> Searched:
        import torch

        from regmix_bench.attacks.authors_steps import counted_queries
        from regmix_bench.models.predictions import correct

        attack = self._ready(model, x, threat, seed)
        counts = counted_queries(attack)
        images = self._images(attack, x, y, threat)
        queries = torch.zeros_like(y)
        if counts:
            (counted,) = counts
            # The authors leave out what is wrong already, which scores never hand them.
            searched = slice(None) if len(counted) == len(y) else correct(model, x, y)
            queries[searched] = counted.to(queries.dtype)
        return Searched(images, queries)

    def obstacle(self, threat: ThreatModel, data: AttackedData) -> str | None:
        # Where each pixel has its own range, it starts from stripes, else from a grid of squares.
        if data.image_shape is None or NORMS[threat.norm].largest is not None:
            return None
        _, height, width = data.image_shape
        if _squares_fit(height, width):
            return None
        return f"its first squares do not fit images of {height}×{width} pixels"

    def _authors(self, model: nn.Module, **common: Any) -> Any:
        from pyautoattack.square import SquareAttack

        from regmix_bench.attacks.authors_steps import spare_square

        attack = SquareAttack(model, p_init=0.8, n_restarts=1, **common, **dict(self.config))
        spare_square(attack)
        return attack


def _squares_fit(height: int, width: int) -> bool:
    """Tell whether the grid of squares lies inside an image, from which the search starts.

    Their side is a fifth of the height, and the first row and column begin where five of them are
    centred in the height, across the width too. A square of one pixel that lies outside is empty,
    and an image narrower than a square has none.
    """
    side = height // 5
    if side <= 1 or width < side:
        return side > 0
    first = (height - 5 * side) // 2
    return all(first + length // side * side <= length for length in (height, width))


def require_defined(
    scoring: Scoring, threats: Iterable[ThreatModel], data: AttackedData | None = None
) -> None:
    """Raise :class:`UserError` where an attack of a scoring is not defined for a threat or image.

    Nor may a budget be larger than the largest difference of two images. Of ``data`` nothing need
    be known. Loads no torch, unless an attack of another package does.
    """
    named = [(label, parse_name("attack", label)[0]) for label in scoring.attacks]
    own = {attack.name for version in _VERSIONS.values() for attack in version}
    version = scoring.autoattack_version
    for threat in threats:
        if data is not None and data.image_shape is not None:
            largest = NORMS[threat.norm].diameter(prod(data.image_shape))
            if float(threat.epsilon) > largest:
                size = "×".join(map(str, data.image_shape))
                raise UserError(
                    f"epsilon {threat.epsilon} is above {largest:g}, the largest difference in"
                    f" {threat.norm} of two images of {size} values"
                )
        if version == "plus" and NORMS[threat.norm].sparse:
            raise UserError(
                f"AutoAttack plus is not meant for {threat.norm}: standard is stronger there"
            )
        attacks = [] if version == "custom" else _members(version, threat.norm)
        for label, name in named:
            # What comes with this package beside AutoAttack's is defined everywhere.
            builtin = ATTACKS.is_builtin(name) and NORMS.is_builtin(threat.norm)
            if name in own or not builtin:
                attacks.append(load_attack(label))
        for attack in attacks:
            attack.require(threat, data or AttackedData())


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
    other: type[_APGD] = APGDDLR if classes == 3 else APGDCE
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
