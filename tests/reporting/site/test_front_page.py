"""The front page as a visitor first sees it: the sentence, both pictures and the first row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.histories import planted_history
from support.hostile import SCRIPT
from support.sites import write_site
from support.synthetic import make_spec, write_run

from regmix_bench.methods import METHODS
from regmix_bench.records.schema import Cost
from regmix_bench.reporting.contents import Contents
from regmix_bench.specs import MethodSpec, Recipe

IMAGES = 1000


def study(results: Path, methods: int) -> None:
    """Three seeds of so many methods, all with verdicts, and one of them hostile."""
    others = [name for name in METHODS.names() if name not in ("pgd-at", "regmix")]
    names = ["pgd-at", "regmix", SCRIPT, *others]
    for place, name in enumerate(names[:methods]):
        params = {"clip_start": False} if name == "regmix" else {}
        passes = (2 + place) * IMAGES // 2
        for seed in range(3):
            write_run(
                results,
                make_spec(
                    method=MethodSpec(name=name, version=1, params=params, label=name),
                    recipe=Recipe(epochs=1, true_class_mass=0.6, ema_decay=0.9),
                    seed=seed,
                ),
                autoattack=240 + 3 * (place % 9) + seed,
                reference="pgd-at",
                history=planted_history([0.5]),
                n_train=IMAGES,
                training_cost=Cost(seconds=60.0, forward_images=passes, backward_images=passes),
            )


@pytest.mark.parametrize("methods", [3, 25])
def test_the_first_window_holds_the_claim_both_pictures_and_a_row(
    browser: Any, tmp_path: Path, methods: int
) -> None:
    study(tmp_path / "results", methods)
    folder = write_site(tmp_path / "site", Contents.of(tmp_path / "results"))
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{folder.as_uri()}/index.html")
    seen = {
        "sentence": page.locator("p.headline:visible"),
        "forest": page.locator(".pictures figure:visible").nth(0),
        "cost": page.locator(".pictures figure:visible").nth(1),
        "row": page.locator("table.board:visible tbody tr").first,
    }
    for what, element in seen.items():
        box = element.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 1000, what
        assert box["x"] >= 0 and box["x"] + box["width"] <= 1280, what
    board = page.locator(".scroll:visible").first
    assert board.evaluate("scroll => scroll.scrollWidth <= scroll.clientWidth")
    assert re.match(r"RegMix is .* under AutoAttack", seen["sentence"].inner_text())
    assert page.locator(".pictures svg text").count() > methods
    assert page.evaluate("window.harmed") is None
    assert "<script>window" not in (folder / "index.html").read_text("utf-8")
    page.close()


def test_the_head_tells_others_what_the_page_is(tmp_path: Path) -> None:
    study(tmp_path / "results", 3)
    address = "https://example.org/board"
    contents = Contents.of(tmp_path / "results", site_url=address)
    folder = write_site(tmp_path / "site", contents)
    head = (folder / "index.html").read_text("utf-8").partition("</head>")[0]
    title = re.search(r"<title>(.*?)</title>", head)
    description = re.search(r'<meta name="description" content="(.*?)">', head)
    assert title and title[1].startswith("RegMix is ")
    assert description and "The difference is " in description[1]
    for page in folder.rglob("*.html"):
        preview = re.search('og:image" content="(.*?)">', page.read_text("utf-8"))
        assert preview and preview[1].startswith(f"{address}/files/forest-"), page
        assert (folder / preview[1].removeprefix(f"{address}/")).read_bytes().startswith(b"\x89PNG")
    assert 'href="data:image/svg+xml,' in head
