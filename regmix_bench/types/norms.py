"""Norms of perturbations: what an object that is one can do, and where each is found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BeforeValidator

from regmix_bench.errors import unknown
from regmix_bench.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def cut(delta: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return ``delta`` with each value moved to the nearest from ``low`` to ``high``."""
    return delta.maximum(low).minimum(high)


class Norm(ABC):
    """A norm of perturbations and the geometry of its ball, in one object.

    Perturbations ``delta`` and gradients are (B, C, H, W), every image by itself; lengths and
    budgets are in the units of pixels from 0 to 1. The attributes need no torch.
    """

    #: As a reader sees it, such as ``L∞``.
    symbol: ClassVar[str]
    #: The budget of those who name none.
    budget: ClassVar[str]
    #: Figures count budgets in parts of a pixel's range, of which it has so many.
    unit: ClassVar[int] = 1
    #: The largest budget that means something for images of any size; None where there is none.
    largest: ClassVar[int | None] = None
    #: Corners of the ball in the plane of two steepest directions; None where it is round.
    corners: ClassVar[int | None] = None
    #: Whether a step moves the steepest few pixels alone, so that most stay as they are.
    sparse: ClassVar[bool] = False

    @abstractmethod
    def diameter(self, dimensions: int) -> float:
        """Return the largest length of a difference between two images of so many values."""

    @abstractmethod
    def length(self, delta: Tensor) -> Tensor:
        """Return the norm (B,) of each perturbation."""

    @abstractmethod
    def direction(self, gradient: Tensor) -> Tensor:
        """Return the direction of unit length to climb in; zero where there is no slope.

        It is the one that climbs fastest, except where the norm is ``sparse``: there that would be
        a single pixel, which soon can move no further.
        """

    @abstractmethod
    def shrink(self, delta: Tensor, epsilon: float) -> Tensor:
        """Return the nearest perturbation of length ``epsilon`` at most."""

    def project(
        self, delta: Tensor, low: Tensor, high: Tensor, epsilon: float, pixels_first: bool
    ) -> Tensor:
        """Return a perturbation of length ``epsilon`` at most, from ``low`` ≤ 0 to ``high`` ≥ 0.

        It is shrunk and then cut to these bounds of each pixel, which leaves it no longer; with
        ``pixels_first`` it is cut and then shrunk, which leaves it inside the bounds. A norm for
        which neither gives the nearest such perturbation may do better.
        """
        if pixels_first:
            return self.shrink(cut(delta, low, high), epsilon)
        return cut(self.shrink(delta, epsilon), low, high)

    @abstractmethod
    def start(self, x: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
        """Draw one perturbation for each image of ``x``, uniformly from the ball.

        All random numbers come from :func:`~regmix_bench.attacks.noise.noise`.
        """


#: Norms by the name under which a threat model stores them.
NORMS: Registry[Norm] = Registry(
    "norm",
    builtin={
        "Linf": "regmix_bench.attacks.norms:LINF",
        "L2": "regmix_bench.attacks.norms:L2",
        "L1": "regmix_bench.attacks.norms:L1",
    },
)


#: The norm of budgets where none is named.
DEFAULT_NORM = "Linf"


def _as_norm(value: object) -> object:
    if value not in NORMS.names():
        raise unknown("norm", value, NORMS.names())
    return value


#: A name of :data:`NORMS`, in whatever is validated; raises :class:`UserError` for another.
NormName = Annotated[str, BeforeValidator(_as_norm)]
