"""The protocol of attacks: subclasses of :class:`Attack` with a ``name`` and a ``perturb``.

A package offers one through the entry-point group ``regmix_bench.attacks``::

    [project.entry-points."regmix_bench.attacks"]
    my-attack = "my_package:MyAttack"

Then ``--attacks my-attack`` runs it, ``--attacks "my-attack[steps=50]"`` with a configuration that
is not the default, and ``--attacks pgd-20,my-attack,square`` among others, each on the images that
those before it left unbroken. Whatever it returns is judged by the model itself: which images
broke, how far they moved and by which margin is measured for all attacks alike. An attack that is
not defined everywhere says so by :attr:`Attack.norms` and :meth:`Attack.obstacle`, which a plan
asks before anything is trained; one that raises all the same is recorded as failed, beside the
scores of the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from regmix_bench.errors import UserError, validated
from regmix_bench.registry import format_name
from regmix_bench.types import NORMS, Frozen, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class AttackedData:
    """The images that are to be attacked, as far as they are known: None is not known yet.

    ``image_shape`` is (C, H, W), ``num_classes`` that of the logits, ``n_images`` how many are
    scored, of which an attack may see any number from one on.
    """

    image_shape: tuple[int, int, int] | None = None
    num_classes: int | None = None
    n_images: int | None = None

    def require(self, threat: ThreatModel) -> None:
        """Raise :class:`UserError` where a budget is above the largest difference of two images."""
        if self.image_shape is None:
            return
        largest = NORMS[threat.norm].diameter(prod(self.image_shape))
        if float(threat.epsilon) > largest:
            size = "×".join(map(str, self.image_shape))
            raise UserError(
                f"epsilon {threat.epsilon} is above {largest:g}, the largest difference in"
                f" {threat.norm} of two images of {size} values"
            )


@dataclass(frozen=True)
class Searched:
    """The end of a search: images (B, C, H, W), and what a black box was asked.

    ``queries`` (B,) int64 are the forward passes until an image was found, or in all where none
    was; None where an attack does not count them.
    """

    images: Tensor
    queries: Tensor | None = None


class Attack(ABC):
    """A way to perturb images so that a model misclassifies them.

    It is made of its ``Config``, that of the defaults where there is none, as ``PGD.of(steps=50)``
    is. The first line of a subclass's docstring is what ``list attacks`` shows. Raise ``version``
    when a change alters results.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    #: The norms under which it is defined; None for all.
    norms: ClassVar[tuple[str, ...] | None] = None

    class Config(Frozen):
        """Parameters: validated, named, and all of them part of the score's identity."""

    def __init__(self, config: Any = None) -> None:
        self.config: Any = self.Config() if config is None else config

    @classmethod
    def of(cls, **params: Any) -> Self:
        """Return the attack with these parameters; raises :class:`UserError` for refused ones."""
        return cls(validated(cls.Config, params, cls.name))

    @property
    def label(self) -> str:
        """The name, and whatever differs from the defaults: ``pgd[steps=50]``."""
        values, default = (c.model_dump(mode="json") for c in (self.config, self.Config()))
        return format_name(
            self.name, {key: value for key, value in values.items() if value != default[key]}
        )

    @abstractmethod
    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int
    ) -> Tensor:
        """Return perturbed images (B, C, H, W) of ``x``, of its dtype and on its device.

        ``model`` maps images in [0, 1] to logits (B, K); it is in evaluation mode and its weights
        want no gradient. No gradients are recorded when this is called:
        :func:`~regmix_bench.attacks.pgd.input_gradient` computes one. ``x`` and the labels ``y``
        (B,) must be left as they are. The images lie in [0, 1] and inside ``threat``; where the
        attack fails, it may give the clean image back. ``seed`` decides all random numbers, so
        that a batch can be repeated: draw them from a generator of your own.
        """

    def search(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int
    ) -> Searched:
        """Return what :meth:`perturb` does, and what else an attack tells of its search.

        An attack that knows no gradients overrides it to count queries, from which accuracy against
        queries is drawn.
        """
        return Searched(self.perturb(model, x, y, threat, seed=seed))

    def obstacle(self, threat: ThreatModel, data: AttackedData) -> str | None:
        """Say why the attack is not defined under ``threat`` on such images, or None where it is.

        The words end a sentence: ``its first squares do not fit images of 14×14 pixels``. A fact
        that is None is not known yet, and no obstacle; it is asked again once the images are there,
        before anything is trained or scored. Loads no model and no images.
        """
        return None

    @property
    def passes(self) -> float:
        """Estimate how often it passes an image that holds through the model, both ways counted.

        Progress bars tell the time left by it, until the attack has done a batch.
        """
        return 100.0

    def require(self, threat: ThreatModel, data: AttackedData) -> None:
        """Raise :class:`UserError` where the attack is not defined under ``threat`` on ``data``."""
        if self.norms is not None and threat.norm not in self.norms:
            raise UserError(
                f"attack {self.name!r} is defined for {', '.join(self.norms)}, not for"
                f" {threat.norm}"
            )
        if why := self.obstacle(threat, data):
            raise UserError(f"attack {self.label!r} is not defined under {threat.norm} here: {why}")
