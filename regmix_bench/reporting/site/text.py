"""Text that came from a record or a docstring, made fit for a page, a script or a file name."""

from __future__ import annotations

import colorsys
import hashlib
import inspect
import json
import re
from functools import cache
from typing import Literal, NamedTuple

from markupsafe import Markup, escape

from regmix_bench.reporting.figures.looks import luminance
from regmix_bench.system.text import visible

_DARK_PAPER = (0x14 / 255, 0x17 / 255, 0x1B / 255)  # as in site.css
_LEAST_CONTRAST = 3.0  # of what is no text, by WCAG 2.1


class Passage(NamedTuple):
    """A paragraph of prose, already escaped, or lines to be set as they stand.

    ``source`` is the text as it was written.
    """

    kind: Literal["prose", "formula"]
    text: Markup
    source: str


def file_name(text: str) -> str:
    """Return ``text`` as one component of a path: itself if harmless, else with a digest."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", text):
        return text
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    return f"{slug or 'x'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def script(value: object) -> Markup:
    """Write ``value`` as JSON that cannot end the script element or comment it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(visible(text))  # of which U+2028 and U+2029 would end a line of JavaScript


def passages(docstring: str) -> tuple[Passage, ...]:
    """Split a docstring into paragraphs; a block indented under ``::`` is set as a formula."""
    found: list[Passage] = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        if found and part.startswith(" "):
            lines = inspect.cleandoc(f"\n{part}")
            found.append(Passage("formula", escape(lines), lines))
        elif part.strip():
            found.append(Passage("prose", _prose(part), part))
    return tuple(found)


@cache
def on_dark(colour: str) -> str:
    """Return ``#rrggbb`` for a dark page: itself if it can be seen there, else just light enough.

    Black turns white.
    """
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    light = light if light or saturation else 1.0
    while _contrast(channels := colorsys.hls_to_rgb(hue, light, saturation)) < _LEAST_CONTRAST:
        light += 0.01
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def _contrast(channels: tuple[float, float, float]) -> float:
    """With the paper of a dark page, by WCAG 2.1."""
    return (luminance(channels) + 0.05) / (luminance(_DARK_PAPER) + 0.05)


def _prose(paragraph: str) -> Markup:
    text = re.sub(r"::$", ":", " ".join(paragraph.split()))
    text = re.sub(r":[a-z]+:`~?([^`]*)`", r"``\1``", text)
    # Every second piece stood between double backticks.
    pieces = enumerate(text.split("``"))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece)
        for number, piece in pieces
    )
