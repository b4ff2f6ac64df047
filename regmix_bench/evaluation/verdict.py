"""The verdict of the model itself on the images that an attack made."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from regmix_bench.attacks.ball import ball_tolerance
from regmix_bench.attacks.protocol import Searched
from regmix_bench.errors import UserError
from regmix_bench.models.predictions import margins
from regmix_bench.records.schema import Cost
from regmix_bench.types import NORMS, ThreatModel


class UnusableOutcome(UserError):
    """Logits on which no verdict is possible: this model cannot be scored so."""


class FailedAttack(UserError):
    """An attack that broke off, or whose images are none that it may make: it has no outcome."""


@dataclass(frozen=True)
class BatchOutcome:
    """The result of one attack on one batch, in main memory.

    Of B images: ``index`` (B,) int64 their positions among the images that are scored, ``pred``
    (B,) int64, ``margin`` (B,) the true logit minus the largest other one, ``norm`` (B,) float64 of
    the perturbation, ``broke`` (B,) bool whether an image that was right is now wrong, ``queries``
    (B,) int64 of a black box, -1 of another attack; and ``images`` (M, C, H, W), the M that broke.
    ``checks`` are warnings that came up meanwhile.
    """

    index: Tensor
    pred: Tensor
    margin: Tensor
    norm: Tensor
    broke: Tensor
    images: Tensor
    queries: Tensor
    checks: tuple[str, ...] = ()
    cost: Cost = field(default_factory=Cost)


@torch.no_grad()
def judge(
    model: nn.Module,
    index: Tensor,
    x: Tensor,
    y: Tensor,
    searched: Searched,
    was_right: Tensor,
    threat: ThreatModel,
) -> BatchOutcome:
    """Judge the images of ``searched``, made of ``x`` (B, C, H, W) with labels ``y`` (B,).

    Raises :class:`FailedAttack` for images of another form, and where an image that breaks the
    model lies outside of the threat, and :class:`UnusableOutcome` where a logit is not a finite
    number.
    """
    x_adv, queries = searched.images, searched.queries
    if not isinstance(x_adv, Tensor):
        raise FailedAttack(f"the attack returns {type(x_adv).__name__}, not images")
    for what in ("shape", "dtype", "device"):
        found, expected = (getattr(images, what) for images in (x_adv, x))
        if found != expected:
            raise FailedAttack(f"the attack returns images of {what} {found}, not {expected}")
    if queries is not None and queries.shape != y.shape:
        raise FailedAttack(f"the attack returns queries of shape {tuple(queries.shape)}")
    logits = model(x_adv)
    if not logits.isfinite().all():
        bad = int((~logits.isfinite()).any(1).sum())
        raise UnusableOutcome(f"the model returns logits that are not finite for {bad} images")
    pred = logits.argmax(1)
    broke = was_right & (pred != y)
    norm = NORMS[threat.norm].length(x_adv.double() - x.double())
    limit = float(threat.epsilon) + ball_tolerance(threat, x[0].numel())
    low, high = threat.bounds
    valid = ((x_adv >= low) & (x_adv <= high)).flatten(1).all(1)
    if outside := int((broke & ~(valid & (norm <= limit))).sum()):
        raise FailedAttack(f"the attack leaves the threat model {threat} on {outside} images")
    return BatchOutcome(
        index=index.cpu(),
        pred=pred.cpu(),
        margin=margins(logits, y).cpu(),
        norm=norm.cpu(),
        broke=broke.cpu(),
        images=x_adv[broke].cpu(),
        queries=torch.full_like(y, -1).cpu() if queries is None else queries.cpu(),
    )
