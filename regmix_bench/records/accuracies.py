"""The accuracies that a score holds: the one list that tables, listings, pages and files follow.

Whatever shows accuracies asks this module which there are, what they are called and where they
stand, so that one that is added to :data:`ACCURACIES` appears everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter

from regmix_bench.records.schema import RobustEval, Score
from regmix_bench.specs import Scoring


@dataclass(frozen=True)
class Accuracy:
    """One accuracy (0 to 1) of a model under a threat.

    ``id`` names it in files. ``header`` says what was measured under a scoring, and ``asked``
    whether that scoring measures it. ``title`` is the column that it shares with others where
    scores of several scorings stand in one table. ``read`` returns it, or None where it was not
    measured.
    """

    id: str
    title: str
    header: Callable[[Scoring], str]
    read: Callable[[Score], float | None]
    asked: Callable[[Scoring], bool] = lambda scoring: True


def attack_words(scoring: Scoring) -> str:
    """Name what gives the robust accuracy: ``AutoAttack``, ``apgd-ce + square``.

    Where AutoAttack sees the survivors of PGD alone it is ``PGD → AutoAttack``, another number.
    """
    words = ensemble_words(scoring.autoattack_version, scoring.attacks)
    return f"PGD → {words}" if scoring.screen else words


def score_words(score: RobustEval) -> str:
    """Name what gave the robust accuracy of a score, as :func:`attack_words` does."""
    words = ensemble_words(score.autoattack_version or "standard", score.after_attack)
    return words if score.screened_acc is None else f"PGD → {words}"


def ensemble_words(version: str, attacks: Iterable[str]) -> str:
    """Name a version of AutoAttack, that of version ``custom`` by its ``attacks``."""
    known = {"standard": "AutoAttack", "custom": " + ".join(attacks)}
    return known.get(version, f"AutoAttack {version}")


#: The column of the robust accuracy, whichever of the two was measured.
ROBUST = "robust"

#: The mean accuracy under common corruptions, which is no score under a threat.
CORRUPTION_ACC = "corruption_acc"

#: In the order of columns.
ACCURACIES: tuple[Accuracy, ...] = (
    Accuracy("clean_acc", "clean", lambda scoring: "Clean", attrgetter("clean_acc")),
    Accuracy(
        "pgd_acc", "PGD-20", lambda scoring: f"PGD-{scoring.pgd_steps}", attrgetter("pgd_acc")
    ),
    Accuracy(
        "autoattack_acc",
        ROBUST,
        attack_words,
        attrgetter("autoattack_acc"),
        lambda scoring: not scoring.screen,
    ),
    Accuracy(
        "screened_acc",
        ROBUST,
        attack_words,
        attrgetter("screened_acc"),
        lambda scoring: scoring.screen,
    ),
)


def accuracies(scoring: Scoring) -> tuple[Accuracy, ...]:
    """Return the accuracies that a scoring measures."""
    return tuple(accuracy for accuracy in ACCURACIES if accuracy.asked(scoring))


def robust_metric(scoring: Scoring) -> str:
    """Return the id of what is the robust accuracy under a scoring: never compare two of them."""
    return next(accuracy.id for accuracy in accuracies(scoring) if accuracy.title == ROBUST)


def titles() -> tuple[str, ...]:
    """Return the columns of a table of scores of several scorings."""
    return tuple(dict.fromkeys(accuracy.title for accuracy in ACCURACIES))


def metric_words(metric: str) -> str:
    """Return the title of an accuracy that files call ``metric``; what is none, as it is."""
    known = {found.id: found.title for found in ACCURACIES} | {CORRUPTION_ACC: "corrupted"}
    return known.get(metric, metric)


def by_title(score: Score | None) -> dict[str, float | None]:
    """Return what a score holds for each of :func:`titles`; of no score, None for each."""
    found: dict[str, float | None] = dict.fromkeys(titles())
    for accuracy in ACCURACIES:
        if score is not None and (share := accuracy.read(score)) is not None:
            found[accuracy.title] = share
    return found
