"""Rates, threats, recipes and scorings as a reader would say them."""

from __future__ import annotations

from regmix_bench.records.accuracies import ensemble_words
from regmix_bench.records.throughput import Throughput
from regmix_bench.specs import Recipe, Scoring
from regmix_bench.types import NORMS, AnyThreat, Checkpoint, ThreatUnion


def throughput_words(found: Throughput) -> str:
    """Write the rates that were measured, such as ``12,550 images/s, 139 TFLOP/s, MFU 17.4%``."""
    words = []
    if found.images_per_second is not None:
        words.append(f"{found.images_per_second:,.0f} images/s")
    if (flop := found.flop_per_second) is not None:
        number, unit = (flop / 1e12, "TFLOP/s") if flop >= 1e12 else (flop / 1e9, "GFLOP/s")
        words.append(f"{number:,.{0 if number >= 100 else 1}f} {unit}")
    if found.mfu is not None:
        words.append(f"MFU {found.mfu:.1%}")
    return ", ".join(words)


def threat_words(threat: AnyThreat) -> str:
    """Write a threat as ``L∞ 8/255``, and a union as ``all of L∞ 8/255, L2 0.5``."""
    if isinstance(threat, ThreatUnion):
        return f"all of {', '.join(map(threat_words, threat.threats))}"
    return f"{norm_words(threat.norm)} {threat.epsilon}"


def norm_words(norm: str) -> str:
    """Return the symbol of a norm, such as ``L∞``."""
    return NORMS[norm].symbol


def recipe_words(recipe: Recipe) -> str:
    """Write a recipe as a reader would say it."""
    augmentation = {
        "none": "no augmentation",
        "crop": "random crop",
        "crop-flip": "random crop and flip",
    }[recipe.augmentation]
    optimizer = {
        "sgd": f"SGD with {'Nesterov ' if recipe.nesterov else ''}momentum {recipe.momentum:g}",
        "adamw": f"AdamW with β₁ {recipe.momentum:g}",
    }[recipe.optimizer]
    words = [
        f"{recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}",
        f"batch {recipe.batch_size}" + (", the remainder left out" * (recipe.batches == "equal")),
        optimizer,
        f"learning rate {recipe.lr:g} ({schedule_words(recipe)})",
        f"weight decay {recipe.weight_decay:g}",
        augmentation,
    ]
    if recipe.gradient_clip is not None:
        words.append(f"gradient norm clipped at {recipe.gradient_clip:g}")
    if recipe.true_class_mass != "method":
        words.append(f"labels that give the true class {recipe.true_class_mass:g}")
    if recipe.ema_decay == "none":
        words.append("no average of weights")
    elif recipe.ema_decay != "method":
        start = f" from epoch {recipe.ema_start}" if recipe.ema_start > 1 else ""
        live = ", not running statistics" if recipe.ema_buffers == "live" else ""
        words.append(f"weights averaged with decay {recipe.ema_decay:g}{start}{live}")
    if recipe.awp_gamma is not None:
        start = f" after {recipe.awp_warmup} epochs" if recipe.awp_warmup else ""
        words.append(f"weights perturbed by {recipe.awp_gamma:g}{start}")
    if recipe.unlabelled == "rst":
        words.append("pseudo-labels for unlabelled images (RST)")
    elif recipe.unlabelled == "consistency":
        words.append("unlabelled images in the terms that need no label")
    if recipe.init is not None:
        words.append(f"started from the weights {recipe.init[:12]}")
    if recipe.selection == "last":
        words.append("last epoch selected")
    words.append(recipe.precision)
    if recipe.validation_precision != "fp32":
        words.append(f"validated in {recipe.validation_precision}")
    return ", ".join(words)


def schedule_words(recipe: Recipe) -> str:
    """Write how the learning rate moves, such as ``cosine schedule``."""
    drops = ", ".join(f"{100 * milestone:.0f} %" for milestone in recipe.milestones)
    words = {
        "multistep": f"×{recipe.gamma:g} at {drops} of the epochs" if drops else "constant",
        "cosine": "cosine schedule",
        "onecycle": "one-cycle schedule" + ", momentum too" * recipe.cycle_momentum,
    }[recipe.schedule]
    return words + ", moved by epochs" * (recipe.schedule_step == "epoch")


def checkpoint_words(checkpoint: Checkpoint, recipe: Recipe) -> str:
    """Name a checkpoint, such as ``checkpoint of highest validation PGD-10``."""
    words = "last checkpoint"
    if checkpoint.endswith("selected") and recipe.selection == "val-pgd10":
        words = "checkpoint of highest validation PGD-10"
    return f"raw weights, {words}" if checkpoint.startswith("raw-") else words


def search_words(scoring: Scoring) -> str:
    """Say in which precision attacks searched, where it was not the one that judged."""
    if scoring.search_precision == "fp32":
        return ""
    return f"attacks searched in {scoring.search_precision.upper()}; verdicts in exact float32"


def scoring_words(scoring: Scoring) -> str:
    """Say how robustness was measured."""
    searched = search_words(scoring)
    words = ensemble_words(scoring.autoattack_version, scoring.attacks)
    screened = f"of the survivors of PGD-{scoring.pgd_steps} alone, " if scoring.screen else ""
    forward = scoring.forward_batch_size
    return (
        f"PGD-{scoring.pgd_steps}; {words}, {screened}seed {scoring.autoattack_seed},"
        f" batches of {scoring.autoattack_batch_size}"
        + ("" if forward is None else f" in forward passes of {forward}")
        + (f"; {searched}" if searched else "")
    )
