"""The tricks of a training as they took effect, whoever asked for them."""

from __future__ import annotations

from regmix_bench.methods import declared
from regmix_bench.methods.declarations import true_class_mass
from regmix_bench.records.schema import RunRecord
from regmix_bench.specs import RunSpec
from regmix_bench.specs.tricks import Tricks
from regmix_bench.types import Checkpoint


def tricks_of(spec: RunSpec) -> Tricks:
    """Return the tricks that took effect in a training of ``spec``.

    Of a method that is not installed here only what its specification says is known.
    """
    recipe, method = spec.recipe, declared(spec.method.name)
    average: float | str | None = None
    if isinstance(recipe.ema_decay, float):
        average = recipe.ema_decay
    elif recipe.ema_decay == "method" and method is not None and method.averages_weights:
        average = spec.method.name
    return Tricks(
        true_class_mass=true_class_mass(spec),
        average=average,
        average_start=recipe.ema_start,
        average_buffers=recipe.ema_buffers,
        awp_gamma=recipe.awp_gamma,
        awp_warmup=recipe.awp_warmup,
        gradient_clip=recipe.gradient_clip,
    )


def trained_with(record: RunRecord) -> Tricks:
    """Return the tricks of a recorded training, also of a method that is not installed here."""
    return record.tricks or tricks_of(record.spec)


def seen_tricks(tricks: Tricks, checkpoint: Checkpoint) -> Tricks:
    """Return the tricks that the weights of a checkpoint had, of those of its training."""
    return tricks.of_raw_weights if checkpoint.startswith("raw-") else tricks
