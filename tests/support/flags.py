"""Which images the seeds of methods get right, drawn from the model that verdicts assume."""

from __future__ import annotations

import itertools

IMAGES = 360


def method(rng, seeds, hardness, *, seed_sd=0.3, taste=1.0, ease=0.0):
    """Flags of one method: how easy an image is in common, for the method, for the seed."""
    own = hardness + rng.normal(0, taste, len(hardness))
    shift = rng.normal(0, seed_sd, (seeds, 1))
    noise = rng.normal(0, 1, (seeds, len(hardness)))
    return ease + 2 + own + shift + noise > 0


def images(rng, n=IMAGES):
    return rng.normal(0, 3, n)


def two_methods(rng, seeds=(3, 3), n=IMAGES, ease=0.0, **kind):
    hardness = images(rng, n)
    one, two = seeds
    return method(rng, one, hardness, ease=ease, **kind), method(rng, two, hardness, **kind)


def table(rng, methods=5, seeds=6, reference_seeds=6, deviations=(0.3,), n=IMAGES):
    """Equal methods, whose latent deviations from seed to seed take turns, and their reference."""
    hardness = images(rng, n)
    turns = itertools.islice(itertools.cycle(deviations), methods)
    return (
        [method(rng, seeds, hardness, seed_sd=sd) for sd in turns],
        method(rng, reference_seeds, hardness, seed_sd=deviations[-1]),
    )
