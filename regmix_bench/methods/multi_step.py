"""Methods that train on the end points of PGD, and the mode of the model while an attack runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field

from regmix_bench.attacks.pgd import Objective, frozen, pgd
from regmix_bench.methods.protocol import Method
from regmix_bench.methods.unlabelled import attack_objective
from regmix_bench.types import Batch, Frozen, Search, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn


AttackBN = Annotated[
    Literal["train", "eval"],
    Field(description="Mode of the batch-norm layers while the attack runs"),
]


class PGDConfig(Frozen):
    """The inner maximisation of multi-step methods."""

    steps: int = Field(10, ge=1, description="Steps of the attack")
    #: 2/255 at 8/255.
    step_ratio: Annotated[float, Search(0.1, 1, log=True)] = Field(
        0.25, gt=0, description="Size of a step as a multiple of ε"
    )
    attack_bn: AttackBN = "train"


class MultiStepMethod(Method):
    """Base of methods whose ``Config`` is a :class:`PGDConfig`.

    ``step`` draws a start, calls :meth:`attack` and makes a loss of the images it returns.
    """

    def attack(
        self,
        model: nn.Module,
        batch: Batch,
        threat: ThreatModel,
        initial: Tensor,
        pixels_first: bool = False,
    ) -> Tensor:
        """Return the end points (B, C, H, W) of PGD from ``batch.x + initial``, detached.

        ``initial`` (B, C, H, W) is a perturbation inside the threat model, ``pixels_first`` the
        order of the projection, as in :func:`~regmix_bench.attacks.ball.project`.
        """
        config = self.config
        with attack_mode(model, config.attack_bn):
            delta = pgd(
                self.objective(model, batch),
                batch.x,
                threat,
                delta=initial,
                steps=config.steps,
                step_size=config.step_ratio * float(threat.epsilon),
                pixels_first=pixels_first,
            )
        return batch.x + delta

    def objective(self, model: nn.Module, batch: Batch) -> Objective:
        """Return what the attack increases: the cross-entropy, unless a method says otherwise.

        It is asked for once an attack, with the model in the mode in which it is attacked.
        """
        mass, clean = self.true_class_mass, None
        if batch.partly_labelled:  # constant during the attack, so computed once
            with torch.no_grad():
                clean = model(batch.x)
        return lambda x: attack_objective(model(x), batch, mass, clean)


@contextlib.contextmanager
def attack_mode(model: nn.Module, batch_norm: Literal["train", "eval"]) -> Iterator[None]:
    """Prepare ``model`` for a step's attack, its batch-norm layers in the mode ``batch_norm``.

    While the block runs no gradient reaches a weight, so that input gradients cost what they must;
    in "eval" the trainer's model answers with a copy whose batch norm is folded into its
    convolutions. Afterwards the model is in training mode, as before.
    """
    # Here, so that a plan, which needs the methods' defaults alone, does without torch.
    from regmix_bench.models.execution import ModelRunner

    if batch_norm == "eval" and isinstance(model, ModelRunner):
        with model.attack_mode():
            yield
        return
    model.train(batch_norm == "train")
    try:
        with frozen(model):
            yield
    finally:
        model.train()
