"""The architectures of this package; torch is imported when one is built.

Parameters are counted for CIFAR-10, those of ``smallcnn`` for digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from regmix_bench.models.protocol import Architecture

if TYPE_CHECKING:
    from regmix_bench.models.classifier import ImageClassifier


class SmallCNN(Architecture):
    """Two convolutions, a 4x4 grid and a hidden layer of 64 units; 38,330 parameters on digits."""

    name = "smallcnn"
    small = True

    def build(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> ImageClassifier:
        from regmix_bench.models.smallcnn import smallcnn

        return smallcnn(image_shape, num_classes, mean, std)


class _Residual(Architecture):
    """A :class:`~regmix_bench.models.residual.ResidualNetwork` of these sizes."""

    block: ClassVar[Literal["basic", "pre-activation"]] = "basic"
    stem: ClassVar[int] = 64
    widths: ClassVar[tuple[int, ...]] = (64, 128, 256, 512)
    blocks: ClassVar[int] = 2

    def build(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> ImageClassifier:
        from regmix_bench.models.residual import BasicBlock, PreActBlock, ResidualNetwork

        return ResidualNetwork(
            image_shape,
            num_classes,
            mean,
            std,
            block=BasicBlock if self.block == "basic" else PreActBlock,
            stem=self.stem,
            widths=self.widths,
            blocks=self.blocks,
        )


class ResNet8(_Residual):
    """ResNet of three stages of one block, for CPUs; 0.31 M parameters."""

    name = "resnet8"
    small = True
    stem, widths, blocks = 32, (32, 64, 128), 1


class ResNet18(_Residual):
    """ResNet-18 with a 3x3 stem; 11.17 M parameters."""

    name = "resnet18"


class PreActResNet18(_Residual):
    """Pre-activation ResNet-18 with a 3x3 stem; 11.17 M parameters."""

    name = "preactresnet18"
    block = "pre-activation"


class WRN2810(_Residual):
    """Wide ResNet of depth 28 and width 10, no dropout; 36.48 M parameters."""

    name = "wrn-28-10"
    block, stem, widths, blocks = "pre-activation", 16, (160, 320, 640), 4


class WRN3410(_Residual):
    """Wide ResNet of depth 34 and width 10, the model of TRADES; 46.16 M parameters."""

    name = "wrn-34-10"
    block, stem, widths, blocks = "pre-activation", 16, (160, 320, 640), 5
