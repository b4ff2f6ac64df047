from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from regmix_bench.reporting.figures.looks import PALETTE, Look
from regmix_bench.reporting.site.markers import marker_paths

FULL = Look("", "#000000", "^", "-")


@pytest.mark.parametrize("marker", sorted({marker for _, marker in PALETTE}, key=str))
def test_every_marker_of_the_palette_fits_its_square(marker):
    full, hollow = marker_paths(replace(FULL, marker=marker))
    assert hollow == "" and set(re.sub(r"[-\d.e ]", "", full)) <= set("MLQCZ")
    assert np.abs([float(number) for number in re.findall(r"-?[\d.]+", full)]).max() <= 0.75


def test_a_triangle_points_up_where_pages_measure_down():
    assert marker_paths(FULL) == ("M0 -0.5L-0.5 0.5L0.5 0.5Z", "")


def test_a_variant_is_told_by_what_is_filled():
    assert marker_paths(replace(FULL, fill="none")) == ("", marker_paths(FULL)[0])
    for fill in ("left", "bottom"):
        full, hollow = marker_paths(replace(FULL, fill=fill))
        assert full and hollow and full != hollow
