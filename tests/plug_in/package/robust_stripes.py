"""A method, a data set, an architecture, an attack, a figure and a logger, as a stranger's."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from pydantic import Field
from torch import nn

from regmix_bench.attacks.ball import project
from regmix_bench.attacks.noise import uniform_start
from regmix_bench.attacks.protocol import Attack
from regmix_bench.data import Dataset
from regmix_bench.data.protocol import DataSource
from regmix_bench.losses import cross_entropy
from regmix_bench.methods.protocol import Method
from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.protocol import Architecture
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.runs.loggers import Logger
from regmix_bench.types import Frozen, StepOutput


class Nudge(Method):
    """CE on images under uniform noise."""

    name = "nudge"

    class Config(Frozen):
        scale: float = Field(1.0, gt=0, le=1)

    def step(self, model, batch, threat, generator):
        x = batch.x + self.config.scale * uniform_start(batch.x, threat, generator)

        def loss():
            return cross_entropy(model(x), batch.y)

        return StepOutput(loss(), x, again=loss)


class Stripes(DataSource):
    """Bars at one of three places, 1x6x6."""

    name = "stripes"
    arch = "one-layer"
    recipe = {"augmentation": "none", "epochs": 3}
    classes = ("top", "middle", "bottom")

    class Config(Frozen):
        size: int = Field(60, ge=6)

    def load(self, data_dir, download):
        rng = np.random.default_rng(0)
        size = self.config.size
        labels = np.arange(2 * size) % 3
        images = rng.uniform(0, 0.2, (2 * size, 1, 6, 6)).astype(np.float32)
        for image, label in zip(images, labels, strict=True):
            image[0, 2 * label : 2 * label + 2] += 0.7
        train, test = slice(size), slice(size, None)
        return Dataset(
            name=self.name,
            train_images=images[train],
            train_labels=labels[train],
            test_images=images[test],
            test_labels=labels[test],
            classes=self.classes,
        )


class OneLayer(Architecture):
    """One hidden layer."""

    name = "one-layer"

    class Config(Frozen):
        width: int = Field(16, ge=1)

    def build(self, image_shape, num_classes, mean, std):
        width, pixels = self.config.width, int(np.prod(image_shape))
        trunk = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.ReLU())
        return ImageClassifier(trunk, width, image_shape[0], num_classes, mean, std)


class Shake(Attack):
    """The best of a few draws of random signs."""

    name = "shake"

    class Config(Frozen):
        draws: int = Field(3, ge=1)

    def perturb(self, model, x, y, threat, *, seed):
        generator = torch.Generator(x.device).manual_seed(seed)
        worst, x_adv = torch.full(y.shape, -torch.inf), x.clone()
        for _ in range(self.config.draws):
            signs = torch.randint(2, x.shape, generator=generator, device=x.device) * 2.0 - 1
            tried = x + project(float(threat.epsilon) * signs, x, threat)
            loss = torch.nn.functional.cross_entropy(model(tried), y, reduction="none")
            better = loss > worst
            x_adv[better], worst[better] = tried[better], loss[better]
        return x_adv


class Survivors(ReportFigure):
    """Test images that no attack broke, by method."""

    name = "survivors"

    @classmethod
    def of(cls, contents):
        for cohort in contents.cohorts:
            rows = [
                {"label": group.label, "robust": run.record.evaluations[0].robust_acc}
                for group in cohort.groups
                for run in group.runs
            ]
            caption = "The share of test images that no attack broke."
            yield cls(subject=cohort.stem, frame=pd.DataFrame(rows), caption=caption)

    def draw(self, style):
        figure = Figure(figsize=(2, 1))
        figure.subplots().bar(self.frame["label"], self.frame["robust"])
        return figure


class Tally(Logger):
    """One line a run, with the epochs and the attacks that it took."""

    name = "tally"

    class Config(Frozen):
        file: str = "tally.txt"

    def open(self, results):
        self.path = results / self.config.file
        self.counts = {}

    def on_start(self, spec):
        self.counts[spec.run_id] = [0, 0]

    def on_epoch(self, spec, log):
        self.counts[spec.run_id][0] += 1

    def on_attack(self, spec, threat, attack, accuracy):
        self.counts[spec.run_id][1] += 1

    def on_end(self, ending):
        epochs, attacks = self.counts.pop(ending.spec.run_id)
        with self.path.open("a") as stream:
            print(ending.spec.run_id, epochs, attacks, file=stream)
