"""The types that every part speaks: threat model, batch, and what specifies a run.

Nothing here imports torch at run time, so that planning, listing and reporting start at once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from regmix_bench.types import FILE_NAME, Epsilon, Frozen, ThreatModel

if TYPE_CHECKING:
    pass
AttackName = Literal["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"]

#: Raise it when the meaning of a specification changes, so that old run_ids no longer match.
IDENTITY_VERSION = 1


class Recipe(Frozen):
    """How a model is trained, whatever the method.

    The defaults are the single-step recipe of Jia et al. (2022) for CIFAR-10. Milestones are
    fractions of the run, so that a shorter run keeps the shape of the schedule.
    """

    epochs: int = Field(110, ge=1)
    batch_size: int = Field(128, ge=2)
    lr: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["multistep", "cosine", "onecycle"] = "multistep"
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (100 / 110, 105 / 110)
    gamma: float = Field(0.1, gt=0, le=1)
    augmentation: Literal["none", "crop", "crop-flip"] = "crop-flip"
    gradient_clip: float | None = Field(None, gt=0)
    ema_decay: float | None = Field(None, gt=0, lt=1)
    precision: Literal["fp32", "bf16"] = "fp32"


class MethodSpec(Frozen):
    """A method by name, all its hyper-parameters, the version of its code, and its row's label."""

    name: str
    version: int
    params: dict[str, Any]
    label: str


class Scoring(Frozen):
    """How robustness is measured. Only what changes a score stands here.

    ``attacks`` are those of version ``custom``, in the order they run, and empty for the others.
    With ``screen`` AutoAttack sees the survivors of PGD alone, which is another number.
    """

    autoattack_version: Literal["standard", "plus", "rand", "custom"] = "standard"
    attacks: tuple[AttackName, ...] = ()
    autoattack_seed: int = Field(0, ge=0, lt=2**63)
    autoattack_batch_size: int = Field(500, ge=1, lt=2**31)
    pgd_steps: Literal[20] = 20
    screen: bool = False

    @model_validator(mode="after")
    def _only_custom_names_attacks(self) -> Self:
        if len(set(self.attacks)) < len(self.attacks):
            raise ValueError("an attack is named twice")
        if bool(self.attacks) != (self.autoattack_version == "custom"):
            raise ValueError("version custom, and no other, names its attacks")
        return self


class ModelSource(Frozen):
    """Where a model that was not trained by the run at hand comes from, free of paths.

    ``name`` is a run_id and checkpoint, an identifier of RobustBench, ``module:callable`` or a
    file's name; ``sha256`` is that of its weights, of a callable together with its code.
    """

    kind: Literal["run", "robustbench", "callable", "weights", "program"]
    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Spec(Frozen):
    """What the specification of every scored model holds.

    AutoAttack runs under ``eval_threats``; under ``pgd_threats`` clean accuracy and PGD have to do.
    """

    dataset: str = Field(pattern=FILE_NAME)
    eval_examples: int | None = Field(None, ge=1)
    arch: str = Field(pattern=FILE_NAME)
    eval_threats: tuple[ThreatModel, ...] = Field(min_length=1)
    pgd_threats: tuple[ThreatModel, ...] = ()
    scoring: Scoring = Scoring()

    @property
    def run_id(self) -> str:
        """Twelve hex digits of the SHA-256 of the canonical JSON of :meth:`identity`."""
        return _digest(self.identity())

    @property
    def group_id(self) -> str:
        """The same without the seed: runs that a mean over seeds may join."""
        return _digest({**self.identity(), "seed": None})

    def identity(self) -> dict[str, Any]:
        """What the run_id hashes: ε in lowest terms, and no label, which follows from the rest."""
        content = self.model_dump(mode="json")
        for threat in (*content["eval_threats"], *content["pgd_threats"]):
            threat["epsilon"] = _lowest_terms(threat["epsilon"])
        # Records are older than these fields: where they say nothing, their run_ids stay.
        for field_name in ("attacks", "screen"):
            if not content["scoring"][field_name]:
                del content["scoring"][field_name]
        if not content["pgd_threats"]:
            del content["pgd_threats"]
        return {"identity": IDENTITY_VERSION, **content}


class RunSpec(_Spec):
    """Everything that decides a training's numbers, and nothing that does not."""

    method: MethodSpec
    train_examples: int | None = Field(None, ge=1)
    train_threat: ThreatModel
    evaluate: Literal["selected", "last", "both"] = "selected"
    recipe: Recipe = Recipe()
    selection: Literal["val-pgd10"] = "val-pgd10"
    seed: int = Field(0, ge=0)

    @property
    def label(self) -> str:
        """The name of the run's row."""
        return self.method.label

    def identity(self) -> dict[str, Any]:
        content = super().identity()
        del content["method"]["label"]
        content["train_threat"]["epsilon"] = _lowest_terms(content["train_threat"]["epsilon"])
        return content

    @property
    def stem(self) -> str:
        """File name of the record without its ending, free of anything a path could mean."""
        threat = self.train_threat
        slug = _slug(self.label)
        return f"{slug}-{threat.norm}-{threat.epsilon.slug}-s{self.seed}-{self.run_id}"


class EvalSpec(_Spec):
    """Everything that decides the numbers of a model that is scored without training it."""

    model: ModelSource
    label: str = Field(min_length=1)

    @property
    def seed(self) -> int:
        """That of the attacks, the only one there is."""
        return self.scoring.autoattack_seed

    def identity(self) -> dict[str, Any]:
        content = super().identity()
        del content["label"]
        return content

    @property
    def stem(self) -> str:
        """File name of the record without its ending, free of anything a path could mean."""
        return f"{_slug(self.label)}-{self.run_id}"


def _lowest_terms(epsilon: str) -> str:
    return "{}/{}".format(*Epsilon(epsilon).as_integer_ratio())


def _slug(label: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", label.replace("=", ""))
    return slug.strip("-.")[:80] or "model"


def _digest(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
