from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score

from regmix_bench.reporting.figures import embedding
from regmix_bench.reporting.figures.embedding import Points, displacement, distance_to_truth


def test_purity_without_ties_counts_the_nearest():
    generator = np.random.default_rng(0)
    points, labels = generator.normal(size=(40, 3)), generator.integers(0, 3, 40)
    distances = cdist(points, points)
    counted = []
    for i in range(40):
        nearest = [j for j in np.argsort(distances[i]) if j != i][:10]
        counted.append(np.mean(labels[nearest] == labels[i]))
    assert embedding.knn_purity(distances, labels) == pytest.approx(np.mean(counted))


def test_purity_of_coinciding_outputs_ignores_the_order_of_images():
    labels = np.repeat([0, 1], 20)
    distances = np.zeros((40, 40))
    shuffled = np.random.default_rng(1).permutation(labels)
    # 19 of the 39 others have an image's own label.
    assert embedding.knn_purity(distances, labels) == pytest.approx(19 / 39)
    assert embedding.knn_purity(distances, shuffled) == pytest.approx(19 / 39)


def test_a_map_holds_every_part_and_is_the_same_again():
    generator = np.random.default_rng(0)
    parts = generator.dirichlet(np.ones(5), 30), generator.dirichlet(np.ones(5), 20), np.eye(5)
    first, again = embedding.embed(*parts), embedding.embed(*parts)
    assert [part.shape for part in first] == [(30, 2), (20, 2), (5, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert np.abs(np.concatenate(first)).max() == pytest.approx(1.0)


@pytest.mark.parametrize(("images", "classes"), [(200, 10), (30, 25), (6, 2)])
def test_the_silhouette_is_that_of_scikit_learn(images, classes):
    draw = np.random.default_rng(0)
    labels = np.arange(images) % classes
    points = draw.normal(size=(images, 3)) + labels[:, None]
    points[::3] = points[0]  # some coincide
    distances = cdist(points, points)
    theirs = silhouette_score(distances, labels, metric="precomputed")
    assert embedding.silhouette(distances, labels) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("labels", [[3], [3, 3, 3], [0, 1, 2]])
def test_no_silhouette_without_two_classes_of_which_one_has_two_images(labels):
    points = np.arange(len(labels), dtype=float)[:, None]
    assert np.isnan(embedding.neighbourhood(points, np.array(labels))["silhouette"])


def test_distance_to_truth_at_its_ends():
    labels, nowhere = np.array([0, 1]), np.zeros((2, 2))
    assert distance_to_truth(Points(labels, nowhere, np.eye(2))) == 0.0
    assert distance_to_truth(Points(1 - labels, nowhere, np.eye(2))) == pytest.approx(math.sqrt(2))
    halves = Points(labels, nowhere, np.full((2, 2), 0.5))
    assert distance_to_truth(halves) == pytest.approx(math.sqrt(0.5))


def test_measures_of_perfect_outputs():
    labels = np.repeat(np.arange(4), 12)
    perfect = np.eye(4)[labels]
    assert embedding.neighbourhood(perfect, labels) == {"purity": 1.0, "silhouette": 1.0}


def test_displacement_counts_in_distances_between_clean_images():
    clean = np.array([[0.0, 0.0], [4.0, 0.0]])
    points = Points(np.array([0, 1]), clean, clean + np.array([0.0, 1.0]))
    assert displacement(points) == pytest.approx(1 / 4)


def test_no_displacement_where_all_images_coincide():
    points = Points(np.array([0, 1]), np.ones((2, 3)), np.zeros((2, 3)))
    assert np.isnan(displacement(points))


def test_scaling_changes_no_measure_of_features():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 40)
    clean, moved = generator.normal(size=(2, 40, 5)) + labels[:, None]

    def measured(scale):
        near = embedding.neighbourhood(scale * moved, labels)
        return {"displacement": displacement(Points(labels, scale * clean, scale * moved)), **near}

    assert measured(1) == pytest.approx(measured(7))
    assert 0 < measured(1)["purity"] < 1
