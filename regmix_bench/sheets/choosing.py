"""Rules about what was chosen, and on which images: epochs, weights, hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterator

from regmix_bench.sheets.rule import Breach, Rule, each_row, shared_by_rows
from regmix_bench.sheets.sheet import SheetRow, SheetTable

#: Farther than by this factor from its authors' value, a hyper-parameter makes another method.
FAR = 10

_FASTAT = "FastAT Benchmark, arXiv:2604.22853"


def _chosen_on_test(row: SheetRow) -> str | None:
    if row.weights.epoch == "selected" and row.selection.images_from == "test":
        return "its epoch was selected on test images"
    return None


def _test_as_validation(row: SheetRow) -> str | None:
    if row.weights.epoch != "selected" and row.selection.images_from == "test":
        return "its validation images are test images, though no epoch was selected on them"
    return None


def _tuned_on_test(row: SheetRow) -> str | None:
    return "its hyper-parameters were chosen on test images" if row.tuned_on == "test" else None


def _validated_on_training(row: SheetRow) -> str | None:
    return "it was trained on its validation images" if row.selection.trained_on else None


def _better_of_two(row: SheetRow) -> str | None:
    if row.weights.kind == "mixed":
        return "scored with raw or averaged weights, whichever were better in validation"
    return None


def _far(row: SheetRow) -> str | None:
    far = [
        f"{name} is {each.value:g}, and {each.authors:g} by its authors"
        for name, each in row.hyperparameters.items()
        if not _is_near(each.value, each.authors)
    ]
    return "; ".join(far) or None


def _is_near(value: float, authors: float) -> bool:
    small, large = sorted((abs(value), abs(authors)))
    return value == authors or (value * authors > 0 and large <= FAR * small)


def _hidden_overfitting(table: SheetTable) -> Iterator[Breach]:
    if table.overfitting_shown:
        return
    for row in table.rows:
        if row.overfitting is not None and row.weights.epoch == "selected":
            how_many = f"{row.overfitting.runs} of {len(row.runs)} runs overfitted catastrophically"
            said = f"{how_many} by epoch {row.overfitting.by}, and the table does not show it"
            yield Breach(row.method, said)


RULES = (
    each_row(
        "checkpoint-chosen-on-test",
        "an epoch was selected on test images",
        "the best of many noisy accuracies on the test set is above the true one: PGD-AT has 52.8 %"
        " at the best epoch on test and 43.8 % at the last (PGD-20, logs of Wu et al. 2020)",
        ("weights.epoch", "selection.images_from"),
        _chosen_on_test,
    ),
    each_row(
        "test-as-validation",
        "test images serve as validation images",
        "whoever watches the test set while training decides by it when to stop and what to try"
        " next, so that it is no test any more",
        ("weights.epoch", "selection.images_from"),
        _test_as_validation,
    ),
    each_row(
        "hyperparameters-chosen-on-test",
        "hyper-parameters were chosen on test images",
        "a choice among settings on the test set favours the rows it was made for: another weight"
        " decay can cost more than 7 points of robust accuracy (Pang et al., ICLR 2021)",
        ("tuned_on",),
        _tuned_on_test,
    ),
    each_row(
        "validation-images-trained-on",
        "validation images were trained on",
        "on training images robust accuracy rises to the end while it falls on others (Rice et al.,"
        " ICML 2020), so that the epoch selected is the last and overfitting is not seen",
        ("selection.trained_on",),
        _validated_on_training,
    ),
    each_row(
        "better-of-raw-and-averaged",
        "the better of raw and averaged weights was scored",
        "the column holds two kinds of models, and twice as many were chosen from: 15 of 177 runs"
        f" of {_FASTAT}, are scored with raw weights, the others with an average",
        ("weights.kind",),
        _better_of_two,
    ),
    shared_by_rows(
        "unlike-scored-weights",
        "rows are scored with raw and with averaged weights",
        "an average of weights helps any method: +1.2 to +2.3 points of PGD-10 at the last epoch of"
        f" PGD-AT on CIFAR-10 (logs of {_FASTAT})",
        "weights.kind",
    ),
    shared_by_rows(
        "unlike-scored-epoch",
        "rows are scored at the selected and at the last epoch",
        "from the best epoch to the last PGD-AT loses 9 points (PGD-20, logs of Wu et al. 2020),"
        " more than methods differ by",
        "weights.epoch",
    ),
    shared_by_rows(
        "unlike-selection",
        "epochs were selected by unlike rules",
        "a row that is selected by a stronger attack, or on more images, is selected better",
        "selection.rule",
        "selection.images",
        "selection.images_from",
    ),
    Rule(
        "overfitting-hidden-by-selection",
        "selection hides catastrophic overfitting",
        "a reader who trains to the end gets another model: FGSM-RS on CIFAR-100 shows 21 % under"
        f" AutoAttack and ends with 0 % under PGD-10 ({_FASTAT})",
        ("weights.epoch", "overfitting", "table.overfitting_shown"),
        _hidden_overfitting,
    ),
    each_row(
        "hyperparameter-far-from-authors",
        f"a hyper-parameter is more than {FAR} times its authors' value, or less than a tenth",
        "the row bears the name of a method and measures another: with a weight 10,000 times too"
        f" small, ELLE is FGSM-RS without its projection ({_FASTAT})",
        ("hyperparameters",),
        _far,
    ),
)
