"""The prior of prior-guided methods: a perturbation for every training image, kept over epochs.

Jia et al., "Prior-Guided Adversarial Initialization for Fast Adversarial Training", ECCV 2022, the
variant with momentum over epochs (FGSM-MEP). Perturbations have the shape (B, C, H, W) of their
images and their units, in which pixels lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import torch
from pydantic import Field

from regmix_bench.attacks.ball import ascend, project
from regmix_bench.attacks.noise import batch_sum, epoch_seed, noise
from regmix_bench.distributed.collectives import Sharding
from regmix_bench.methods.protocol import Method
from regmix_bench.methods.unlabelled import attack_objective
from regmix_bench.types import NORMS, Batch, Later, ThreatModel

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Epochs between two resets of the prior.
Reset = Annotated[int, Field(ge=1, description="Epochs between two resets of the prior")]

#: Whether x + δ is clipped to valid pixels before a step, and not after it alone. The authors'
#: programs take the gradient at x + δ as it is; the runs that were recorded first clipped it.
ClipStart = Annotated[
    bool,
    Later(True),
    Field(description="Clip x + δ to valid pixels before the step; the authors do not"),
]

#: What is left of a momentum at the next visit.
MomentumDecay = Annotated[
    float, Field(ge=0, lt=1, description="What is left of the momentum at the next visit")
]


class StoredPerturbations:
    """A perturbation δ of every training image, (N, C, H, W), kept from visit to visit.

    It is in input coordinates and does not follow an image's crop or flip. Every ``reset`` epochs,
    or in the first alone, it starts again from ε·sign(U(−ε, ε)). Images at which a visit starts
    are clipped to valid pixels only with ``clip_start``. ``compact`` keeps it in bfloat16: half the
    memory, δ to 0.4 % of itself. In a group each process keeps its share of the training set, and
    every method is to be called by all processes.

    Equal batches leave images out of an epoch, which may be one that resets: these start again at
    their next visit, from signs that follow from ``seed`` and the epoch.

    With ``count_visits`` each image starts again at every ``reset``-th of its own visits, or at the
    first alone, however many an epoch has.
    """

    def __init__(
        self,
        dataset_size: int,
        image_shape: tuple[int, int, int],
        device: torch.device,
        reset: int | None = None,
        clip_start: bool = False,
        compact: bool = False,
        seed: int = 0,
        count_visits: bool = False,
    ) -> None:
        dtype = torch.bfloat16 if compact else torch.float32
        self._shards = Sharding(dataset_size)
        self.delta = self._shards.zeros(image_shape, device, dtype)
        # float32 counts 16 million visits, and is read and written as δ is.
        self.visits = self._shards.zeros((1, 1, 1), device, torch.float32) if count_visits else None
        self.reset = reset
        self.clip_start = clip_start
        self.seed = seed
        self.fresh = not count_visits

    def on_epoch_start(self, epoch: int) -> None:
        """Note whether ``epoch``, counted from 1, begins anew, and reset all images if so."""
        if self.visits is not None:
            return
        self.fresh = epoch == 1 if self.reset is None else (epoch - 1) % self.reset == 0
        if not self.fresh:
            return
        generator = torch.Generator(self.delta.device)
        generator.manual_seed(epoch_seed(self.seed, epoch, "prior"))
        # A whole pixel either way, of which a visit leaves ε. What this epoch does visit, most if
        # not all, draws its start there, as it did before batches could be equal.
        self._shards.fill(
            self.delta, lambda rows: rows.bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
        )

    def initial(self, batch: Batch, threat: ThreatModel, generator: torch.Generator) -> Tensor:
        """Return the starting perturbation of a batch, inside the ball.

        With ``clip_start`` the images at which it starts are inside the range of pixels too.
        Without, where an image is black or white, or padded by its crop, they leave it by up to ε.
        """
        if self.fresh:
            delta = _signs(batch, threat, generator)
        else:
            delta = self._taken(self.delta, batch, batch.x.dtype)
            if self.visits is not None:
                begins = self.begins(self.visits, batch)
                delta = torch.where(begins, _signs(batch, threat, generator), delta)
        delta = delta.to(batch.x.dtype)
        if self.clip_start:
            return project(delta, batch.x, threat)
        # Kept in bfloat16, a perturbation may be rounded to one a little larger than ε.
        return NORMS[threat.norm].shrink(delta, float(threat.epsilon))

    def begins(self, visits: Tensor, batch: Batch) -> Tensor:
        """Return of each image (B, 1, 1, 1) of a batch whether it starts again, given all visits.

        It does not change until the visit ends by :meth:`put`.
        """
        so_far = self._taken(visits, batch, visits.dtype)
        return so_far == 0 if self.reset is None else so_far % self.reset == 0

    def put(self, batch: Batch, delta: Tensor) -> None:
        """Keep ``delta`` (B, C, H, W) for the next visit of the batch's images."""
        self._put(self.delta, batch, delta)
        if self.visits is not None:
            so_far = self._taken(self.visits, batch, self.visits.dtype)
            self._put(self.visits, batch, so_far + 1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is kept of all images in the first process, and no image in the others.

        Whether the next visit is fresh follows from the epoch, or from the visits.
        """
        visits = {} if self.visits is None else {"visits": self._shards.gather(self.visits)}
        return {"delta": self._shards.gather(self.delta), **visits}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a saved state of the same shape, whatever the number of processes."""
        self._shards.load(self.delta, state["delta"])
        if self.visits is not None:
            self._shards.load(self.visits, state["visits"])

    def _taken(self, rows: Tensor, batch: Batch, dtype: torch.dtype) -> Tensor:
        return self._shards.take(rows, batch.index, batch.total or len(batch.index), dtype)

    def _put(self, rows: Tensor, batch: Batch, values: Tensor) -> None:
        self._shards.put(rows, batch.index, batch.total or len(batch.index), values)


def _signs(batch: Batch, threat: ThreatModel, generator: torch.Generator) -> Tensor:
    """Draw ε or −ε for each pixel (B, C, H, W)."""
    drawn = noise(torch.rand, batch.x.float(), generator)
    return float(threat.epsilon) * (drawn - 0.5).sign()


class Prior(StoredPerturbations):
    """Perturbations that follow a momentum m, kept like δ and of its shape; a reset clears it."""

    def __init__(
        self,
        dataset_size: int,
        image_shape: tuple[int, int, int],
        device: torch.device,
        reset: int,
        clip_start: bool = False,
        momentum_decay: float = 0.3,
        compact: bool = False,
        seed: int = 0,
        count_visits: bool = False,
    ) -> None:
        super().__init__(
            dataset_size, image_shape, device, reset, clip_start, compact, seed, count_visits
        )
        self.momentum = torch.zeros_like(self.delta)
        self.momentum_decay = momentum_decay

    def on_epoch_start(self, epoch: int) -> None:
        super().on_epoch_start(epoch)
        if self.fresh:
            self.momentum.zero_()

    def update(
        self,
        batch: Batch,
        delta: Tensor,
        gradient: Tensor,
        threat: ThreatModel,
        weight: float | Tensor = 1.0,
    ) -> None:
        """Store the next prior of a batch that was visited at ``delta`` with input ``gradient``.

        ``m ← weight·g/‖g‖₁ + decay·m`` with the norm over the whole batch, then
        ``δ ← Π(δ + ε·sign m)``. FGSM-PGK weighs the gradient; FGSM-PGI leaves the weight at 1.
        """
        tiny = torch.finfo(gradient.dtype).tiny
        momentum = weight * gradient / batch_sum(gradient.abs().sum()).clamp_min(tiny)
        if not self.fresh:
            before = self._taken(self.momentum, batch, momentum.dtype)
            if self.visits is not None:
                before = torch.where(self.begins(self.visits, batch), 0.0, before)
            momentum = momentum + self.momentum_decay * before
        following = ascend(delta, batch.x, momentum, threat, float(threat.epsilon))
        self._put(self.momentum, batch, momentum)
        self.put(batch, following)

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | {"momentum": self._shards.gather(self.momentum)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        super().load_state_dict(state)
        self._shards.load(self.momentum, state["momentum"])


class PriorStep(NamedTuple):
    """One FGSM step from the stored prior.

    ``initial`` is the prior δ and ``logits`` (B, K) the model's output at x + δ; ``gradient`` is
    that of what the attack climbs there, ``delta`` the perturbation one step of ε further, and
    ``x_adv`` the images with it. The logits carry gradient, the others do not.
    """

    initial: Tensor
    logits: Tensor
    gradient: Tensor
    delta: Tensor
    x_adv: Tensor


class StoredStartMethod(Method):
    """Base of methods that attack by one FGSM step of size ε from what is stored for each image.

    ``setup`` makes ``self.prior``, and ``step`` begins with :meth:`attack`. The attack sees labels
    as smoothed as the loss does.
    """

    norms = ("Linf",)
    prior: StoredPerturbations

    def on_epoch_start(self, epoch: int) -> None:
        self.prior.on_epoch_start(epoch)

    @property
    def branch(self) -> Hashable:
        return self.prior.fresh

    def attack(
        self,
        model: nn.Module,
        batch: Batch,
        threat: ThreatModel,
        generator: torch.Generator,
        keep_graph: bool = True,
        initial: Tensor | None = None,
        clean_logits: Tensor | None = None,
    ) -> PriorStep:
        """Take one step from the prior of ``batch``, or from ``initial`` (B, C, H, W) in its place.

        One forward pass serves the attack and, with ``keep_graph``, whatever the loss makes of the
        logits at the start. ``clean_logits`` (B, K) are needed where an image has no label.
        """
        if initial is None:
            initial = self.prior.initial(batch, threat, generator)
        x_prior = (batch.x + initial).requires_grad_()
        logits = model(x_prior)
        attack_loss = attack_objective(logits, batch, self.true_class_mass, clean_logits)
        (gradient,) = torch.autograd.grad(attack_loss, x_prior, retain_graph=keep_graph)
        delta = ascend(initial, batch.x, gradient, threat, float(threat.epsilon))
        return PriorStep(initial, logits, gradient, delta, batch.x + delta)

    def state_dict(self) -> dict[str, Any]:
        return self.prior.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.prior.load_state_dict(state)


class PriorGuidedMethod(StoredStartMethod):
    """Base of methods whose prior follows a momentum.

    Their ``Config`` has ``reset``, ``clip_start`` and ``momentum_decay`` of the prior, and ``step``
    calls ``self.prior.update`` with what :meth:`attack` returned.
    """

    prior: Prior

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        config = self.config
        self.prior = Prior(
            dataset_size,
            image_shape,
            device,
            config.reset,
            config.clip_start,
            config.momentum_decay,
            self.compact_state,
            self.run_seed,
            self.visits_vary,
        )
