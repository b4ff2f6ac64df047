"""Threats as they are typed: ``Linf:8/255``, ``0.5``, ``Linf:0..16/255:5``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction

from regmix_bench.errors import UserError, abridged
from regmix_bench.specs.run import MOST_THREATS
from regmix_bench.types import Epsilon, ThreatModel
from regmix_bench.types.threats import decimal

#: Zero as it may be typed where budgets begin: ``0``, ``0.0`` or ``0/255``.
_ZERO = re.compile(r"0+\.?0*|\.0+|0+/0*[1-9][0-9]*")


def parse_threats(texts: Iterable[str], norm: str) -> tuple[ThreatModel, ...]:
    """Return the threats that ``texts`` name, each once, in their order.

    One is ``NORM:EPSILON``, or an ε alone, which is of ``norm``. ``0..16/255:5`` in the place of ε
    are five budgets at equal distances, both ends among them; 0 is no attack and left out. Raises
    :class:`UserError` for a norm that there is not, for what is no budget of its norm, and for more
    threats than can be scored.
    """
    found = (threat for text in texts for threat in _threats(text.strip(), norm))
    threats = tuple(dict.fromkeys(found))
    if len(threats) > MOST_THREATS:
        raise UserError(f"{len(threats):,} threats are too many: name {MOST_THREATS} at most")
    return threats


def threat_text(threat: ThreatModel) -> str:
    """Return a threat as :func:`parse_threats` takes it, whatever the norm that it is told."""
    return f"{threat.norm}:{threat.epsilon}"


def _threats(text: str, norm: str) -> Iterator[ThreatModel]:
    head, colon, rest = text.partition(":")
    named = bool(colon) and ".." not in head
    chosen, budgets = (head, rest) if named else (norm, text)
    low, dots, high = budgets.partition("..")
    if not dots:
        yield ThreatModel(chosen, Epsilon(budgets))
        return
    high, _, count = high.partition(":")
    first, last = Fraction(0) if _ZERO.fullmatch(low.strip()) else Epsilon(low), Epsilon(high)
    points = int(count) if count.isascii() and count.isdigit() and len(count) < 4 else 0
    if not first < last or not 2 <= points <= MOST_THREATS:
        raise UserError(
            f"threats {abridged(text)} are no budgets from the smaller to the larger: write them"
            f" like Linf:0..16/255:5, 2 to {MOST_THREATS} of them"
        )
    for point in range(points):
        if epsilon := first + (last - first) * Fraction(point, points - 1):
            yield ThreatModel(chosen, _budget(epsilon, last, text))


def _budget(epsilon: Fraction, like: Epsilon, text: str) -> Epsilon:
    """Write a budget in parts as those of ``like``, such as 255ths, or as a decimal, if it is."""
    _, slash, parts = like.text.partition("/")
    if slash and (epsilon * int(parts)).denominator == 1:
        return Epsilon(f"{epsilon * int(parts)}/{parts}")
    if (written := decimal(epsilon)) is not None:
        return Epsilon(written)
    try:
        return Epsilon(epsilon)
    except UserError as error:
        raise UserError(
            f"threats {abridged(text)}: {epsilon}, which is one of these budgets, has too many"
            " digits to be written; choose ends with fewer, or another number of budgets"
        ) from error
