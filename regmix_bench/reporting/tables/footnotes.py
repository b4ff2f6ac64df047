"""Remarks on rows: one sign per kind of remark, one footnote per sign."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from regmix_bench.analysis.words import search_words
from regmix_bench.records.schema import RobustEval
from regmix_bench.specs import Scoring

Kind = Literal["check", "diagnosis", "overfitting", "substitution", "passed"]

_SIGNS: dict[Kind, tuple[str, str]] = {
    "check": ("†", "Raised in scoring"),
    "diagnosis": ("¶", "Gradient masking suspected"),
    "overfitting": ("‡", "Overfitting"),
    "substitution": ("§", "Attacks replaced"),
    # A row without a mistake bears no sign.
    "passed": ("", "Asked, and no gradient masking suspected"),
}

#: What each sign stands for, where the notes are elsewhere.
MEANINGS = {
    "†": "scoring raised a warning, such as Square breaking what attacks by gradients did not",
    "¶": "an audit suspects masked gradients",
    "‡": "training overfitted, catastrophically or robustly",
    "§": "an attack was replaced",
}


class Remark(NamedTuple):
    """``text`` about the row ``label``, or about one seed of it."""

    label: str
    seed: int | None
    kind: Kind
    text: str


def remarks_on(label: str, seed: int | None, score: RobustEval) -> Iterator[Remark]:
    """List what a score says of itself: checks raised, answers of audits, attacks replaced."""
    for name in score.checks:
        failed = f" {', '.join(score.failed_attacks)}" if name == "failed-attack" else ""
        yield Remark(label, seed, "check", name + failed)
    for asked in score.diagnoses:
        if asked.p_value is not None:
            yield Remark(label, seed, "diagnosis" if asked.alarm else "passed", asked.name)
    yield from (Remark(label, seed, "substitution", text) for text in score.substitutions)


def footnotes(
    remarks: Iterable[Remark],
    everyone: Mapping[str, Sequence[int | None]],
    names: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the signs of each label, and the footnotes, in which rows go by their ``names``.

    ``everyone`` holds all rows with their seeds.
    """
    found: dict[Kind, dict[str, dict[str, list[int | None]]]] = {
        kind: defaultdict(lambda: defaultdict(list)) for kind in _SIGNS
    }
    for label, seed, kind, text in dict.fromkeys(remarks):
        found[kind][text][label].append(seed)
    signs: dict[str, str] = defaultdict(str)
    notes = []
    for kind, (sign, lead) in _SIGNS.items():
        if sign:
            for label in dict.fromkeys(label for where in found[kind].values() for label in where):
                signs[label] += sign
        if found[kind]:
            parts = (
                f"{text} ({_where(where, everyone, names)})" for text, where in found[kind].items()
            )
            notes.append(f"{sign} {lead}: {'; '.join(parts)}.".lstrip())
    return dict(signs), tuple(notes)


def search_note(scoring: Scoring) -> tuple[str, ...]:
    """Return the footnote that says in which precision attacks searched, if it is to be said."""
    words = search_words(scoring)
    return (f"{words[0].upper()}{words[1:]}.",) if words else ()


def _where(
    where: Mapping[str, Sequence[int | None]],
    everyone: Mapping[str, Sequence[int | None]],
    names: Mapping[str, str],
) -> str:
    if {label: list(seeds) for label, seeds in everyone.items()} == where:
        return "all"
    return ", ".join(
        " ".join(
            [names.get(label, label), *_seed_words([seed for seed in seeds if seed is not None])]
        )
        for label, seeds in where.items()
    )


def _seed_words(seeds: Sequence[int]) -> list[str]:
    if not seeds:
        return []
    return ["seed" if len(seeds) == 1 else "seeds", "+".join(map(str, seeds))]
