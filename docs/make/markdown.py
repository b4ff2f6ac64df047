"""Text of docstrings and helps, as Markdown that shows it as it is."""

from __future__ import annotations

import re


def plain(text: str) -> str:
    """Return one paragraph: what stands in backquotes is code, and nothing else is markup."""
    words = re.sub(r":[a-z]+:`~?([^`]+)`", r"`\1`", " ".join(text.split()))  # without a role
    parts = re.split(r"``?([^`]+)``?", words)
    shown = [
        f"`{part}`" if at % 2 else re.sub(r"([*_\[\]<>|])", r"\\\1", part)
        for at, part in enumerate(parts)
    ]
    return "".join(shown)


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a docstring, each as :func:`plain` has it."""
    return [f"{plain(part)}\n" for part in text.split("\n\n")]
