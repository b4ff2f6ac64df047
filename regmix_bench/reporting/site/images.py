"""Test images on the page of a run: clean, what the attack adds, and their sum."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from regmix_bench.analysis.cohorts import Run
from regmix_bench.analysis.words import threat_words
from regmix_bench.data.sources import class_name, class_names
from regmix_bench.reporting.figures.examples import magnification, three
from regmix_bench.reporting.figures.run_views import views_of

_SHOWN = 3  # with more, a site of hundreds of runs would be mostly images
_SEAM = 0.5  # between the images of a strip, as grey as a pixel that the attack leaves alone


class Example(NamedTuple):
    """A test image as the page shows it; ``png`` holds its three images side by side."""

    png: bytes
    position: int
    true: str
    clean: str
    adversarial: str

    @property
    def words(self) -> str:
        """The picture in words, for readers who do not see it."""
        return (
            f"Test image {self.position} of class {self.true}: clean, predicted {self.clean};"
            f" the perturbation; adversarial, predicted {self.adversarial}"
        )


class Examples(NamedTuple):
    """The images of a run and what is said above them."""

    caption: str
    shown: tuple[Example, ...]


def examples(run: Run) -> Examples | None:
    """Return some images of the test split under the attack, if the run was looked at.

    Raises :class:`UserError` for a file of views that is not the one its record names.
    """
    views = views_of(run)
    if views is None:
        return None
    factor = magnification([views])
    classes = class_names(run.spec.dataset, run.spec.data_names)
    shown = []
    for i in range(min(_SHOWN, len(views.label))):
        images = three(views, i, factor)
        seam = np.full((images[0].shape[0], 1, 3), _SEAM)
        stream = io.BytesIO()
        strip = np.concatenate([images[0], seam, images[1], seam, images[2]], axis=1)
        Image.fromarray(np.round(255 * strip).astype(np.uint8)).save(stream, "png")
        labels = (views.label[i], views.clean_pred[i], views.adv_pred[i])
        names = (class_name(classes, label) for label in labels)
        shown.append(Example(stream.getvalue(), int(views.index[i]), *names))
    caption = (
        f"From left to right: the image, the perturbation by PGD-{run.spec.scoring.pgd_steps} under"
        f" {threat_words(views.threat)} magnified {factor:.3g} times around grey, and their sum."
    )
    return Examples(caption, tuple(shown))
