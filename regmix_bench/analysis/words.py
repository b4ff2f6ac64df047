"""Threats, recipes and scorings as a reader would say them."""

from __future__ import annotations

from collections.abc import Iterable

from regmix_bench.records.schema import RobustEval
from regmix_bench.specs import Recipe, Scoring
from regmix_bench.types import ThreatModel


def threat_words(threat: ThreatModel) -> str:
    """``L∞ 8/255``."""
    return f"{norm_words(threat.norm)} {threat.epsilon}"


def norm_words(norm: str) -> str:
    """``L∞`` or ``L2``."""
    return "L∞" if norm == "Linf" else norm


def recipe_words(recipe: Recipe) -> str:
    """A recipe as a reader would say it."""
    drops = ", ".join(f"{100 * milestone:.0f} %" for milestone in recipe.milestones)
    schedule = {
        "multistep": f"×{recipe.gamma:g} at {drops} of the epochs" if drops else "constant",
        "cosine": "cosine schedule",
        "onecycle": "one-cycle schedule",
    }[recipe.schedule]
    augmentation = {
        "none": "no augmentation",
        "crop": "random crop",
        "crop-flip": "random crop and flip",
    }[recipe.augmentation]
    words = [
        f"{recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}",
        f"batch {recipe.batch_size}",
        f"SGD with {'Nesterov ' if recipe.nesterov else ''}momentum {recipe.momentum:g}",
        f"learning rate {recipe.lr:g} ({schedule})",
        f"weight decay {recipe.weight_decay:g}",
        augmentation,
    ]
    if recipe.gradient_clip is not None:
        words.append(f"gradient norm clipped at {recipe.gradient_clip:g}")
    if recipe.ema_decay is not None:
        words.append(f"weights averaged with decay {recipe.ema_decay:g}")
    return ", ".join([*words, recipe.precision])


def scoring_words(scoring: Scoring) -> str:
    """How robustness was measured."""
    words = {
        "standard": "AutoAttack",
        "custom": " + ".join(scoring.attacks),
    }.get(scoring.autoattack_version, f"AutoAttack {scoring.autoattack_version}")
    screened = f"of the survivors of PGD-{scoring.pgd_steps} alone, " if scoring.screen else ""
    return (
        f"PGD-{scoring.pgd_steps}; {words}, {screened}seed {scoring.autoattack_seed},"
        f" batches of {scoring.autoattack_batch_size}"
    )


def attack_words(scoring: Scoring) -> str:
    """What gives the robust accuracy: ``AutoAttack``, ``AutoAttack rand``, ``apgd-ce + square``.

    Where AutoAttack sees the survivors of PGD alone it is ``PGD → AutoAttack``, another number.
    """
    return _attack_words(scoring.autoattack_version, scoring.attacks, scoring.screen)


def score_words(score: RobustEval) -> str:
    """What gave the robust accuracy of a score, as :func:`attack_words` says it."""
    screened = score.screened_acc is not None
    return _attack_words(score.autoattack_version or "standard", score.after_attack, screened)


def _attack_words(version: str, attacks: Iterable[str], screen: bool) -> str:
    known = {"standard": "AutoAttack", "custom": " + ".join(attacks)}
    words = known.get(version, f"AutoAttack {version}")
    return f"PGD → {words}" if screen else words
