from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.figure import Figure

from regmix_bench.reporting import figures, style
from regmix_bench.reporting.style import Look

LOOKS = {"trades": Look("#000000", "o", "-")}


def curves(seeds):
    """Three epochs a seed; seed k has a clean accuracy of k/100 throughout."""
    rows = [
        {"label": "trades", "seed": k, "epoch": epoch, "selected": epoch == 3, "alarm": ""}
        | {"val_clean_acc": k / 100, "val_pgd_acc": 0.0}
        for k in range(seeds)
        for epoch in (1, 2, 3)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(val_clean_acc_mean=(seeds - 1) / 200, val_pgd_acc_mean=0.0)


def test_a_dozen_seeds_have_a_line_each_and_more_the_band_they_lie_in():
    lines = figures.draw_curves(curves(figures.MOST_LINES), LOOKS).axes[0].collections
    assert all(isinstance(drawn, LineCollection) for drawn in lines)
    clean = lines[0].get_segments()
    assert [segment[0, 1] for segment in clean] == pytest.approx(range(figures.MOST_LINES))
    assert clean[5].tolist() == [[1, 5], [2, 5], [3, 5]]

    bands = figures.draw_curves(curves(figures.MOST_LINES + 1), LOOKS).axes[0].collections
    assert all(isinstance(drawn, FillBetweenPolyCollection) for drawn in bands)
    heights = bands[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0, figures.MOST_LINES)


@pytest.mark.parametrize("panels", [1, 2, 7])
def test_nothing_reaches_over_the_rim(tmp_path, panels):
    names = [f"method {k}" for k in range(panels)]
    looks = dict.fromkeys(names, LOOKS["trades"])
    curve = pd.concat([curves(2).assign(label=name) for name in names])
    assert_inside(figures.draw_curves(curve, looks), tmp_path)
    with style.applied():
        maps, axes = figures.grid(panels, height=2.35, shared=False)
        for axis in axes:
            axis.set(box_aspect=1, title="method", xlabel="one\ntwo\nthree", xticks=[], yticks=[])
        axes[0].plot([], label="a mark")
        maps.legend(title="a\nb", loc="outside lower center")
    assert_inside(maps, tmp_path)


def assert_inside(figure: Figure, folder):
    style.save(figure, folder / "picture")
    (left, bottom), (right, top) = figure.get_tightbbox().get_points()
    width, height = figure.get_size_inches()
    assert np.greater_equal((left, bottom, width - right, height - top), -0.01).all()
