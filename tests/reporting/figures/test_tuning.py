"""Pictures and table of what was tuned; there are none where nothing was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.figures import drawn, overlaps
from support.synthetic import make_spec, write_run
from support.tuning import write_studies

from regmix_bench import plot
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import FIGURES
from regmix_bench.reporting.figures.coordinates import least_usual
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.figures.venues import PLAIN, Style, style_for
from regmix_bench.reporting.formats.page import page
from regmix_bench.reporting.inputs import input_digests
from regmix_bench.reporting.site.server import Site
from regmix_bench.tuning.space import Space

KINDS = ("tuning", "importance", "coordinates")


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """Three studies, and runs of what they start from and of the best of two of them."""
    results = tmp_path_factory.mktemp("results")
    for place, study in enumerate(write_studies(results)):
        space, best = Space.of(study.spec), study.best
        assert best is not None
        for seed in range(3):
            write_run(results, space.run(space.start, seed), autoattack=200 + seed)
            if place < 2:
                run = space.run(best.values, seed)
                tuned = study.tuned(run.training_id)
                write_run(results, run, autoattack=218 + seed, tuned=tuned)
    return Contents.of(results)


def pictures(contents: Contents) -> list[ReportFigure]:
    return [picture for kind in KINDS for picture in FIGURES[kind].of(contents)]


def test_each_folder_has_its_pictures_and_each_study_its_coordinates(contents: Contents) -> None:
    assert [picture.stem for picture in pictures(contents)] == [
        "tuning-planted",
        "importance-planted",
        *(f"coordinates-planted-{method}" for method in ("fgsm-pgi", "regmix", "trades")),
    ]
    best, importance, *coordinates = pictures(contents)
    assert set(best.frame["label"]) == {"fgsm-pgi", "regmix", "trades"}
    assert importance.frame.groupby("label")["importance"].sum().round(6).eq(1).all()
    assert [len(picture.frame) for picture in coordinates] == [24, 24, 24]
    assert "λ" in coordinates[0].caption


@pytest.mark.parametrize("style", [PLAIN, style_for("icml")], ids=["plain", "icml"])
def test_no_text_lies_on_another(contents: Contents, style: Style) -> None:
    for picture in pictures(contents):
        assert overlaps(drawn(picture, style)) == []


def test_the_table_sets_tuned_beside_defaults_and_the_comparison_says_at_whose_effort(
    contents: Contents,
) -> None:
    (section,) = contents.chapters["Tuning"]
    table, columns = section.table, [column.id for column in section.table.columns]
    assert [row[0].value for row in table.rows] == ["FGSM-PGI", "RegMix", "TRADES"]
    gains = [row[columns.index("test_gain")] for row in table.rows]
    assert gains[0].value == pytest.approx(18 / 360) and gains[0].interval is not None
    assert gains[2].value is None
    assert "what tuning gains, with 24 trials for each method, in PGD-10" in table.caption
    values = str(table.rows[0][columns.index("values")].value)
    assert values.startswith("λ 10 → ") and ", reset " in values
    notes = [note for table in contents.comparisons.values() for note in table.notes]
    assert any("24 trials" in note and "(trials held equal)" in note for note in notes)
    written = page(contents, with_figures=True)
    assert written.index("## Tuning") < written.index("coordinates-planted-trades.png")
    assert "## Further figures" not in written
    assert any(name.startswith("tuning/planted/") for name in input_digests(contents))


def test_runs_of_what_was_best_in_a_shorter_study_are_no_runs_of_its_best(tmp_path: Path) -> None:
    study = write_studies(tmp_path)[0]
    space, best, start = Space.of(study.spec), study.best, study.trials[0]
    assert best is not None and best != start
    for trials, seed, right in ((1, 0, 210), (24, 1, 240), (23, 2, 240)):
        values = start.values if trials == 1 else best.values
        run = space.run(values, seed)
        shorter = study.model_copy(update={"trials": study.trials[:trials]})
        tuned = shorter.tuned(run.training_id)
        assert tuned is not None and tuned.values == values
        write_run(tmp_path, run, autoattack=right, tuned=tuned)
    found = Contents.of(tmp_path)
    (section,) = found.chapters["Tuning"]
    place = [column.id for column in section.table.columns].index("test_tuned")
    assert section.table.rows[0][place].value == pytest.approx(240 / 360)
    notes = " ".join(note for table in found.comparisons.values() for note in table.notes)
    assert "by 1 trial, " in notes
    assert notes.index("by 24 trials") < notes.index("or 23 trials")


def test_a_trial_that_failed_to_learn_leaves_the_others_their_colours() -> None:
    usual = np.array([86.0, 86.5, 87.0, 87.2, 87.9, 88.0])
    assert least_usual(np.append(usual, 31.5)) == 86.0
    assert least_usual(usual) == 86.0 and least_usual(usual[:1]) == 86.0


def test_studies_alone_are_a_report_that_follows_them(tmp_path: Path) -> None:
    write_studies(tmp_path, trials=3)
    found = Contents.of(tmp_path)
    assert [*found.chapters] == ["Tuning"] and found.blocks == ()
    assert "## Tuning" in page(found, with_figures=True)
    assert "tuning-planted" in plot(tmp_path, "tuning")
    served = Site(tmp_path)
    assert b"tables.html" in served.state.files["index.html"]
    assert not served.refresh()
    write_studies(tmp_path, name="other", trials=1)
    assert served.refresh() and b"other" in served.state.files["tables.html"]


def test_without_studies_nothing_is_said_of_tuning(tmp_path: Path) -> None:
    write_run(tmp_path, make_spec())
    found = Contents.of(tmp_path)
    assert pictures(found) == [] and "Tuning" not in found.chapters
