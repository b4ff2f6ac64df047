"""A file of weights, which builds the architecture that it or its user names."""

from __future__ import annotations

from pathlib import Path

from regmix_bench.errors import UserError
from regmix_bench.loading.model import LoadedModel
from regmix_bench.models.weights import Description, load_weights, read_weights
from regmix_bench.specs import ModelSource
from regmix_bench.system.files import file_digest


def from_weights(
    path: Path, arch: str | None, image_shape: tuple[int, int, int], num_classes: int
) -> LoadedModel:
    """Load a file of weights.

    Its model is built as ``arch`` for images (C, H, W) and a number of classes, unless the file
    says what it holds. Raises :class:`UserError` where neither does, and where both do and differ.
    """
    tensors, about = read_weights(path)
    if about is None:
        if arch is None:
            raise UserError(f"{path} does not say what it holds: name its architecture by --arch")
        about = Description(arch=arch, image_shape=image_shape, num_classes=num_classes)
    if arch not in (None, about.arch):
        raise UserError(f"{path} holds a {about.arch!r}, not a {arch!r}: leave --arch out")
    model = about.build()
    load_weights(model, tensors, path.name)
    source = ModelSource(kind="weights", name=path.name, sha256=file_digest(path))
    return LoadedModel(model.eval(), source, about.arch, path.stem)
