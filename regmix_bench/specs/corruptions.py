"""The specification of a test on corrupted images, and what corruptions there are."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field

from regmix_bench.specs.components import ModelSource
from regmix_bench.specs.run import TestedSpec, slug

#: Corrupted images: those that are made here, or the official arrays of CIFAR-10-C.
CorruptionSource = Literal["made", "cifar10c"]

#: The corruptions of Hendrycks and Dietterich (ICLR 2019), by kind: noise, blur, weather, digital.
Corruption = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
#: They are numbered from 1.
SEVERITIES = 5
#: What the environment of a record calls the SHA-256 of official arrays.
ARRAYS = "cifar10c_sha256"


class CorruptionSpec(TestedSpec):
    """Everything that decides a model's accuracy on corrupted images.

    ``corruptions`` says where they come from, ``seed`` is that of images that are made here.
    """

    model: ModelSource
    label: str = Field(min_length=1)
    corruptions: CorruptionSource
    seed: int = Field(0, ge=0, lt=2**63)

    def identity(self) -> dict[str, Any]:
        return {"kind": "corruptions", **super().identity()}

    @property
    def stem(self) -> str:
        """Return the file name of a new record without its ending, free of a path's characters."""
        return f"{slug(self.label)}-{self.corruptions}-{self.run_id}"
