"""The evidence of saved adversarial images: which are sound, and the scores they imply."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from regmix_bench.attacks.ball import ball_tolerance
from regmix_bench.data import EvalData
from regmix_bench.evaluation.findings import Finding
from regmix_bench.models.predictions import margins
from regmix_bench.records.adversarial import SavedImages
from regmix_bench.records.outcomes import (
    BROKEN_BY,
    CLEAN_CORRECT,
    HELD,
    LABEL,
    PGD,
    PGD_CORRECT,
    Measure,
    stage_column,
)
from regmix_bench.records.schema import RobustEval
from regmix_bench.types import NORMS, ThreatModel

#: How far the rest of a batch, or another device, may take a logit, as a share of the largest one:
#: 4e-6 were seen on WRN-34-10. Images of FAB lie as close as that to the decision boundary.
LOGIT_ROUNDING = 1e-5

#: Columns of :func:`examine`.
SHOWN = ["attack", "index", "norm", "margin", "logit", "fault"]

# Column of the outcomes, what it says, what the images show, and whose.
_Difference = tuple[Any, Any, Any, int]


@torch.no_grad()
def examine(model: nn.Module, test: EvalData, right: Tensor, saved: SavedImages) -> pd.DataFrame:
    """Examine ``saved`` images on ``model``, which gets the clean images ``right`` (N,) bool.

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
    """Derive every image's outcome, by its index, from faultless rows of :func:`examine`.

    The columns are those of :mod:`regmix_bench.records.outcomes` of the same name; an image that no
    attack is shown to break has held. Where AutoAttack was ``screened``, PGD is the first of its
    attacks.
    """
    shown = pd.DataFrame({LABEL: test.y.cpu().numpy()}, index=test.index.numpy())
    shown[CLEAN_CORRECT] = shown[PGD_CORRECT] = right.cpu().numpy()
    shown.loc[sound["index"][sound["attack"] == PGD], PGD_CORRECT] = False
    counted = sound if screened or PGD in attacks else sound[sound["attack"] != PGD]
    broken_by = counted.set_index("index")["attack"]
    shown[BROKEN_BY] = broken_by.reindex(shown.index).fillna(HELD)
    for attack in attacks:
        shown[stage_column(attack, "broke")] = shown[BROKEN_BY] == attack
    return shown


def shown_accuracies(
    outcomes: pd.DataFrame, attacks: list[str], screened: bool = False
) -> dict[str, Any]:
    """Return the fields of a ``RobustEval`` that :func:`shown_outcomes` imply."""

    def share(flags: pd.Series[bool]) -> float:
        return int(flags.sum()) / len(flags)

    standing, after_attack = outcomes[PGD_CORRECT if screened else CLEAN_CORRECT], {}
    for attack in attacks:
        standing = standing & ~outcomes[stage_column(attack, "broke")]
        after_attack[attack] = share(standing)
    return {
        "n_examples": len(outcomes),
        "clean_acc": share(outcomes[CLEAN_CORRECT]),
        "pgd_acc": share(outcomes[PGD_CORRECT]),
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


def evaluation_findings(
    evaluation: RobustEval,
    test: EvalData,
    right: Tensor,
    shown: pd.DataFrame,
    outcomes: pd.DataFrame,
) -> Iterator[Finding]:
    """Yield where the ``outcomes`` of a score differ from what its saved images have ``shown``.

    ``right`` (N,) bool says which clean images the model gets right.
    """
    about = partial(Finding, checkpoint=evaluation.checkpoint, threat=evaluation.threat)
    attacks = list(evaluation.after_attack)
    # PGD and AutoAttack may both have broken an image, of whose attacks only the first is kept.
    again = shown.assign(pgd=shown["attack"] == PGD).duplicated(["index", "pgd"])
    strange = ~shown["attack"].isin([PGD, *attacks])
    shown.loc[strange & (shown["fault"] == ""), "fault"] = "is of an attack that did not run"
    shown.loc[again & (shown["fault"] == ""), "fault"] = "is saved twice"
    faulty, sound = shown[shown["fault"] != ""], shown[shown["fault"] == ""]
    for reason, index, attack in faulty[["fault", "index", "attack"]].to_numpy():
        yield about(reason, index=index, attack=attack)

    screened = evaluation.screened_acc is not None
    if evaluation.failed_attacks:  # which have neither, and so it is in the outcomes alone
        screened = PGD not in attacks and bool(outcomes[BROKEN_BY].eq(PGD).any())
    truth = shown_outcomes(sound, test, right, attacks, screened)
    missing = outcomes[LABEL].isna()
    for index in outcomes.index[missing]:
        yield about("has no row in the outcomes file", index=index)
    # What is wrong with a saved image explains why its outcome differs.
    outcomes = outcomes[~missing & ~outcomes.index.isin(faulty["index"])]
    for column, stored, now, index in chain(
        _other_flags(truth.loc[outcomes.index], outcomes),
        _other_measures(sound[sound["index"].isin(outcomes.index)], outcomes, evaluation, test),
    ):
        yield about(f"{column} is {stored} in the outcomes, {now} by the images", index=index)
    shown_now = shown_accuracies(truth, attacks, screened)
    if evaluation.failed_attacks:
        shown_now |= {"autoattack_acc": None, "screened_acc": None}
    for name, now in shown_now.items():
        recorded = getattr(evaluation, name)
        if recorded != now:
            yield about(f"{name} is {recorded} in the record, {now} by the images")


def _other_flags(truth: pd.DataFrame, outcomes: pd.DataFrame) -> Iterator[_Difference]:
    for column in truth:
        stored, now = outcomes[column].fillna(False), truth[column]
        for index in truth.index[stored.ne(now)]:
            yield column, stored[index], now[index], index


def _other_measures(
    sound: pd.DataFrame, outcomes: pd.DataFrame, evaluation: RobustEval, test: EvalData
) -> Iterator[_Difference]:
    for attack, images in sound.groupby("attack"):
        tolerances: dict[Measure, Any] = {
            "norm": ball_tolerance(evaluation.threat, test.x[0].numel()),
            "margin": 2 * LOGIT_ROUNDING * images["logit"].to_numpy(),
        }
        for what, tolerance in tolerances.items():
            column = stage_column(str(attack), what)
            stored = outcomes.loc[images["index"], column].to_numpy(float)
            now = images[what].to_numpy(float)
            wrong = ~(abs(stored - now) <= tolerance)  # nor where one is missing
            for index, was, shown in zip(
                images["index"][wrong], stored[wrong], now[wrong], strict=True
            ):
                yield column, f"{was:.6g}", f"{shown:.6g}", index
