"""A picture as SVG for pages: its text is text, and the same numbers give the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from typing import TYPE_CHECKING

import matplotlib

from regmix_bench.reporting.figures.gallery import laid_out
from regmix_bench.reporting.figures.style import TIP, applied
from regmix_bench.reporting.figures.venues import PLAIN, Style

if TYPE_CHECKING:
    from regmix_bench.reporting.figures.protocol import ReportFigure

#: The style of all elements, as matplotlib writes it.
_SHEET = r"<defs>\s*<style[^>]*>\*\{([^}]*)\}</style>\s*</defs>"


def svg(picture: ReportFigure, style: Style = PLAIN) -> str:
    """Draw a picture as an ``<svg>`` element, which a page may hold beside others.

    It has no date, no version and no style sheet, and no ``id`` but those that it refers to, which
    follow from what they name and from the name of the picture's file.
    """
    stream = io.StringIO()
    with applied(style):
        matplotlib.rcParams["svg.hashsalt"] = picture.stem
        laid_out(picture, style).savefig(
            stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = stream.getvalue()
    sheet = re.search(_SHEET, text)
    text = re.sub(_SHEET, "", text[text.index("<svg") :])
    if sheet is not None:
        text = text.replace("<svg", f'<svg style="{sheet[1]}"', 1)
    text = re.sub(rf"""<g id=(["']){TIP}(.*?)\1>""", r"<g><title>\2</title>", text)
    used = set(re.findall(r"""(?:href="#|url\(#)([^")]+)""", text))
    return re.sub(r"<[a-z][^<>]*>", lambda tag: _plain(tag[0], used), text)


def _plain(tag: str, used: Collection[str]) -> str:
    """Return a tag without a style, which a page's policy may refuse, and without an unused id."""
    tag = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", tag)
    return re.sub(r' style="([^"]*)"', lambda found: _attributes(found[1]), tag)


def _attributes(declarations: str) -> str:
    """Return the attributes that say what declarations of a style do, each after a space."""
    pairs = (one.partition(":") for one in declarations.split(";") if one.strip())
    named = {name.strip(): value.strip() for name, _, value in pairs}
    if "font-family" in named:
        named["font-family"] += ", sans-serif"  # a reader may lack the font
    return "".join(f' {name}="{value}"' for name, value in named.items())
