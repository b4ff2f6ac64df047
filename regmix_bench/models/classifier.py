"""The base of every architecture: pixels in [0, 1] go in, logits come out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# One grey level: a channel that is constant over the training set must not divide by zero.
_SMALLEST_STD = 1 / 255


class Normalise(nn.Module):
    """``(x - mean) / std`` per channel; the constants are saved with the weights.

    ``mean`` and ``std`` hold one number per channel in [0, 1] pixel units; a ``std`` below 1/255
    counts as 1/255.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1).clamp_min(_SMALLEST_STD))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (B, C, H, W) in [0, 1] to zero mean and unit variance."""
        return (x - self.mean) / self.std


class ImageClassifier(nn.Module):
    """Normalisation, a trunk that ends in one vector per image, and a linear classifier.

    ``trunk`` maps (B, C, H, W) to (B, ``width``); its convolutions are drawn anew (He et al. 2015,
    arXiv:1502.01852) unless ``initialise`` is false. Raises ``ValueError`` unless ``mean`` and
    ``std`` hold ``channels`` numbers each.
    """

    def __init__(
        self,
        trunk: nn.Sequential,
        width: int,
        channels: int,
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        initialise: bool = True,
    ) -> None:
        super().__init__()
        if not len(mean) == len(std) == channels:
            raise ValueError(
                f"{channels} channels, but {len(mean)} means and {len(std)} standard deviations"
            )
        self.normalise = Normalise(mean, std)
        self.trunk = trunk
        self.classifier = nn.Linear(width, num_classes)
        for module in trunk.modules() if initialise else ():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Tensor) -> Tensor:
        """Return penultimate features (B, F) of ``x`` (B, C, H, W) in [0, 1]."""
        features: Tensor = self.trunk(self.normalise(x))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, K) of ``x`` (B, C, H, W) in [0, 1], in the weights' dtype.

        Also under autocast: a logit of eight in bfloat16 is off by up to 0.016, which is more than
        the first steps of an attack on KL(p(x) ‖ p(x')) move it, whose gradient is p(x') − p(x).
        """
        features = self.features(x)
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self._classified(features.to(self.classifier.weight.dtype))
        return self._classified(features)

    def _classified(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classifier(features)
        return logits


def conv3x3(n_in: int, n_out: int, stride: int = 1) -> nn.Conv2d:
    """Make a 3x3 convolution that keeps the size at stride 1, without bias: batch norm has one."""
    return nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
