"""The protocol of architectures: a class with a ``name`` and a ``build``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from regmix_bench.types import Frozen

if TYPE_CHECKING:
    from regmix_bench.models.classifier import ImageClassifier


class Architecture(ABC):
    """The construction of a network for images of any shape and any number of classes.

    The first line of a subclass's docstring is what ``list archs`` shows. ``Config`` holds the
    parameters that a user may give in brackets, as in ``name[width=32]``. Raise ``version`` when a
    change alters the function that given weights compute, or how they are initialised.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    #: Whether four trainings fit a GPU at once.
    small: ClassVar[bool] = False

    class Config(Frozen):
        """Parameters: validated, named, and all of them part of a run's identity."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def build(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> ImageClassifier:
        """Return a freshly initialised network; its weights come from torch's global generator.

        ``image_shape`` is (C, H, W). ``mean`` and ``std`` are those of the training images, one
        number per channel in [0, 1] pixel units, for the normalisation that
        :class:`~regmix_bench.models.classifier.ImageClassifier` begins with. Raises ``ValueError``
        where a length is not the number of channels, and for a shape that the network cannot take.
        """
