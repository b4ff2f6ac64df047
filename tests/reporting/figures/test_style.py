from __future__ import annotations

import pytest

from regmix_bench.reporting.figures import style


@pytest.mark.parametrize("label", ["a" * 10_000, "of $many\\words " * 500, "two\nlines", "$x^2$"])
def test_no_label_is_wider_than_its_figure_has_room(label):
    lines = style.brief(label).split("\n")
    assert len(lines) <= 2
    assert max(map(len, lines)) <= 28
    assert lines[0].startswith(label[:3])
    assert lines[-1].endswith("…") == (len(label) > 100)
    assert style.widest([style.brief(label), "ab"]) <= 28


@pytest.mark.parametrize(("panels", "shape"), [(3, (1, 3)), (6, (2, 3)), (13, (3, 5))])
def test_rows_of_panels_are_about_equally_long(panels, shape):
    _, axes = style.panel_grid([f"m{k}" for k in range(panels)], height=1.0, shared=True)
    assert axes[0].get_gridspec().get_geometry() == shape and len(axes) == panels
