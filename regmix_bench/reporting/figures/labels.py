"""Names beside what they name: placed in order, none on another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from regmix_bench.reporting.figures.looks import Look
from regmix_bench.reporting.figures.style import fitted, inches
from regmix_bench.reporting.figures.venues import Style

#: Points between a name and the mark that it names, and the farthest that a name may stand off.
_NEAR, _FAR = 4.0, 72.0
#: Points about a mark that no name may touch.
_MARK = 3.5


@dataclass(frozen=True)
class Spot:
    """A mark in data coordinates, and the look of the row that it is of."""

    x: float
    y: float
    look: Look


@dataclass(frozen=True)
class _Box:
    """A rectangle in points."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )


def name_spots(
    axis: Axes,
    spots: Sequence[Spot],
    style: Style,
    *,
    quiet: bool = False,
    avoid: Sequence[tuple[float, float, float, float]] = (),
) -> list[Look]:
    """Write the names of marks beside them, where axes have their limits and place already.

    A name stands as near as it can to its mark without lying on a mark or on another name; a thin
    line leads to one that stands off. Marks that are quiet have none; or, where ``quiet`` is true,
    one that has room beside its mark when all others stand. Where there is room nearby, no name
    lies on the lines ``avoid``, each from x, y to x, y, level or upright. Returns the looks of
    those that are not quiet for which there was no room.
    """
    inside, scale = _inside(axis)
    places = [axis.transData.transform((spot.x, spot.y)) * scale for spot in spots]
    marks = [_around(float(x), float(y), _MARK, _MARK) for x, y in places]
    ends = axis.transData.transform(np.reshape(avoid, (-1, 2)).astype(float)) * scale
    lines = [_Box(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in ends.reshape(-1, 4)]
    taken: list[_Box] = []
    left_out = []
    for spot, (x, y), mark in sorted(
        zip(spots, places, marks, strict=True), key=lambda one: one[0].look.quiet
    ):
        if spot.look.quiet and not quiet:
            continue
        name = fitted(spot.look.name, 1.5, style.small)
        half = (36 * inches(name, style.small) + 1, 0.6 * style.small)
        others = [*taken, *(box for box in marks if box is not mark)]
        place, near = (float(x), float(y)), _NEAR if spot.look.quiet else 3 * _NEAR
        offset = _offset(place, half, [*others, *lines], inside, _beside(*half, near))
        if offset is None and not spot.look.quiet:
            offset = _offset(place, half, others, inside, _beside(*half))
        if offset is None:
            left_out += [] if spot.look.quiet else [spot.look]
            continue
        taken.append(_around(place[0] + offset[0], place[1] + offset[1], *half))
        _write(axis, spot, name, offset, style, led=_gap(*offset, *half) > 2 * _NEAR)
    return left_out


def number_spots(
    axis: Axes, spots: Mapping[str, tuple[float, float]], style: Style, *, beside: bool = False
) -> None:
    """Write short words on places in data coordinates, or ``beside`` them, none on another."""
    inside, scale = _inside(axis)
    taken: list[_Box] = []
    for word, (x, y) in spots.items():
        half = (36 * inches(word, style.size) + 0.5, 0.5 * style.size)
        place = axis.transData.transform((x, y)) * scale
        offset = _offset(
            (float(place[0]), float(place[1])),
            half,
            taken,
            inside,
            [(0.0, 0.0)] * (not beside) + [*_beside(*half)],
        ) or (0.0, 0.0)
        taken.append(_around(float(place[0]) + offset[0], float(place[1]) + offset[1], *half))
        axis.annotate(
            word,
            (x, y),
            offset,
            textcoords="offset points",
            ha="center",
            va="center",
            zorder=4,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )


def name_ends(axis: Axes, spots: Sequence[Spot], style: Style) -> None:
    """Write the names of lines to the right of the axes, each as near as it can to its line's end.

    Lines that are quiet have none.
    """
    loud = sorted((s for s in spots if not s.look.quiet), key=lambda s: (s.y, s.look.name))
    if not loud:
        return
    scale = 72 / axis.figure.dpi
    frame = axis.get_window_extent()
    step = 1.2 * style.small
    wanted = [float(axis.transData.transform((s.x, s.y))[1]) * scale for s in loud]
    found = spaced(wanted, step, frame.y0 * scale + step / 2, frame.y1 * scale - step / 2)
    for spot, was, place in zip(loud, wanted, found, strict=True):
        edge = float(frame.x1) * scale
        here = float(axis.transData.transform((spot.x, spot.y))[0]) * scale
        axis.annotate(
            spot.look.name,
            (spot.x, spot.y),
            (edge - here + 8, place - was),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=style.small,
            color=spot.look.ink,
            annotation_clip=False,
            arrowprops={**_LEADER, "color": spot.look.colour, "relpos": (0, 0.5)},
        )


def ends_inches(looks: Sequence[Look], style: Style) -> float:
    """Return how wide the names are that :func:`name_ends` writes, with their gap."""
    return max((inches(k.name, style.small) for k in looks if not k.quiet), default=0.0) + 0.16


def spaced(wanted: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Return places ``step`` apart at least, in the order of those ``wanted``, near to them.

    They lie from ``low`` to ``high``, where these are far enough apart.
    """
    found: list[float] = []
    for place in wanted:
        found.append(max(place, low, found[-1] + step if found else low))
    ceiling = max(high, low + step * (len(found) - 1))
    for place in reversed(range(len(found))):
        found[place] = min(found[place], ceiling)
        ceiling = found[place] - step
    return found


_LEADER: dict[str, Any] = {"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2}


def _write(
    axis: Axes, spot: Spot, name: str, offset: tuple[float, float], style: Style, *, led: bool
) -> None:
    axis.annotate(
        name,
        (spot.x, spot.y),
        offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=style.small,
        color=spot.look.ink,
        zorder=5,
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
        arrowprops={**_LEADER, "color": spot.look.colour} if led else None,
    )


def _inside(axis: Axes) -> tuple[_Box, float]:
    """Return the rectangle of the axes in points, and the points of a pixel."""
    scale = 72 / axis.figure.dpi
    frame = axis.get_window_extent()
    return _Box(*(float(edge) * scale for edge in (frame.x0, frame.y0, frame.x1, frame.y1))), scale


def _offset(
    place: tuple[float, float],
    half: tuple[float, float],
    taken: Sequence[_Box],
    inside: _Box,
    offsets: Iterable[tuple[float, float]],
) -> tuple[float, float] | None:
    """Return the first offset at which a name meets nothing that is taken, if there is one."""
    for dx, dy in offsets:
        box = _around(place[0] + dx, place[1] + dy, *half)
        within = inside.left <= box.left and box.right <= inside.right
        within = within and inside.bottom <= box.bottom and box.top <= inside.top
        if within and not any(map(box.meets, taken)):
            return dx, dy
    return None


def _beside(
    half_width: float, half_height: float, farthest: float = _FAR
) -> Iterator[tuple[float, float]]:
    """Yield where the middle of a name may stand from its mark: the nearest first.

    Aslant before beside, where the mark's intervals are.
    """
    for gap in np.arange(_NEAR, farthest + 1, 4.0):
        for angle in (30, 330, 150, 210, 90, 270, 0, 180, 60, 300, 120, 240):
            across, along = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            yield (
                float(gap * across + half_width * np.sign(round(across, 1))),
                float(gap * along + half_height * np.sign(round(along, 1))),
            )


def _gap(dx: float, dy: float, half_width: float, half_height: float) -> float:
    """Return how far a mark is from the rectangle of its name."""
    return float(np.hypot(max(abs(dx) - half_width, 0), max(abs(dy) - half_height, 0)))


def _around(x: float, y: float, half_width: float, half_height: float) -> _Box:
    return _Box(x - half_width, y - half_height, x + half_width, y + half_height)
