"""Residual networks for small images: ResNet, pre-activation ResNet and Wide ResNet.

ResNet is He et al. 2015 (arXiv:1512.03385), its pre-activation form He et al. 2016
(arXiv:1603.05027), Wide ResNet Zagoruyko & Komodakis 2016 (arXiv:1605.07146).

All begin with one 3x3 convolution at full resolution, without pooling, as these papers do on CIFAR,
and halve the size at the start of every stage but the first. 64x64 images keep that stem, at four
times the cost: the ImageNet stem (7x7, stride 2, pooling) would shrink them to 16x16 at once.
A global mean ends every trunk, so the weights do not depend on the image size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regmix_bench.models.classifier import ImageClassifier, conv3x3


class Join(nn.Module):
    """The sum of a block's two branches, cut off below 0."""

    def forward(self, residual: Tensor, carried: Tensor) -> Tensor:
        """Map two batches (B, C, H, W) to one."""
        return torch.relu(residual + carried)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, ReLU after the sum.

    Where the shape changes, the shortcut is a 1x1 convolution with batch normalisation.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv3x3(n_in, n_out, stride),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            conv3x3(n_out, n_out),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )
        self.join = Join()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, H, W) to (B, n_out, ⌈H/stride⌉, ⌈W/stride⌉)."""
        joined: Tensor = self.join(self.residual(x), self.shortcut(x))
        return joined


class PreActBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, with normalisation and ReLU before each convolution.

    Where the shape changes, the shortcut is a 1x1 convolution of the activated input.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(n_in), nn.ReLU())
        self.residual = nn.Sequential(
            conv3x3(n_in, n_out, stride),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            conv3x3(n_out, n_out),
        )
        self.shortcut = (
            nn.Conv2d(n_in, n_out, 1, stride, bias=False) if stride != 1 or n_in != n_out else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, H, W) to (B, n_out, ⌈H/stride⌉, ⌈W/stride⌉)."""
        activated = self.activate(x)
        carried = x if self.shortcut is None else self.shortcut(activated)
        total: Tensor = self.residual(activated) + carried
        return total


class ResidualNetwork(ImageClassifier):
    """A stem, then one stage of ``blocks`` blocks for each of ``widths`` (channels).

    Features (B, ``widths[-1]``) are the last stage's channels, averaged over the image.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        block: type[BasicBlock | PreActBlock],
        stem: int,
        widths: Sequence[int],
        blocks: int,
    ) -> None:
        channels = image_shape[0]
        layers: list[nn.Module] = [conv3x3(channels, stem)]
        if block is BasicBlock:
            layers += [nn.BatchNorm2d(stem), nn.ReLU()]
        n_in = stem
        for stage, width in enumerate(widths):
            for place in range(blocks):
                layers.append(block(n_in, width, stride=2 if stage > 0 and place == 0 else 1))
                n_in = width
        if block is PreActBlock:
            layers += [nn.BatchNorm2d(n_in), nn.ReLU()]
        trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(trunk, n_in, channels, num_classes, mean, std)
