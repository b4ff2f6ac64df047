"""Architectures by name; torch is imported only when a model is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from regmix_bench.registry import Registry

if TYPE_CHECKING:
    from regmix_bench.models.classifier import ImageClassifier

#: Architectures: each is a factory of (image_shape, num_classes, mean, std).
ARCHS: Registry[Callable[..., ImageClassifier]] = Registry(
    "architecture",
    builtin={
        "smallcnn": "regmix_bench.models.smallcnn:smallcnn",
        "resnet8": "regmix_bench.models.residual:resnet8",
        "resnet18": "regmix_bench.models.residual:resnet18",
        "preactresnet18": "regmix_bench.models.residual:preactresnet18",
        "wrn-28-10": "regmix_bench.models.residual:wrn_28_10",
        "wrn-34-10": "regmix_bench.models.residual:wrn_34_10",
    },
)


def build_model(
    arch: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageClassifier:
    """Build a freshly initialised model; the weights come from torch's global generator.

    ``image_shape`` is (C, H, W), every side at least 1. ``mean`` and ``std`` are those of the
    training images per channel, in [0, 1] pixel units, and become the model's first layer; each
    is 0.5 where left out, which maps [0, 1] to [-1, 1]. Raises :class:`UserError` for an unknown
    ``arch`` and ``ValueError`` where a length is not the number of channels.
    """
    build = ARCHS[arch]
    channels = image_shape[0]
    mean = [0.5] * channels if mean is None else mean
    std = [0.5] * channels if std is None else std
    return build(image_shape, num_classes, mean, std)
