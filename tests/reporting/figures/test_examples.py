from __future__ import annotations

import numpy as np
import pytest
from support.figures import drawn, pictures_of
from support.saved_views import make_views, save_views

from regmix_bench.records import store
from regmix_bench.reporting.figures import examples
from regmix_bench.reporting.figures.gallery import rendered


def pictures_with_views(results, **changes):
    for path in store.record_files(results):
        seed = store.load_run(path).spec.seed
        save_views(path, make_views(seed=seed, **changes))
    return pictures_of("examples", results)


def test_rows_say_what_was_predicted_and_how_much_was_added(record, save):
    (picture,) = pictures_with_views(save(record("trades", seed=3), record("trades", seed=2)))
    frame = picture.frame
    assert list(frame["seed"].unique()) == [2] and len(frame) == examples.SHOWN
    assert list(frame["clean_pred"]) == list(frame["class"]) == [0, 1, 2, 3]
    assert list(frame["adv_pred"]) == [9, 1, 9, 3]
    assert frame["largest_change"].to_numpy() == pytest.approx(32 / 255, rel=1e-3)
    assert frame["magnified"].to_numpy() == pytest.approx(0.5 * 255 / 32, rel=1e-3)
    assert "PGD-20 under L∞ 32/255 magnified 3.98 times" in picture.caption


def test_the_figure_holds_image_perturbation_and_sum(record, save):
    (picture,) = pictures_with_views(save(record("trades", seed=1)))
    (axis,) = drawn(picture).axes
    canvas = np.asarray(axis.images[0].get_array())
    views = make_views(seed=1)
    top = int(min(patch.get_extents().y0 for patch in axis.collections[0].get_paths()))
    clean, added, attacked = (canvas[top : top + 8, x : x + 8, 0] for x in (0, 9, 18))
    assert clean == pytest.approx(views.image[0, 0].astype(float))
    assert added == pytest.approx((views.perturbation[0, 0] > 0).astype(float))
    total = views.image[0, 0].astype(float) + views.perturbation[0, 0].astype(float)
    assert attacked == pytest.approx(np.clip(total, 0, 1))
    said = [text.get_text() for text in axis.texts]
    assert said.count("[9]") == 2 and {"TRADES", "clean", "added", "class 0 (×3.98)"} <= set(said)


@pytest.mark.parametrize(("shape", "shown"), [((3, 6, 10), 8), ((1, 5, 5), 2)])
def test_colour_images_and_few_classes_are_drawn(record, save, shape, shown):
    results = save(record("trades"), record("regmix", label="regmix[" + "long" * 40 + "]"))
    (picture,) = pictures_with_views(results, shape=shape, shown=shown)
    assert len(picture.frame) == 2 * min(shown, examples.SHOWN)
    assert set(rendered(picture)) == {".png", ".pdf"}


def test_images_that_nothing_is_added_to_are_not_magnified():
    views = make_views()
    views.perturbation[:] = 0
    assert examples.magnification([views]) == 1.0


def test_no_picture_without_views(record, save):
    results = save(record())
    assert pictures_of("examples", results) == []


def test_classes_have_the_names_that_their_dataset_gives_them(record, save):
    (picture,) = pictures_with_views(save(record(dataset="cifar10")))
    said = {text.get_text() for text in drawn(picture).axes[0].texts}
    assert {"airplane (×3.98)", "[truck]"} <= said
