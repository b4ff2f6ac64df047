"""A file of weights, which builds the architecture that it or its user names."""

from __future__ import annotations

from pathlib import Path

from regmix_bench.errors import UserError
from regmix_bench.loading.model import LoadedModel, key_notes
from regmix_bench.models import ARCHS
from regmix_bench.models.weights import Description, load_weights, read_weights
from regmix_bench.specs import ModelSource
from regmix_bench.specs.components import parse_component
from regmix_bench.system.files import file_digest


def from_weights(
    path: Path, arch: str | None, image_shape: tuple[int, int, int], num_classes: int
) -> LoadedModel:
    """Load a file of weights.

    Its model is built as ``arch``, such as ``mine[width=32]``, for images (C, H, W) and a number of
    classes, unless the file says what it holds. Raises :class:`UserError` where neither does, and
    where both do and differ.
    """
    content = read_weights(path)
    about = content.about
    named = None if arch is None else parse_component("arch", ARCHS, arch)
    if about is None:
        if named is None:
            raise UserError(f"{path} does not say what it holds: name its architecture by --arch")
        name, component = named
        about = Description(
            arch=name, image_shape=image_shape, num_classes=num_classes, component=component
        )
    if named not in (None, (about.arch, about.component)):
        held = str(about.component or about.arch)
        raise UserError(f"{path} holds a {held!r}, not a {arch!r}: leave --arch out")
    model = about.build()
    load_weights(model, content.tensors, path.name)
    source = ModelSource(kind="weights", name=path.name, sha256=file_digest(path))
    notes = key_notes(path, content)
    return LoadedModel(model.eval(), source, about.arch, path.stem, about.component, notes)
