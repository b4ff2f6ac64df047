"""Rules about training: what the rows of a table have to share, and what each has to say."""

from __future__ import annotations

from dataclasses import replace

from regmix_bench.sheets.rule import each_row, fact, shared_by_rows
from regmix_bench.sheets.sheet import SheetRow

#: A rate that has not fallen below this share of the highest has not been annealed.
ANNEALED = 0.1

#: Facts without which a row can be compared with nothing; others have rules of their own.
_NEEDED = (
    "extra_data",
    "recipe.epochs",
    "recipe.last_lr",
    "recipe.augmentation",
    "recipe.precision",
    "tricks.true_class_mass",
    "tricks.attack_mass",
    "tricks.ema_decay",
    "tricks.awp_gamma",
    "tricks.gradient_clip",
    "weights.kind",
    "weights.epoch",
    "selection.images_from",
    "selection.trained_on",
    "measurement.images",
    "measurement.test_images",
    "tuned_on",
)

_FASTAT = "FastAT Benchmark, arXiv:2604.22853"
_PANG = "Pang et al., ICLR 2021"


def _unsaid(row: SheetRow) -> str | None:
    missing = [path for path in _NEEDED if fact(row, path) is None]
    return f"not said: {', '.join(missing)}" if missing else None


def _not_annealed(row: SheetRow) -> str | None:
    highest, last = row.recipe.lr, row.recipe.last_lr
    # A rate of 0.1 that is divided by ten is annealed, whatever floats make of it.
    if highest is None or last is None or last <= 1.0001 * ANNEALED * highest:
        return None
    return f"its learning rate is {last:g} at the end, and {highest:g} at its highest"


RULES = (
    each_row(
        "fact-not-said",
        "a fact is not said",
        "a row can be repeated, and compared, only as far as it says what was done",
        _NEEDED,
        _unsaid,
    ),
    shared_by_rows(
        "unlike-label-smoothing",
        "rows train on labels that are smoothed unlike",
        "smoothing is open to every method, and what it gives would count as the method's own; it"
        " lowers the scale of the logits as well, where PGD falls farther behind AutoAttack",
        "tricks.true_class_mass",
    ),
    shared_by_rows(
        "unlike-attack-labels",
        "rows attack labels that are smoothed unlike while they train",
        "with smoothed labels the step pulls confident images back, with hard ones it never does:"
        " another attack, and another method",
        "tricks.attack_mass",
    ),
    shared_by_rows(
        "unlike-weight-average",
        "rows average their weights unlike",
        "an average helps any method: PGD-AT has 44.3 % under AutoAttack without it and at its last"
        f" epoch, 50.5 % averaged and selected ({_FASTAT}, CIFAR-10)",
        "tricks.ema_decay",
    ),
    shared_by_rows(
        "unlike-awp",
        "rows perturb their weights unlike",
        "adversarial weight perturbation can be added to any method: PGD-AT goes from 52.8 to 55.4"
        " % under PGD-20, at the last epoch from 43.8 to 54.3 % (logs of Wu et al. 2020)",
        "tricks.awp_gamma",
    ),
    shared_by_rows(
        "unlike-gradient-clip",
        "rows clip the gradient of the weights unlike",
        "clipping is a stabiliser of the training and not of one method",
        "tricks.gradient_clip",
    ),
    shared_by_rows(
        "unlike-architecture",
        "rows have unlike architectures",
        "a larger network is more robust under any method: TRADES with AWP has 51.5 % under"
        " AutoAttack as ResNet-18 (Addepalli et al. 2022) and 56.2 % as WRN-34-10 (Wu et al. 2020)",
        "architecture",
    ),
    shared_by_rows(
        "unlike-data",
        "rows are of unlike data",
        "accuracies on unlike data sets, or after training on unlike parts of one, order nothing",
        "dataset",
        "train_images",
    ),
    # A row that does not say how many labels it saw has seen all, and is asked like any other.
    replace(
        shared_by_rows(
            "unlike-labels",
            "rows saw unlike numbers of labels",
            "labels are what a method of few labels does without: rows that saw more of them, or"
            " all, answer another question",
            "labels",
        ),
        reads=("labelled_images", "train_images"),
    ),
    shared_by_rows(
        "unlike-extra-data",
        "rows have unlike data beyond the training set",
        "more images help any method: generated ones alone raised the best of their time by 9"
        " points on CIFAR-10 (Gowal et al., NeurIPS 2021)",
        "extra_data",
    ),
    shared_by_rows(
        "unlike-augmentation",
        "rows augment their images unlike",
        "augmentation delays robust overfitting under any method: with averaged weights it raised"
        " the best of its time by 2.9 points (Rebuffi et al., NeurIPS 2021)",
        "recipe.augmentation",
    ),
    shared_by_rows(
        "unlike-budget",
        "rows train for unlike numbers of epochs",
        "the row that trains longer, or stops before it overfits, has another effort behind it",
        "recipe.epochs",
    ),
    shared_by_rows(
        "unlike-recipe",
        "rows have unlike recipes",
        f"another weight decay alone can cost more than 7 points of robust accuracy ({_PANG})",
        "recipe.batch_size",
        "recipe.optimizer",
        "recipe.lr",
        "recipe.momentum",
        "recipe.weight_decay",
        "recipe.schedule",
    ),
    shared_by_rows(
        "unlike-precision",
        "rows are trained or scored in unlike precisions",
        "rounding decides which gradients vanish, and so what is learnt and what an attack finds",
        "recipe.precision",
        "measurement.precision",
    ),
    each_row(
        "rate-not-annealed",
        "the learning rate does not fall by the end",
        "most of the robust accuracy of a schedule comes when the rate falls: Free-AT under a cycle"
        " that was made for 200 epochs and stepped 50 times ends at its highest rate, and its raw"
        f" weights have 29 to 31 % under PGD-10 where their average has 49 % ({_FASTAT})",
        ("recipe.lr", "recipe.last_lr"),
        _not_annealed,
    ),
)
