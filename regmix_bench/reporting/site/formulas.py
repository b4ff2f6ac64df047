"""Formulas as methods declare them, plain text such as ``L = CE(f(x'), ŷ)``, as MathML."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from markupsafe import Markup, escape

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<script>_(?:\[[^\]]*\]|[^\W_][A-Za-z0-9]*|\*)|[₀-₉]+)|(?P<power>[²³]|')"
    r"|(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z]+|[^\W\d_])|(?P<sign>.)",
    re.DOTALL,
)
_ACCENTS = {"\u0302": "^", "\u0304": "¯", "\u0303": "~"}
_POWERS = {"²": "<mn>2</mn>", "³": "<mn>3</mn>", "'": "<mo>′</mo>"}
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_FRACTIONS = {"¼": (1, 4), "½": (1, 2), "¾": (3, 4)}


def mathml(formula: str) -> Markup:
    """Return a formula as ``<math>`` elements, one for each thing it says, whatever it holds.

    ``_`` and what follows it, or brackets, are a subscript; ``'`` is a prime. The ``alttext`` of an
    element is the text that it was.
    """
    return Markup("").join(
        Markup('<math displaystyle="true" alttext="{}">{}</math>').format(part, _parts(part))
        for part in _statements(formula)
    )


def is_formula(text: str) -> bool:
    """Return whether every line says what something equals, or becomes."""
    return all(re.match(r"\S+ *[=←] ", line) for line in text.splitlines())


def _statements(formula: str) -> Iterator[str]:
    """Split a formula at commas and semicolons before something else that equals something."""
    depth, start = 0, 0
    for at, letter in enumerate(formula):
        depth += (letter in "([") - (letter in ")]")
        rest = formula[at + 1 :]
        if depth == 0 and letter in ",;" and re.match(r" +\S+ *[=←] ", rest):
            yield formula[start : at + 1].strip()
            start = at + 1
    yield formula[start:].strip()


def _parts(statement: str) -> Markup:
    """Write what a statement says, and a remark behind it such as ``on clean images``."""
    said, comma, remark = statement.rpartition(", ")
    if comma and re.fullmatch(r"[a-z]+( [a-z]+)+;?", remark):
        return _row(said) + Markup("<mtext>,&nbsp;{}</mtext>").format(remark)
    return _row(statement)


def _row(text: str) -> Markup:
    """Write symbols beside each other, each with its scripts."""
    found: list[Markup] = []
    spaced = False
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind == "space":
            spaced = bool(found)
            continue
        if kind == "script" and found:
            lower = token.translate(_LOWERED).removeprefix("_")
            found.append(Markup("<msub>{}<mrow>{}</mrow></msub>").format(found.pop(), _row(lower)))
        elif kind == "power" and found:
            found.append(Markup("<msup>{}{}</msup>").format(found.pop(), Markup(_POWERS[token])))
        else:
            # Operators have their own room; names beside each other have none.
            if spaced and kind in ("name", "number") and not found[-1].startswith("<mo"):
                found.append(Markup('<mspace width="0.25em"/>'))
            found.append(_symbol(kind, token))
        spaced = False
    return Markup("").join(found)


def _symbol(kind: str | None, token: str) -> Markup:
    if token in _FRACTIONS:
        return Markup("<mfrac><mn>{}</mn><mn>{}</mn></mfrac>").format(*_FRACTIONS[token])
    if kind == "number":
        return Markup("<mn>{}</mn>").format(token)
    if kind != "name":
        room = Markup(' lspace="0" rspace="0"' if token in "|/#" else "")
        return Markup('<mo stretchy="false"{}>{}</mo>').format(room, token)
    base, *marks = list(unicodedata.normalize("NFD", token))
    if len(marks) == 1 and marks[0] in _ACCENTS:
        over = escape(_ACCENTS[marks[0]])
        return Markup('<mover accent="true"><mi>{}</mi><mo>{}</mo></mover>').format(base, over)
    return Markup("<mi>{}</mi>").format(token)
