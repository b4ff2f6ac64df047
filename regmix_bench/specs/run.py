"""The specifications of a run and of an evaluation: everything that decides their numbers."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field

from regmix_bench.registry import FILE_NAME
from regmix_bench.specs.components import (
    Component,
    ComponentKind,
    DataNames,
    MethodSpec,
    ModelSource,
)
from regmix_bench.specs.identity import IDENTITY_VERSION, digest, hashed
from regmix_bench.specs.recipe import Recipe
from regmix_bench.specs.scoring import Scoring
from regmix_bench.specs.supervision import Labelled, Supervision
from regmix_bench.types import (
    TRAINED,
    Evaluated,
    Frozen,
    Later,
    RefusingModel,
    ThreatModel,
    TrainedCheckpoint,
)

#: Budgets under which one model is scored.
MOST_THREATS = 100
#: Characters that a label brings to a file's name.
MOST_CHARACTERS = 80


class TestedSpec(Frozen, metaclass=RefusingModel):
    """The part that the specifications of all tested models share.

    ``components`` are the attacks, data sets and architectures of plug-ins among what is named, and
    ``data_names`` what readers call data that ``dataset`` names by a digest.
    """

    dataset: str = Field(pattern=FILE_NAME)
    eval_examples: int | None = Field(None, ge=1, lt=2**63)
    arch: str = Field(pattern=FILE_NAME)
    components: Annotated[tuple[Component, ...], Later(())] = ()
    data_names: DataNames | None = None

    def component(self, kind: ComponentKind) -> Component | None:
        """Return the data set's or the architecture's, where it is a plug-in's."""
        return next((found for found in self.components if found.kind == kind), None)

    @property
    def typed_dataset(self) -> str:
        """Return the data set as a user types it, with a plug-in's parameters."""
        return str(self.component("dataset") or self.dataset)

    @property
    def dataset_words(self) -> str:
        """Return what a reader calls the data set."""
        return self.data_names.title if self.data_names else self.typed_dataset

    @property
    def arch_words(self) -> str:
        """Return the architecture as a user types it, with a plug-in's parameters."""
        return str(self.component("arch") or self.arch)

    @property
    def run_id(self) -> str:
        """Return the digest of :meth:`identity`, twelve hex digits."""
        return digest(self.identity())

    def identity(self) -> dict[str, Any]:
        """Return what the run_id hashes; :mod:`regmix_bench.specs.identity` has the rule."""
        return {"identity": IDENTITY_VERSION, **hashed(self)}


class Spec(TestedSpec):
    """The part that the specifications of all attacked models share.

    AutoAttack runs under ``eval_threats``; under ``pgd_threats`` clean accuracy and PGD have to do.
    """

    eval_threats: tuple[ThreatModel, ...] = Field(min_length=1, max_length=MOST_THREATS)
    pgd_threats: Annotated[tuple[ThreatModel, ...], Later(())] = ()
    scoring: Scoring = Scoring()

    @property
    def group_id(self) -> str:
        """Return the run_id without the seed: runs that a mean over seeds may join."""
        return digest({**self.identity(), "seed": None})


class RunSpec(Spec):
    """Everything that decides a training's numbers, and nothing that does not.

    Of the training images all but ``labelled`` lose their labels; ``extra`` are further images that
    have none, by the name that the cache has for them.
    """

    method: MethodSpec
    train_examples: int | None = Field(None, ge=1, lt=2**63)
    labelled: Annotated[Labelled, Later(None)] = None
    extra: Annotated[str | None, Later(None)] = Field(None, pattern=FILE_NAME)
    train_threat: ThreatModel
    evaluate: Evaluated = "selected"
    recipe: Recipe = Recipe()
    seed: int = Field(0, ge=0, lt=2**63)

    def attacks(self, checkpoint: TrainedCheckpoint) -> bool:
        """Return whether AutoAttack is to score ``checkpoint``."""
        asked = {"both": ("selected", "last"), "all": TRAINED}
        return checkpoint in asked.get(self.evaluate, (self.evaluate,))

    @property
    def other_threats(self) -> tuple[ThreatModel, ...]:
        """Return the threats under which AutoAttack does not run."""
        return self.train_threat, *self.pgd_threats

    def training_identity(self) -> dict[str, Any]:
        """Return what decides the trained weights, but for the seed."""
        scored = ("eval_examples", "eval_threats", "pgd_threats", "evaluate", "scoring", "seed")
        trained = tuple(found for found in self.components if found.kind != "attack")
        spec = self.model_copy(update={"components": trained})
        return {key: value for key, value in spec.identity().items() if key not in scored}

    @property
    def training_id(self) -> str:
        """Return the digest of :meth:`training_identity`."""
        return digest(self.training_identity())

    @property
    def supervision(self) -> Supervision:
        """Return the labels that it sees, and its use of images without one."""
        unlabelled = self.recipe.unlabelled
        return Supervision(labelled=self.labelled, unlabelled=unlabelled, extra=self.extra)

    @property
    def data_words(self) -> str:
        """Return the data set, and the labels that are seen where not all are."""
        return self.dataset_words + self.supervision.suffix

    @property
    def label(self) -> str:
        """Return the name of the run's row."""
        return self.method.label

    @property
    def stem(self) -> str:
        """Return the file name of a new record without its ending, free of a path's characters."""
        threat = self.train_threat
        name = slug(self.method.recorded_label or self.label)
        return f"{name}-{threat.norm}-{threat.epsilon.slug}-s{self.seed}-{self.run_id}"


class EvalSpec(Spec):
    """Everything that decides the numbers of a model that is scored without training it."""

    model: ModelSource
    label: str = Field(min_length=1)

    @property
    def seed(self) -> int:
        """Return the seed of the attacks, the only one there is."""
        return self.scoring.autoattack_seed

    @property
    def stem(self) -> str:
        """Return the file name of a new record without its ending, free of a path's characters."""
        return f"{slug(self.label)}-{self.run_id}"


def slug(label: str) -> str:
    """Return a label as a part of a file's name, free of a path's characters."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", label.replace("=", ""))
    return kept.strip("-.")[:MOST_CHARACTERS] or "model"
