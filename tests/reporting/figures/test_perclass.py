from __future__ import annotations

import numpy as np
import pytest
from support.figures import drawn, pictures_of
from support.synthetic import make_spec, write_run

from regmix_bench.analysis import verdicts
from regmix_bench.analysis.verdicts import Outcomes
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.perclass import ClassAccuracy


def contents_of(results):
    return Contents.of(results)


def picture_of(results):
    found = pictures_of("classes", results)
    return found[0] if found else None


def test_accuracy_per_class_is_counted_image_by_image(tmp_path):
    # Labels are the index modulo 10, and the first images are the right ones.
    write_run(tmp_path, make_spec("trades"), n=20, clean=18, pgd=16, autoattack=13)
    write_run(tmp_path, make_spec("trades", seed=1), n=20, clean=18, pgd=16, autoattack=15)
    picture = picture_of(tmp_path)
    shares = picture.frame.set_index("class")["accuracy"]
    assert shares.tolist() == [1, 1, 1, 0.75, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert picture.frame.loc[picture.frame["worst"], "class"].tolist() == [5, 6, 7, 8, 9]
    classes, ends = drawn(picture).axes
    assert [label.get_text() for label in ends.get_xticklabels()] == ["all", "worst"]
    texts = [text.get_text() for axis in (classes, ends) for text in axis.texts]
    assert texts[:10] == [*["100.0"] * 3, *["75.0"] * 2, *["50.0"] * 5]
    assert texts[-2:] == ["70.0", "50.0"]
    assert "2 test images a class" in picture.caption


def test_rows_without_outcomes_are_left_out(tmp_path):
    write_run(tmp_path, make_spec("mart"), outcomes=False)
    assert picture_of(tmp_path) is None
    write_run(tmp_path, make_spec("trades"))
    assert set(picture_of(tmp_path).frame["label"]) == {"trades"}


def test_outcomes_are_read_once_for_verdicts_and_classes(tmp_path, monkeypatch):
    for label in ("trades", "mart"):
        for seed in (0, 1):
            write_run(tmp_path, make_spec(label, seed=seed))
    files = []
    true = verdicts.read_score

    def counted(file, *rest, **more):
        files.append(file)
        return true(file, *rest, **more)

    monkeypatch.setattr(verdicts, "read_score", counted)
    contents = contents_of(tmp_path)
    assert contents.standings and contents.gallery.pictures
    assert len(files) == len(set(files)) == 4


def test_many_classes_are_curves_from_the_worst_to_the_best(tmp_path):
    write_run(tmp_path, make_spec("trades"))
    contents = contents_of(tmp_path)
    (block,) = contents.main_blocks
    labels = np.arange(300) % 30
    right = (np.arange(300) // 30 < labels % 11)[None]
    vars(contents)["outcomes"] = {block.stem: Outcomes(labels, {"trades": right})}
    (picture,) = ClassAccuracy.of(contents)
    (line,) = drawn(picture).axes[0].lines
    assert line.get_ydata() == pytest.approx(sorted(10.0 * (np.arange(30) % 11)))
    assert "sorted" in picture.caption


def test_classes_have_the_names_that_their_dataset_gives_them(tmp_path):
    write_run(tmp_path, make_spec(dataset="cifar10"))
    axis = drawn(picture_of(tmp_path)).axes[0]
    heads = [label.get_text() for label in axis.get_xticklabels()]
    assert heads[:2] == ["airplane", "automobile"] and heads[-1] == "truck"
    assert "class" not in [text.get_text() for text in axis.texts]
