"""The measurement of robustness."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from regmix_bench.types import Frozen, Later

#: Those of the authors, and an ensemble of attacks that are named.
AutoAttackVersion = Literal["standard", "plus", "rand", "custom"]

#: Of what attacks compute: tf32 rounds the factors of float32 products to 10 bits, bf16 to 7.
SearchPrecision = Literal["fp32", "tf32", "bf16"]


class Scoring(Frozen):
    """The measurement of robustness. Only what changes a score stands here.

    ``attacks`` are the labels of those of version ``custom``, in the order they run, and empty for
    the others; whether they are known is asked where they are looked up. With ``screen`` AutoAttack
    sees the survivors of PGD alone, which is another number. ``forward_batch_size`` is the number
    of images that a model takes at once, forward and backward: attacks keep their batches, and the
    numbers are the same up to rounding. None is as many as memory holds on CUDA, all on a CPU.
    ``search_precision`` is that in which attacks search; what they find is judged in float32.
    """

    #: Of the PGD attack of every score. No parameter, yet part of every identity.
    pgd_steps: ClassVar[int] = 20
    autoattack_version: AutoAttackVersion = "standard"
    attacks: Annotated[tuple[str, ...], Later(())] = ()
    autoattack_seed: int = Field(0, ge=0, lt=2**63)
    autoattack_batch_size: int = Field(500, ge=1, lt=2**31)
    screen: Annotated[bool, Later(False)] = False
    forward_batch_size: Annotated[Annotated[int, Field(ge=1, lt=2**31)] | None, Later(None)] = None
    search_precision: Annotated[SearchPrecision, Later("fp32")] = "fp32"

    @model_validator(mode="after")
    def _custom_names_its_attacks(self) -> Self:
        if len(set(self.attacks)) < len(self.attacks):
            raise ValueError("an attack is named twice")
        if bool(self.attacks) != (self.autoattack_version == "custom"):
            raise ValueError("version custom, and no other, names its attacks")
        return self
