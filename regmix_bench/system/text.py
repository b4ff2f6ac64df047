"""Text that came out of a file, made fit to be shown."""

from __future__ import annotations

import re

# What a terminal obeys, what turns the direction of the text around it, what no encoding has, and
# letters that are not seen: C0 and C1 but tabulators and line breaks, the marks, embeddings,
# overrides and isolates of bidirectional text (UAX #9), separators, surrogates, tags.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """Return ``text`` with each character that acts or hides as its number: ``\\u001b``."""
    return _HIDDEN.sub(_number, text)


def one_line(text: str) -> str:
    """Return ``text`` as :func:`visible` does, its line breaks as spaces."""
    return visible(" ".join(text.splitlines()))


def _number(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
