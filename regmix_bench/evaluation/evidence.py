"""What saved adversarial images show of a model: which are sound, and the scores they imply."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from regmix_bench.data import EvalData
from regmix_bench.models.predictions import margins
from regmix_bench.records.adversarial import PGD, Saved
from regmix_bench.types import NORMS, ThreatModel

#: How far float32 may take a pixel beyond ε: ε and x ± ε are each rounded by at most 2⁻²⁵, because
#: what is above 1 is clipped, and an attack may do so twice. The valid range is exact: clipping
#: does not round.
PIXEL_ROUNDING = 2.0**-23

#: How far the rest of a batch, or another device, may take a logit, as a share of the largest one:
#: 4e-6 were seen on WRN-34-10. Images of FAB lie as close as that to the decision boundary.
LOGIT_ROUNDING = 1e-5

#: Columns of :func:`examine`.
SHOWN = ["attack", "index", "norm", "margin", "logit", "fault"]


def ball_tolerance(threat: ThreatModel, n_pixels: int) -> float:
    """How far beyond ε rounding may take an image of ``n_pixels`` values, in the threat's norm.

    In L2 the errors of the pixels add up, and that of the rescaling is relative to ε ≤ √n. Images
    of PGD and AutoAttack on digits and CIFAR-10 were seen to use a quarter of it.
    """
    return PIXEL_ROUNDING * NORMS[threat.norm].diameter(n_pixels)


@torch.no_grad()
def examine(model: nn.Module, test: EvalData, right: Tensor, saved: Saved) -> pd.DataFrame:
    """What ``saved`` images show of ``model``, which gets the clean images ``right`` (N,) bool.

    One row per image: ``attack``; ``index`` in the test split; ``norm`` of the perturbation;
    ``margin``, the true logit minus the largest other one; the largest absolute ``logit``; and
    ``fault``, what is wrong with it, or "".
    """
    position = pd.Index(test.index.numpy()).get_indexer(saved.index.numpy())
    at = torch.from_numpy(position).to(test.x.device)
    x, y, images = test.x[at], test.y[at], saved.images.to(test.x.device)
    values = images.double().flatten(1)
    logits = model(images)
    columns = {
        "position": at,
        "norm": NORMS[saved.threat.norm].length(images.double() - x.double()),
        "margin": margins(logits, y),
        "logit": logits.abs().amax(1),
        "low": values.amin(1),
        "high": values.amax(1),
        "right": right[at],
    }
    shown = pd.DataFrame({name: column.cpu().numpy() for name, column in columns.items()})
    shown.insert(0, "attack", saved.attack)
    shown.insert(1, "index", saved.index.numpy())
    limit = float(saved.threat.epsilon) + ball_tolerance(saved.threat, values.shape[1])
    shown["fault"] = [_fault(row, saved.threat, limit) for row in shown.itertuples()]
    return shown[SHOWN]


def shown_outcomes(
    sound: pd.DataFrame, test: EvalData, right: Tensor, attacks: list[str], screened: bool = False
) -> pd.DataFrame:
    """Every image's outcome, by its index, as faultless rows of :func:`examine` show it.

    The columns are those that :func:`~regmix_bench.evaluation.scoring.evaluate` gives the same
    name; an image that no attack is shown to break has held. Where AutoAttack was ``screened``, PGD
    is the first of its attacks.
    """
    shown = pd.DataFrame({"label": test.y.cpu().numpy()}, index=test.index.numpy())
    shown["clean_correct"] = shown["pgd_correct"] = right.cpu().numpy()
    shown.loc[sound["index"][sound["attack"] == PGD], "pgd_correct"] = False
    counted = sound if screened else sound[sound["attack"] != PGD]
    broken_by = counted.set_index("index")["attack"]
    shown["broken_by"] = broken_by.reindex(shown.index).fillna("")
    for attack in attacks:
        shown[f"{attack}_broke"] = shown["broken_by"] == attack
    return shown


def shown_accuracies(
    outcomes: pd.DataFrame, attacks: list[str], screened: bool = False
) -> dict[str, Any]:
    """Return the fields of a ``RobustEval`` that :func:`shown_outcomes` imply."""

    def share(flags: pd.Series[bool]) -> float:
        return int(flags.sum()) / len(flags)

    standing, after_attack = outcomes["pgd_correct" if screened else "clean_correct"], {}
    for attack in attacks:
        standing = standing & ~outcomes[f"{attack}_broke"]
        after_attack[attack] = share(standing)
    return {
        "n_examples": len(outcomes),
        "clean_acc": share(outcomes["clean_correct"]),
        "pgd_acc": share(outcomes["pgd_correct"]),
        "after_attack": after_attack,
        "autoattack_acc": None if screened else share(standing),
        "screened_acc": share(standing) if screened else None,
    }


def _fault(image: Any, threat: ThreatModel, limit: float) -> str:
    if image.position < 0:
        return "is not among the images that were scored"
    if not math.isfinite(image.low + image.high):
        return "holds a value that is not a finite number"
    faults = []
    if image.low < threat.bounds[0] or image.high > threat.bounds[1]:
        faults.append(f"has values from {image.low:.9g} to {image.high:.9g}, outside [0, 1]")
    if image.norm > limit:
        faults.append(f"lies {image.norm:.9g} away in {threat.norm}, beyond {threat.epsilon}")
    if not image.right:
        faults.append("is misclassified without an attack")
    elif not image.margin <= LOGIT_ROUNDING * image.logit:  # nor where it is not a number
        faults.append(f"does not fool the model: its own class leads by {image.margin:.3g}")
    return ", ".join(faults)
