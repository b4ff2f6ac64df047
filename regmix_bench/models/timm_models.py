"""Models of timm (Wightman 2019, "PyTorch Image Models"); the one door to its package.

It is an extra, ``regmix-bench[timm]``, and is imported when a model of it is named. Their weights
are drawn as timm draws them: nothing is downloaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from regmix_bench.errors import UserError, reason, unknown
from regmix_bench.models.protocol import Architecture

if TYPE_CHECKING:
    from regmix_bench.models.classifier import ImageClassifier


class TimmModel(Architecture):
    """Any model of timm by its name there, such as timm:resnet50; needs the extra timm."""

    model: ClassVar[str]

    def build(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> ImageClassifier:
        import torch
        from torch import nn

        from regmix_bench.models.classifier import ImageClassifier

        try:
            trunk = nn.Sequential(self._trunk(image_shape)).eval()
            with torch.no_grad():
                features = trunk(torch.zeros(1, *image_shape))
        except Exception as error:  # of a size that a model does not take it may raise anything
            raise UserError(
                f"timm:{self.model} does not take images of shape {image_shape}: {reason(error)}"
            ) from error
        if features.ndim != 2:
            raise UserError(
                f"timm:{self.model} gives an image features of shape {tuple(features.shape[1:])},"
                " not one vector: it is no classifier"
            )
        return ImageClassifier(
            trunk.train(),
            features.shape[1],
            image_shape[0],
            num_classes,
            mean,
            std,
            initialise=False,
        )

    def _trunk(self, image_shape: tuple[int, int, int]) -> Any:
        """Make the model without its classifier; one that is made for a size is made for this."""
        timm = _import_timm()
        channels, *side = image_shape
        fixed = getattr(timm.models.get_pretrained_cfg(self.model), "fixed_input_size", False)
        options = {"img_size": tuple(side)} if fixed else {}
        return timm.create_model(
            self.model, pretrained=False, num_classes=0, in_chans=channels, **options
        )


@cache
def timm_model(model: str) -> type[TimmModel]:
    """Return the architecture that timm calls ``model``.

    Raises :class:`UserError` where timm is not installed, or knows none of this name.
    """
    names = _import_timm().list_models()
    if model not in names:
        if model.partition(".")[0] in names:
            raise UserError(
                f"timm:{model} names trained weights, which are not loaded: write"
                f" timm:{model.partition('.')[0]}"
            )
        raise unknown("model of timm", model, names)
    members = {"__doc__": TimmModel.__doc__, "name": f"timm-{model}", "model": model}
    return type("TimmModel", (TimmModel,), members)


def _import_timm() -> Any:
    if importlib.util.find_spec("timm") is None:
        raise UserError('models of timm need its package: pip install "regmix-bench[timm]"')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old names of torch that timm uses
            return importlib.import_module("timm")
    except Exception as error:  # of a timm that does not fit this torch
        raise UserError(f"timm cannot be imported: {reason(error)}") from error
