"""Architectures by name; torch is imported only when a model is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from regmix_bench.errors import UserError
from regmix_bench.models.protocol import Architecture
from regmix_bench.registry import Registry
from regmix_bench.specs.components import Component, create_component

if TYPE_CHECKING:
    from regmix_bench.models.classifier import ImageClassifier

_BUILTIN = "regmix_bench.models.architectures"

# What a user types before the name of a model of timm, and what a specification has there.
_TYPED, _NAMED = "timm:", "timm-"


class _Architectures(Registry[type[Architecture]]):
    """The architectures here and those of plug-ins, and ``timm-NAME``, which is any of timm."""

    def canonical(self, name: str) -> str:
        return _NAMED + name.removeprefix(_TYPED) if name.startswith(_TYPED) else name

    def __getitem__(self, name: str) -> type[Architecture]:
        return self._timm_model(name) or super().__getitem__(name)

    def is_builtin(self, name: str) -> bool:
        return self._timm_model(name) is not None or super().is_builtin(name)

    def origin(self, name: str) -> str:
        return super().origin("smallcnn" if self._timm_model(name) else name)

    def _timm_model(self, name: str) -> type[Architecture] | None:
        if not name.startswith(_NAMED) or name in self.names():
            return None
        from regmix_bench.models.timm_models import timm_model

        return timm_model(name.removeprefix(_NAMED))


ARCHS: Registry[type[Architecture]] = _Architectures(
    "architecture",
    group="regmix_bench.archs",
    builtin={
        "smallcnn": f"{_BUILTIN}:SmallCNN",
        "resnet8": f"{_BUILTIN}:ResNet8",
        "resnet18": f"{_BUILTIN}:ResNet18",
        "preactresnet18": f"{_BUILTIN}:PreActResNet18",
        "wrn-28-10": f"{_BUILTIN}:WRN2810",
        "wrn-34-10": f"{_BUILTIN}:WRN3410",
    },
    base="regmix_bench.models.protocol:Architecture",
)


def build_model(
    arch: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    component: Component | None = None,
) -> ImageClassifier:
    """Build a freshly initialised model; the weights come from torch's global generator.

    ``image_shape`` is (C, H, W), every side at least 1. ``mean`` and ``std`` are those of the
    training images per channel, in [0, 1] pixel units, and become the model's first layer; each
    is 0.5 where left out, which maps [0, 1] to [-1, 1]. ``component`` has the parameters of a
    plug-in's architecture. Raises :class:`UserError` for an ``arch`` that is not installed here,
    and ``ValueError`` where a length is not the number of channels.
    """
    from regmix_bench.models.classifier import ImageClassifier

    architecture = create_component(ARCHS, arch, component)
    channels = image_shape[0]
    mean = [0.5] * channels if mean is None else mean
    std = [0.5] * channels if std is None else std
    model = architecture.build(image_shape, num_classes, mean, std)
    if not isinstance(model, ImageClassifier):
        raise UserError(
            f"architecture {arch!r} of {ARCHS.origin(arch)} builds a {type(model).__name__}, not an"
            " ImageClassifier"
        )
    return model
