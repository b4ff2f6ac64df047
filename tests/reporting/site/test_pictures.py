"""Which pictures stand beside which comparison, and their files in a report and a served site."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.histories import planted_history
from support.synthetic import make_spec, write_run

from regmix_bench.records.schema import Cost
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.report import stale, write_report
from regmix_bench.reporting.site.pictures import LEADING, PictureFiles, SitePictures
from regmix_bench.types import ThreatModel

OWN, LARGER = ThreatModel("Linf", "32/255"), ThreatModel("Linf", "48/255")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows of one study that is attacked under two budgets, and of one with half the images."""
    folder = tmp_path_factory.mktemp("results")
    for place, name in enumerate(("pgd-at", "trades")):
        for seed in range(3):
            for changes in ({"eval_threats": (OWN, LARGER)}, {"train_examples": 500}):
                passes = 1000 * (2 + place)
                write_run(
                    folder,
                    make_spec(name, seed=seed, **changes),
                    autoattack=280 + 9 * place + seed,
                    reference="pgd-at",
                    history=planted_history([0.3, 0.5]),
                    n_train=1000,
                    training_cost=Cost(seconds=1, forward_images=passes, backward_images=passes),
                )
    return folder


def test_every_comparison_has_the_pictures_that_lead_it_and_no_other_comparisons(
    results: Path,
) -> None:
    contents = Contents.of(results)
    pictures = SitePictures.of(contents)
    assert len(contents.blocks) == 3 and len(contents.main_blocks) == 2
    for block in contents.blocks:
        shown = [each.picture for each in pictures.beside[block.stem]]
        leading = [picture for picture in shown if picture.name in LEADING]
        assert [picture.name for picture in leading] == list(LEADING)
        assert (len(shown) > len(leading)) == (block in contents.main_blocks)
        for picture in leading:
            assert picture.stem == f"{picture.name}-{block.stem}"
            assert set(picture.frame["eval_epsilon"]) == {str(block.eval_threat.epsilon)}


def test_methods_that_figures_show_are_those_of_the_site(results: Path) -> None:
    contents = Contents.of(results, methods=["trades"])
    for found in SitePictures.of(contents).beside.values():
        assert {label for each in found for label in each.picture.frame["label"]} == {"trades"}


def test_a_picture_is_drawn_when_it_is_asked_for(results: Path) -> None:
    contents = Contents.of(results)
    files = PictureFiles(SitePictures.of(contents), contents.style)
    name = next(name for name in files if name.endswith(".png"))
    assert {"strip", "forest"} <= {each.partition("/")[2].partition("-")[0] for each in files}
    assert files[name].startswith(b"\x89PNG") and files[name] is files[name]
    with pytest.raises(KeyError):
        files["files/no-such.png"]


def test_a_report_draws_each_picture_once_for_its_folder_and_its_site(
    results: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    runs = Contents.of(results).runs
    only = {run.record.run_id for run in runs if run.spec.train_examples}
    write_report(results, tmp_path, ["html"], only=only, say=said.append)
    (drawing,) = [line for line in said if line.startswith("drawing ")]
    number = int(drawing.split()[1])
    assert drawing.endswith(f" of {number} pictures; 0 are as they were") and number > 3
    assert stale(results, tmp_path, only=only) == []
    write_report(results, tmp_path, ["html", "figures"], only=only, say=said.append)
    assert said[-1] == f"drawing 0 of {number} pictures; {number} are as they were"
    assert stale(results, tmp_path, only=only) == []
    own = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    for folder in (tmp_path, tmp_path / "site/files"):
        assert {path.suffix for path in folder.glob("strip-*")} == {".png", ".pdf", ".csv"}
    assert len(own) > 3
    for name, data in own.items():
        assert (tmp_path / "site/files" / name).read_bytes() == data
    page = (tmp_path / "site/index.html").read_text("utf-8")
    assert "og:image" not in page  # which is nothing without a whole address
    assert page.count('loading="lazy"') > 1 and "<h3>Further figures</h3>" in page
