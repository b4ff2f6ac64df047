"""The markers of figures as paths of SVG, so that charts of pages have the same."""

from __future__ import annotations

from functools import cache

from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Transform

from regmix_bench.reporting.figures.looks import Fill, Look, Marker

_WORDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}


def marker_paths(look: Look) -> tuple[str, str]:
    """Return what is filled of a row's marker, and what is hollow, in a square of side 1 at 0."""
    return _paths(look.marker, look.fill)


@cache
def _paths(marker: Marker, fill: Fill) -> tuple[str, str]:
    style = MarkerStyle(marker, fill if fill != "none" else "full")
    shape = _written(style.get_path(), style.get_transform())
    if fill == "none":
        return "", shape
    other = style.get_alt_path()
    return shape, _written(other, style.get_alt_transform()) if other else ""


def _written(path: Path, transform: Transform) -> str:
    # Pages measure down from the top, figures up from the bottom.
    turned = path.transformed(transform + Affine2D().scale(1, -1))
    return "".join(
        "Z"
        if code == Path.CLOSEPOLY
        else _WORDS[code] + " ".join(f"{round(at, 3) + 0:g}" for at in points)
        for points, code in turned.iter_segments(simplify=False)
    )
