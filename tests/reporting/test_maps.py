from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from regmix_bench.reporting.figures import maps


def test_purity_without_ties_counts_the_nearest():
    generator = np.random.default_rng(0)
    points, labels = generator.normal(size=(40, 3)), generator.integers(0, 3, 40)
    distances = cdist(points, points)
    counted = []
    for i in range(40):
        nearest = [j for j in np.argsort(distances[i]) if j != i][:10]
        counted.append(np.mean(labels[nearest] == labels[i]))
    assert maps.knn_purity(distances, labels) == pytest.approx(np.mean(counted))


def test_purity_of_coinciding_outputs_ignores_the_order_of_images():
    labels = np.repeat([0, 1], 20)
    distances = np.zeros((40, 40))
    shuffled = np.random.default_rng(1).permutation(labels)
    # 19 of the 39 others have an image's own label.
    assert maps.knn_purity(distances, labels) == pytest.approx(19 / 39)
    assert maps.knn_purity(distances, shuffled) == pytest.approx(19 / 39)


def test_a_map_holds_every_part_and_is_the_same_again():
    generator = np.random.default_rng(0)
    parts = generator.dirichlet(np.ones(5), 30), generator.dirichlet(np.ones(5), 20), np.eye(5)
    first, again = maps.embed(*parts), maps.embed(*parts)
    assert [part.shape for part in first] == [(30, 2), (20, 2), (5, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert np.abs(np.concatenate(first)).max() == pytest.approx(1.0)


@pytest.mark.parametrize("labels", [[3], [3, 3, 3], [0, 1, 2]])
def test_no_silhouette_without_two_classes_of_which_one_has_two_images(labels):
    points = np.arange(len(labels), dtype=float)[:, None]
    assert np.isnan(maps.neighbourhood(points, np.array(labels))["silhouette"])


def test_named_classes_stand_above_the_maps_and_numbers_on_them():
    panel = maps.Panel("trades", "", np.arange(10), np.zeros((10, 2)), np.zeros((10, 2)))
    named = maps.draw_maps([panel], "PGD-20", "cifar10").figure
    legends = [[entry.get_text() for entry in legend.get_texts()] for legend in named.legends]
    assert legends[0][:2] == ["airplane", "automobile"] and legends[1] == ["clean", "PGD-20"]
    numbered = maps.draw_maps([panel], "PGD-20", "digits").figure
    assert len(numbered.legends) == 1
    on_maps = [[text.get_text() for text in figure.axes[0].texts] for figure in (named, numbered)]
    assert on_maps == [[], [str(k) for k in range(10)]]
