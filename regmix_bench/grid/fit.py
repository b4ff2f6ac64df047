"""Check that the data of a grid, its attacks, labels and networks fit, and count its images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from regmix_bench.attacks.ensembles import require_defined
from regmix_bench.attacks.protocol import AttackedData
from regmix_bench.data import RunData, prepare
from regmix_bench.data.batches import check_batches
from regmix_bench.errors import UserError
from regmix_bench.loading.initial import fill_initial
from regmix_bench.methods import METHODS
from regmix_bench.methods.configured import mass_of_labels
from regmix_bench.models.weights import Description
from regmix_bench.specs import RunSpec
from regmix_bench.specs.supervision import Supervision

#: A data set as a user types it, how many of its images are drawn to train on and to score, and
#: the labels that are seen.
Drawn = tuple[str, int | None, int | None, Supervision]


class DataSize(NamedTuple):
    """The numbers of images and classes of a run's data, and the shape (C, H, W) of an image.

    Of the ``train`` images ``labelled`` have a label; an epoch is as long as ``length`` images.
    """

    train: int
    validation: int
    test: int
    shape: tuple[int, int, int]
    num_classes: int
    labelled: int
    length: int

    @classmethod
    def of(cls, data: RunData) -> DataSize:
        """Count the data of a run."""
        test, train = data.test, data.train
        held_out = len(data.validation[1])
        tested = len(test.y), test.image_shape, test.num_classes
        return cls(train.size, held_out, *tested, train.labelled, train.length)


def drawn(spec: RunSpec) -> Drawn:
    """Return what decides the images of a run."""
    return spec.typed_dataset, spec.train_examples, spec.eval_examples, spec.supervision


def check_fit(
    specs: Iterable[RunSpec], data_dir: Path | None, download: bool
) -> dict[Drawn, DataSize]:
    """Find data, attacks, labels and networks that do not fit before anything is written.

    It is done in main memory: what this process held on a GPU, the runs of others would lack.
    Returns the sizes of the data, by what is :func:`drawn`. Raises :class:`UserError` for the first
    that does not fit, or is not there.
    """
    sizes: dict[Drawn, DataSize] = {}
    built: set[tuple[Description, str | None]] = set()
    for spec in specs:
        key = drawn(spec)
        if key not in sizes:
            sizes[key] = DataSize.of(prepare(spec, torch.device("cpu"), data_dir, download))
        size = sizes[key]
        check_batches(size.train, spec.recipe)
        mass_of_labels(METHODS[spec.method.name], spec.recipe, size.num_classes)
        attacked = AttackedData(size.shape, size.num_classes, size.test)
        require_defined(spec.scoring, spec.eval_threats, attacked, spec.other_threats)
        description = Description(
            arch=spec.arch,
            image_shape=size.shape,
            num_classes=size.num_classes,
            component=spec.component("arch"),
        )
        init = spec.recipe.init
        if (description, init) not in built:
            with torch.random.fork_rng([]):
                model = description.build()
            if init is not None:
                fill_initial(model, init)
        built.add((description, init))
    return sizes


def sizes_of(specs: Iterable[RunSpec], data_dir: Path | None) -> dict[Drawn, DataSize | UserError]:
    """Return the sizes of the data that runs are on, or in their place what is wrong with them."""
    found: dict[Drawn, DataSize | UserError] = {}
    for spec in specs:
        if drawn(spec) not in found:
            try:
                data = prepare(spec, torch.device("cpu"), data_dir)
            except UserError as error:
                found[drawn(spec)] = error
            else:
                found[drawn(spec)] = DataSize.of(data)
    return found
