"""The loss around test images: its surface, how much it bends, and what an attack makes of them.

The adversarial direction is that of steepest ascent, as FGSM takes it: the sign of the input
gradient for L∞, the normalised gradient for L2, the signs of its largest entries for L1. Both
directions of a surface have length ε in the threat's norm. No image is clipped to [0, 1]: that
would bend the surface where pixels meet the ends of their range, so that parts of it lie outside of
what the attacker may do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regmix_bench.attacks.norms import L2
from regmix_bench.attacks.pgd import frozen, input_gradient
from regmix_bench.attacks.white_box import PGD
from regmix_bench.data import EvalData
from regmix_bench.data.splits import balanced_sample
from regmix_bench.models.predictions import BATCH_SIZE, predict_logits, require_eval_mode
from regmix_bench.records.views import Views
from regmix_bench.specs import Scoring
from regmix_bench.types import NORMS, ThreatModel

#: Images that are shown, and whose surfaces are kept.
SHOWN = 8

#: Points of a surface along each direction, from −ε to ε.
GRID = 21

#: Images whose curvature is measured: those whose outputs are kept for plots.
MEASURED = 500


def view_passes(images: int, scoring: Scoring) -> float:
    """Return how many images :func:`measure_views` passes through a model, of so many there are."""
    shown, measured = min(SHOWN, images), min(MEASURED, images)
    attack = PGD.of(steps=scoring.pgd_steps).passes
    return shown * (attack + 2 + 2 + GRID**2) + measured * 4


def measure_views(model: nn.Module, test: EvalData, threat: ThreatModel, scoring: Scoring) -> Views:
    """Look at a model on class-balanced samples of the test images; the same for every run.

    Draws nothing from torch's global generator. Raises ``RuntimeError`` for a model in training
    mode.
    """
    require_eval_mode(model)
    labels = test.y.cpu().numpy()
    shown, measured = (
        torch.from_numpy(balanced_sample(labels, n)).to(test.y.device) for n in (SHOWN, MEASURED)
    )
    x, y = test.x[shown], test.y[shown]
    x_adv = PGD.of(steps=scoring.pgd_steps).perturb(model, x, y, threat)
    bends, norms = curvature(model, test.x[measured], test.y[measured], threat)

    return Views(
        threat=threat,
        index=test.index[shown.cpu()].numpy(),
        label=y.cpu().numpy(),
        clean_pred=predict_logits(model, x).argmax(1).cpu().numpy(),
        adv_pred=predict_logits(model, x_adv).argmax(1).cpu().numpy(),
        image=x.half().cpu().numpy(),
        perturbation=(x_adv - x).half().cpu().numpy(),
        loss=loss_surface(model, x, y, threat).cpu().numpy(),
        curvature=bends.cpu().numpy(),
        gradient_norm=norms.cpu().numpy(),
    )


def loss_surface(model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> Tensor:
    """Return the cross-entropy (N, GRID, GRID) around images (N, C, H, W) with labels (N,).

    The second axis is the adversarial direction, the third a random one (random signs for L∞, the
    direction of a normal draw for L2), which the image's place decides.
    """
    # On the CPU, so that all devices draw alike.
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(x.shape, generator=generator).to(x)
    adversarial = _to_length(_gradient(model, x, y), threat)
    random = _to_length(drawn, threat)
    steps = torch.linspace(-1, 1, GRID, device=x.device, dtype=x.dtype)
    rows = []
    with torch.no_grad():
        for step in steps:
            moved = (x + step * adversarial)[:, None] + steps.view(-1, 1, 1, 1) * random[:, None]
            logits = predict_logits(model, moved.flatten(0, 1))
            loss = cross_entropy(logits, y.repeat_interleave(GRID), reduction="none")
            rows.append(loss.view(len(x), GRID))
    return torch.stack(rows, dim=1)


def curvature(model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> tuple[Tensor, Tensor]:
    """Return the curvature (N,) of the cross-entropy at images, and its gradient's L2 norm (N,).

    ``x`` are images (N, C, H, W) in [0, 1], ``y`` their labels (N,). The curvature is
    ``‖∇ℓ(x + hz) − ∇ℓ(x)‖₂ / h`` with ``hz`` the step of FGSM: z is a unit vector along the sign of
    the gradient (along the gradient, for L2), and ``h`` is that step's L2 norm, ε·√d for L∞. This
    is what CURE keeps small (Moosavi-Dezfooli et al. 2019, "Robustness via curvature
    regularization, and vice versa", with the same z), per unit of ``h``: a mean second derivative
    on the way. Not a number where the gradient vanishes.
    """
    parts = []
    for images, labels in zip(x.split(BATCH_SIZE), y.split(BATCH_SIZE), strict=True):
        here = _gradient(model, images, labels)
        step = _to_length(here, threat)
        there = _gradient(model, images + step, labels)
        parts.append((L2.length(there - here) / L2.length(step), L2.length(here)))
    bends, norms = zip(*parts, strict=True)
    return torch.cat(bends), torch.cat(norms)


def _gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    def objective(z: Tensor) -> Tensor:
        return cross_entropy(model(z), y, reduction="sum")

    with frozen(model):
        return input_gradient(objective, x)


def _to_length(direction: Tensor, threat: ThreatModel) -> Tensor:
    """Directions (N, C, H, W) made as long as the threat allows; zero stays zero."""
    return float(threat.epsilon) * NORMS[threat.norm].direction(direction)
