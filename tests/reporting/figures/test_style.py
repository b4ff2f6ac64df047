from __future__ import annotations

import pytest

from regmix_bench.reporting.figures import style
from regmix_bench.reporting.figures.looks import Look
from regmix_bench.reporting.figures.panels import Rim, grid
from regmix_bench.reporting.figures.venues import PLAIN, style_for


@pytest.mark.parametrize("lines", [1, 2])
@pytest.mark.parametrize("label", ["a" * 10_000, "of $many\\words " * 500, "two\nlines", "$x^2$"])
def test_no_label_is_wider_than_it_has_room(label, lines):
    with style.applied():
        found = style.fitted(label, 1.0, 8, lines)
        assert style.inches(found, 8) <= 1.0
    assert found.count("\n") < lines
    assert found.startswith(label[:3])
    assert found.endswith("…") == (len(label) > 100)


@pytest.mark.parametrize(("panels", "shape"), [(3, (1, 3)), (6, (2, 3)), (13, (3, 5))])
def test_rows_of_panels_are_about_equally_long(panels, shape):
    figure, axes = grid(PLAIN, panels, 5, 1.0, Rim(), "digits")
    assert axes[0].get_gridspec().get_geometry() == shape and len(axes) == panels
    assert figure.get_figwidth() == PLAIN.width
    assert axes[0].get_position().height * figure.get_figheight() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("percent", "limits"),
    [
        ([50, 50.5], (40.2, 60.3)),
        ([99.0, 100.0], (79.2, 100.8)),
        ([0.0, 1.0], (-0.8, 20.0)),
        ([0.0, 100.0], (-4, 104)),
        ([], (-4, 104)),
    ],
)
def test_an_axis_fits_its_accuracies_and_blows_up_no_noise(percent, limits):
    low, high = style.fitted_axis(percent, 20.0)
    assert high - low >= 20
    assert (low, high) == pytest.approx(limits, abs=1.0)


def test_names_that_would_be_cut_to_the_same_have_a_second_line():
    long = "A method of a very long and wordy name"
    looks = {k: Look(f"{long} (λ = {k})", "#000000", "o", "-") for k in "12"}
    narrow = style_for("icml")
    with style.applied(narrow):
        names = style.names_of(looks, looks, narrow)
        (alone,) = style.names_of(looks, "1", narrow)
    assert names[0] != names[1] and "\n" in names[0]
    assert "\n" not in alone and alone.endswith("…")
