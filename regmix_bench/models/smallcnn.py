"""A network small enough for AutoAttack on one CPU core."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from regmix_bench.models.classifier import ImageClassifier, conv3x3


class GridPool(nn.Module):
    """Average (B, C, H, W) over a grid of ``side`` × ``side`` cells.

    Where the input is that grid already it is passed on, which gives the same numbers in a fraction
    of the time: on digits the pooling would cost more than the convolutions.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, ``side``, ``side``)."""
        if x.shape[2:] == (self.side, self.side):
            return x
        return functional.adaptive_avg_pool2d(x, self.side)


def smallcnn(
    image_shape: tuple[int, int, int],
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> ImageClassifier:
    """Build two convolutions, a 4x4 grid and 64 hidden units: 38,330 parameters on digits.

    Pooling to a fixed grid keeps where a stroke lies, which a global mean over 8x8 digits would
    lose, and makes the weights independent of the image size.
    """
    channels = image_shape[0]
    trunk = nn.Sequential(
        conv3x3(channels, 16),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        conv3x3(16, 32, stride=2),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        GridPool(4),
        nn.Flatten(),
        nn.Linear(16 * 32, 64),
        nn.ReLU(),
    )
    return ImageClassifier(trunk, 64, channels, num_classes, mean, std)
