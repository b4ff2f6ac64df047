"""The attacks of AutoAttack, by the authors' package.

Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", ICML 2020; :mod:`regmix_bench.attacks.ensembles` has the lists that are run
one after the other. A plan asks these attacks where they are defined, so that torch is loaded where
they run.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from regmix_bench.attacks.protocol import Attack, AttackedData, Searched
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

    It asks about an image once where it starts, and then ``n_queries`` times at most.
    ``resc_schedule`` fits the sizes of the squares to the number of queries, which AutoAttack does
    not. Under L1 and L2 the authors' program begins with five rows of squares, which do not fit
    images of every size, and no image of less than five rows.
    """

    name = "square"

    class Config(Frozen):
        """Queries after that of the start, and whether the schedule is made for as many."""

        n_queries: int = Field(5000, ge=1, description="Queries for an image, after the first")
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
