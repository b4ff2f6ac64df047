"""Tricks and labels as axes of comparisons.

They move robust accuracy by as much as methods do, so a comparison joins only rows that had the
same tricks, whether by its recipe or by its method, that saw as many labels, and that used images
without one in the same way.
"""

from __future__ import annotations

from typing import Literal, get_args

from regmix_bench.errors import unknown

#: What rows of one comparison may differ in, where that is asked for.
Axis = Literal["tricks", "labels"]
AXES: tuple[Axis, ...] = get_args(Axis)


def crossed(names: list[str] | None) -> tuple[Axis, ...]:
    """Return the axes called ``names``; raises :class:`UserError` for one that there is not."""
    for name in names or ():
        if name not in AXES:
            raise unknown("--across", name, AXES)
    return tuple(axis for axis in AXES if axis in (names or ()))
