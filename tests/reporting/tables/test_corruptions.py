from __future__ import annotations

from pathlib import Path

import pytest
from support.synthetic import write_corrupted

from regmix_bench.records.store import load_record, save_record
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.page import page
from regmix_bench.specs.corruptions import ARRAYS


def test_models_on_one_set_of_images_stand_in_one_table(tmp_path: Path) -> None:
    for label, clean in (("low", 80), ("high", 95), ("high", 70)):
        write_corrupted(tmp_path, label, clean, arch=f"net-{clean}")
    write_corrupted(tmp_path, "official", 90, corruptions="cifar10c")
    contents = Contents.of(tmp_path)
    _, made = contents.corrupted
    assert [label.split(" #")[0] for label, _ in made.rows] == ["high", "low", "high"]
    assert len({label for label, _ in made.rows}) == 3
    sections = contents.chapters["Common corruptions"]
    assert [section.heading for section in sections] == [
        "cifar10: CIFAR-10-C",
        "cifar10: corruptions made here with ImageNet's severities",
    ]
    table = sections[1].table
    assert [column.header for column in table.columns[:5]] == [
        *("Model", "Arch", "Clean", "Mean", "gaussian noise")
    ]
    first = table.rows[0]
    # Of places 0 to 14 the mean is 7, of severities 3.
    assert first[3].value == pytest.approx(0.95 - 0.07 - 0.06)
    assert first[4].value == pytest.approx(0.95 - 0.06)
    text = page(contents, with_figures=False)
    assert "AutoAttack" not in text and "ImageNet's severities" in text


def test_models_on_other_arrays_stand_in_another_table(tmp_path: Path) -> None:
    for label, digest in (("one", "a" * 64), ("two", "a" * 64), ("three", "b" * 64)):
        record = load_record(write_corrupted(tmp_path, label, corruptions="cifar10c"))
        save_record(tmp_path, record.model_copy(update={"environment": {ARRAYS: digest}}))
    panels = Contents.of(tmp_path).corrupted
    found = {panel.terms.arrays: {label for label, _ in panel.rows} for panel in panels}
    assert found == {"a" * 64: {"one", "two"}, "b" * 64: {"three"}}
    assert len({panel.terms.stem for panel in panels}) == 2
    text = page(Contents.of(tmp_path), with_figures=False)
    assert "begins aaaaaaaaaaaa." in text and "begins bbbbbbbbbbbb." in text
