from __future__ import annotations

import pytest

from regmix_bench.errors import UserError
from regmix_bench.reporting.figures.venues import LEAST_SIZE, PLAIN, style_for


@pytest.mark.parametrize(
    ("venue", "width", "inches"),
    [
        ("plain", None, 6.75),
        ("plain", "column", 3.25),
        ("plain", "8cm", 8 / 2.54),
        ("neurips", None, 5.5),
        ("icml", None, 3.25),
        ("icml", "text", 6.75),
        ("ieee", None, 252 / 72.27),
        ("ieee", "516pt", 516 / 72.27),
        ("ieee", "82.5 MM", 82.5 / 25.4),
    ],
)
def test_a_width_is_the_venue_s_unless_one_is_given(venue, width, inches):
    assert style_for(venue, width).width == pytest.approx(inches)


@pytest.mark.parametrize("venue", ["plain", "neurips", "icml", "ieee"])
def test_no_venue_has_text_below_seven_points(venue):
    style = style_for(venue)
    assert style.size >= style.small >= LEAST_SIZE


def test_what_is_left_out_is_for_a_screen_and_a_font_is_known_by_its_family():
    assert style_for() == PLAIN
    assert style_for("icml", font="dejavu serif").font == "DejaVu Serif"
    with pytest.raises(UserError, match="unknown font 'DejaVu Serf': did you mean 'DejaVu Serif'"):
        style_for(font="DejaVu Serf")


@pytest.mark.parametrize(
    "width", ["0in", "0", "-3in", "3.25", "wide", "1.2.3in", "", "3px", "2in", "1000cm", "nanin"]
)
def test_what_is_no_width_of_a_figure_is_refused_in_one_line(width):
    with pytest.raises(UserError, match="--width ") as refused:
        style_for(width=width)
    assert "\n" not in str(refused.value)
