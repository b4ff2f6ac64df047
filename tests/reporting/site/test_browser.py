"""The site in a browser: from disk, and as `regmix-bench serve` shows it."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from support.histories import planted_history
from support.sites import write_site
from support.synthetic import make_spec, write_run

from regmix_bench.records.alarms import alarms_of
from regmix_bench.records.locks import run_lock
from regmix_bench.records.paths import artifacts_dir
from regmix_bench.records.progress import Progress
from regmix_bench.records.running import GridFile, StatusFile
from regmix_bench.records.schema import EpochLog
from regmix_bench.records.words import spec_words
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.cells import short
from regmix_bench.reporting.formats.latex_text import tex
from regmix_bench.reporting.site.server import Server, Site

WIDTHS, SCHEMES = (380, 1280), ("light", "dark")


@pytest.fixture
def opened(browser: Any, pages: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page of the site from disk; at the end, no page may have complained or called out."""
    contexts: dict[tuple[int, str], Any] = {}
    complaints: list[str] = []

    def open_(name: str, width: int = 1280, scheme: str = "light", root: str = "") -> Any:
        key = (width, scheme)
        if key not in contexts:
            window = {"width": width, "height": 900}
            contexts[key] = browser.new_context(viewport=window, color_scheme=scheme)
        root = root or pages.as_uri()
        page = contexts[key].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.extend(_outside(request.url, root)))
        page.on("requestfailed", lambda request: complaints.extend(_failed(request)))
        page.goto(f"{root}/{name}")
        return page

    yield open_
    for context in contexts.values():
        context.close()
    assert complaints == []


def _failed(request: Any) -> list[str]:
    """What could not be had; what was on its way when a page was left or closed is no loss."""
    own = request.resource_type == "image" or request.url.endswith("/_state.json")
    left = own and request.failure == "net::ERR_ABORTED"
    return [] if left else [request.url]


def _outside(url: str, root: str) -> list[str]:
    return [] if url.startswith((f"{root}/", "data:", "blob:")) else [url]


def kinds(pages: Path, contents: Contents) -> dict[str, str]:
    """One page of every kind, hostile ones among them."""
    runs = [run for run in contents.runs if run.record.status == "success"]
    hostile = next(run for run in runs if run.spec.label.startswith("<script>")).record
    failed = next(run for run in contents.runs if run.record.status == "error").record
    alarmed = next(run for run in runs if alarms_of(run.record)).record
    method = next((pages / "methods").glob("script*"))
    return {
        "index": "index.html",
        "comparison": f"comparisons/{contents.blocks[-1].stem}.html",
        "runs": "runs.html",
        "run": f"runs/{alarmed.run_id}.html",
        "failed run": f"runs/{failed.run_id}.html",
        "methods": "methods.html",
        "method": "methods/regmix.html",
        "hostile method": f"methods/{method.name}",
        "compare": f"compare.html#{alarmed.run_id},{hostile.run_id}",
        "compared rows": _rows(contents),
    }


def _rows(contents: Contents) -> str:
    """The address of all rows of the largest comparison."""
    block = max(contents.blocks, key=lambda block: len(block.rows))
    rows = [("row", short(row.label, 200)) for row in block.rows]
    return f"compare.html#{urlencode([('c', block.stem), *rows])}"


def settle(page: Any) -> None:
    """Wait until charts and tables stand."""
    for waits, done in (
        ("th[data-sort]:visible", "th[data-sort] button:visible"),
        (".chart[data-runs]:visible", ".chart svg[role]"),
    ):
        if page.locator(waits).count():
            page.wait_for_selector(done)


def column(page: Any, title: str) -> list[str]:
    """The texts of a column of the table that is shown."""
    table = page.locator("table.board:visible")
    headers = [text.strip() for text in table.locator("thead th").all_text_contents()]
    place = headers.index(title) + 1
    cells = table.locator(f"tbody tr > :nth-child({place})").all_inner_texts()
    return [text.strip() for text in cells]


def numbers(texts: list[str]) -> list[float]:
    return [float(re.split("[^0-9.]", text)[0]) for text in texts]


def sorted_by(page: Any, title: str, order: str) -> list[float]:
    """The numbers of a column once its table is sorted by it."""
    page.locator(f"th[aria-sort={order}]:visible", has_text=title).wait_for()
    return numbers(column(page, title))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_kind_of_page_fits_and_is_accessible(
    opened: Callable[..., Any], pages: Path, contents: Contents, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # Else it asks for the style sheet, which a page opened from disk may not.
    options: dict[str, Any] = {"preload": False, "resultTypes": ["violations"]}
    # Each width and each scheme once with every page, else with the three that differ most; nor do
    # colours, the slowest rule by far, depend on the width.
    whole = (width == 1280) == (scheme == "light")
    options["rules"] = {"color-contrast": {"enabled": whole}}
    for kind, name in kinds(pages, contents).items():
        if not whole and kind not in ("index", "run", "compare"):
            continue
        page = opened(name, width, scheme)
        settle(page)
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{kind} is {wider} px wider than the window"
        assert page.evaluate("window.harmed") is None
        found = [
            f"{kind}: {violation['id']}: {node['html'][:200]}"
            for violation in axe.run(page, options=options).response["violations"]
            for node in violation["nodes"]
        ]
        assert found == []
        page.close()


def test_pages_work_under_the_policy_they_are_served_with(
    opened: Callable[..., Any], pages: Path, contents: Contents
) -> None:
    with served(contents.results) as server:
        for name in kinds(pages, contents).values():
            page = opened(name, root=server.url.rstrip("/"))
            settle(page)
            page.close()


def test_a_page_is_shown_anew_when_a_record_arrives_as_it_was_left(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    for label in ("trades", "mart"):
        write_run(tmp_path, make_spec(label))
    with served(tmp_path) as server:
        page = opened("index.html", root=server.url.rstrip("/"))
        page.get_by_label("Search").fill("trades")
        write_run(tmp_path, make_spec("trades", seed=1))
        assert server.site.refresh()
        page.locator("a[aria-label^='TRADES, seed 1']").wait_for()
        assert len(column(page, "Method")) == 1 and page.get_by_label("Search").input_value()
        page.close()


@contextmanager
def served(results: Path) -> Iterator[Server]:
    with Server(0) as server:
        server.site = Site(results)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_run_is_watched_from_waiting_to_its_place_in_the_table(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    """What a visitor has searched for stays; names and reasons are text, whatever they hold."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    write_run(tmp_path, make_spec("trades"))
    spec, hostile = make_spec("mart"), "<img src=x onerror=alert(1)>"
    progress = Progress(stage="training", epoch=3, epochs=4, epoch_share=0.5, share=0.25)
    grid = GridFile(tmp_path, {spec.run_id: spec_words(spec), "other": hostile})
    with served(tmp_path) as server:
        page = opened("index.html?q=mart", width=380, root=server.url.rstrip("/"))
        heading, entries = page.locator(".under-way h2"), page.locator(".under-way li")

        def shows(words: str, entry: str = "") -> None:
            server.site.watch()
            heading.filter(has_text=words).wait_for()
            entries.filter(has_text=entry).first.wait_for()

        shows("Under way: 2 waiting", hostile)
        grid.begin(spec.run_id)
        with run_lock(tmp_path, spec.run_id, print):
            status = StatusFile(tmp_path, spec, iter(range(0, 99, 2)).__next__)
            status.write(progress)
            shows("1 running, 1 waiting", "training, epoch 3 of 4")
            assert page.locator(".under-way progress").get_attribute("value") == "0.25"
            logs = artifacts_dir(tmp_path, spec.run_id) / "train.jsonl"
            for epochs in (1, 2):
                lines = [f"{log(epoch + 1).model_dump_json()}\n" for epoch in range(epochs)]
                logs.write_text("".join(lines))
                server.site.watch()
                page.locator(f".under-way svg[aria-label*='After {epochs} of 4 epochs']").wait_for()
            attack = {"threat": "8/255", "attack": "square", "images": 340, "images_done": 20}
            status.write(Progress(stage="scoring", share=0.75, seconds_left=9999.0, **attack))
            shows("1 running, 1 waiting", "square at 8/255: 20 of 340 images")
            assert axe.run(page).response["violations"] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 380
        grid.begin("other")
        grid.end("other", f"{hostile} is no data")
        shows("1 failed", f"{hostile} is no data")
        write_run(tmp_path, spec)
        status.remove()
        grid.end(spec.run_id, None)
        grid.close()
        server.site.watch()
        assert server.site.refresh()
        page.locator("table.board tbody tr", has_text="MART").wait_for()
        page.locator(".under-way").wait_for(state="detached")
        assert page.get_by_label("Search").input_value() == "mart"
        page.close()


def log(epoch: int) -> EpochLog:
    accuracies = {"val_clean_acc": 0.9, "val_fgsm_acc": 0.7, "val_pgd_acc": 0.6}
    return EpochLog(epoch=epoch, lr=0.1, loss=1.0, seconds=1.0, **accuracies)


def test_a_click_sorts_and_another_turns_it_round(opened: Callable[..., Any]) -> None:
    page = opened("index.html")
    before = numbers(column(page, "Clean"))
    assert numbers(column(page, "AutoAttack")) == sorted(numbers(column(page, "AutoAttack")))[::-1]
    page.get_by_role("button", name="PGD-20").click()
    down = sorted_by(page, "PGD-20", "descending")
    assert down == sorted(down, reverse=True)
    page.get_by_role("button", name="PGD-20").click()
    assert sorted_by(page, "PGD-20", "ascending") == sorted(down) != down
    page.get_by_role("button", name="PGD-20").click()
    page.wait_for_function("!document.querySelector('th[aria-sort]')")
    assert numbers(column(page, "Clean")) == before


def test_the_keyboard_sorts(opened: Callable[..., Any]) -> None:
    page = opened("index.html")
    page.get_by_role("button", name="Clean").focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "2px"
    page.keyboard.press("Enter")
    found = sorted_by(page, "Clean", "descending")
    assert found == sorted(found, reverse=True)
    assert page.locator("th[aria-sort]:visible").count() == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_one_comparison_is_shown_and_another_chosen(opened: Callable[..., Any], width: int) -> None:
    page = opened("index.html", width)
    shown = page.locator("[data-comparison]")
    assert shown.count() == 1 and len(column(page, "Method")) == 8
    choose(page, "Data", "digits, resnet8")
    assert shown.count() == 1 and len(column(page, "Method")) == 4
    choose(page, "Threat", "trained L∞ 32/255, attacked L∞ 48/255")
    assert f"/comparisons/{shown.get_attribute('id')}.html" in page.url
    assert "48/255" in shown.locator("h2").inner_text()
    # What no comparison has together with the rest is found nevertheless.
    choose(page, "Data", "digits, smallcnn")
    assert len(column(page, "Method")) == 8
    assert page.get_by_role("combobox", name="Threat").input_value() == "L∞ 32/255"


def choose(page: Any, name: str, value: str) -> None:
    """Choose a comparison by one of its features, and wait for its page."""
    before = page.url
    page.get_by_role("combobox", name=name).select_option(value)
    page.wait_for_url(lambda url: url != before)
    page.locator("[data-choice]:visible").wait_for()


def test_an_address_of_the_front_page_holds_its_comparison_when_another_leads(
    opened: Callable[..., Any], contents: Contents
) -> None:
    stem = next(
        block.stem for block in contents.blocks if block.eval_threat != block.cohort.train_threat
    )
    page = opened("index.html")
    leading = page.locator("[data-comparison]").get_attribute("id")
    page.get_by_label("Search").fill("a")
    page.wait_for_url(lambda url: f"c={leading}" in url)
    assert leading != stem
    page.goto(page.url.replace(leading, stem))
    page.wait_for_url(f"**/comparisons/{stem}.html?q=a")
    assert page.locator("[data-comparison]").get_attribute("id") == stem
    page.goto(f"{page.url.partition('/comparisons')[0]}/index.html?c=no-such")
    assert page.locator("[data-comparison]").get_attribute("id") == leading


def test_the_search_finds_a_method(opened: Callable[..., Any]) -> None:
    page = opened("index.html")
    page.get_by_label("Search").fill("trades")
    (name,) = column(page, "Method")
    assert name.startswith("TRADES")
    page.get_by_label("Search").fill("no such thing")
    assert page.get_by_text("No row fits").is_visible()


def test_a_seed_leads_to_its_run(opened: Callable[..., Any]) -> None:
    page = opened("index.html")
    page.locator("a[aria-label^='TRADES, seed 1']:visible").first.click()
    assert page.get_by_role("heading", level=1).inner_text() == "TRADES, seed 1"
    page.wait_for_selector(".chart svg[role]")
    assert page.locator(".chart svg[role]").count() > 0


def test_two_rows_side_by_side_and_their_seeds_below(opened: Callable[..., Any]) -> None:
    page = opened("index.html")
    for name in ("pgd-at", "TRADES"):
        page.get_by_role("checkbox", name=re.compile(f"Choose {name}.*, digits-smallcnn")).check()
    assert page.get_by_text("4 runs chosen").is_visible()
    page.get_by_role("link", name="Compare", exact=True).last.click()
    heads = page.locator("#accuracies thead th")
    heads.first.wait_for()
    names = heads.all_inner_texts()
    assert len(names) == 2 and names[0].startswith("TRADES")
    row = page.locator("#accuracies tbody tr", has_text="AutoAttack").first
    shown = [text.split()[0] for text in row.locator("td").all_inner_texts()]
    assert shown == [f"{100 * (k + 0.5) / 360:.1f}" for k in (290, 280)]
    (line,) = page.locator("#pairs tbody tr").all_inner_texts()
    share = [f"{100 * k / 360:.1f} %" for k in (280.5, 0, 10, 69.5)]
    assert line.split("\t")[1:] == ["−2.8", "–", "–", "too few seeds", *share]
    for chart, lines in {"curves": 2, "clean": 2, "attacks": 2}.items():
        assert page.locator(f"[data-chart={chart}] .line").count() == lines
    assert page.locator("[data-chart=classes] .mark").count() > 20
    assert not page.locator("#facts").is_visible()
    again = opened(page.url.rpartition("/")[2])
    assert again.locator("#accuracies thead th").all_inner_texts() == names
    again.close()
    heads.first.get_by_role("link").click()
    page.get_by_text("2 runs", exact=True).wait_for()
    assert heads.all_inner_texts() == ["TRADES, seed 0", "TRADES, seed 1"]
    entries = page.locator("[data-chart=curves] .legend li")
    assert entries.all_text_contents() == ["TRADES, seed 0", "TRADES, seed 1"]
    assert page.locator("#facts").is_visible() and not page.locator("#pairs").is_visible()


def test_runs_of_two_methods_side_by_side(opened: Callable[..., Any], contents: Contents) -> None:
    ids = [
        run.record.run_id
        for name in ("trades", "pgd-at")
        for run in contents.runs
        if run.spec.label == name and run.spec.arch == "smallcnn"
    ]
    page = opened(f"compare.html#{','.join(ids)}")
    page.wait_for_selector("#accuracies tbody tr")
    heads = page.locator("#accuracies thead th").all_inner_texts()
    assert heads == [f"{name}, seed {seed}" for name in ("TRADES", "pgd-at") for seed in (0, 1)]
    row = page.locator("#accuracies tbody tr", has_text="AutoAttack").first
    shown = [text.split()[0] for text in row.locator("td").all_inner_texts()]
    assert shown == [f"{100 * k / 360:.1f}" for k in (290, 291, 280, 281)]
    differing = page.locator("#facts tr.differs th").all_inner_texts()
    assert differing[:1] == ["Row"] and "Seed" in differing and "Recipe" not in differing
    entries = page.locator("[data-chart=curves] .legend li")
    assert entries.all_text_contents() == ["TRADES, 2 seeds", "pgd-at, 2 seeds"]


def test_facts_of_unlike_methods_stand_where_each_has_them(
    opened: Callable[..., Any], contents: Contents
) -> None:
    runs = {run.spec.label: run.record.run_id for run in contents.runs}
    page = opened(f"compare.html#{runs['standard']},{runs['../../../harm']}")
    page.wait_for_selector("#facts tbody tr")
    names = page.locator("#facts tbody th").all_inner_texts()
    place = names.index("Checkpoint")
    assert names[place : place + 3] == ["Checkpoint", "Scoring", "Seed"]
    assert names.index("· beta") == 2


def test_a_page_loaded_anew_is_as_it_was_left(opened: Callable[..., Any]) -> None:
    page = opened("index.html")
    choose(page, "Data", "digits, resnet8")
    page.get_by_label("Search").fill("trades")
    page.get_by_role("button", name="Clean").click()
    sorted_by(page, "Clean", "descending")
    page.locator("[aria-label^='Choose TRADES']:visible").check()
    before = column(page, "Method")
    page.reload()
    assert column(page, "Method") == before and len(before) == 1
    assert page.get_by_role("combobox", name="Data").input_value() == "digits, resnet8"
    assert page.get_by_label("Search").input_value() == "trades"
    assert page.locator("th[aria-sort=descending]:visible").inner_text().startswith("Clean")
    assert page.get_by_text("2 runs chosen").is_visible()
    page.get_by_label("Search").fill("")
    assert len(column(page, "Method")) == 4


def test_a_long_table_has_pages(opened: Callable[..., Any], tmp_path: Path) -> None:
    for seed in range(120):
        write_run(tmp_path / "results", make_spec("trades", seed=seed), outcomes=False)
    folder = write_site(tmp_path / "site", Contents.of(tmp_path / "results"))
    page = opened("runs.html", root=folder.as_uri())
    assert len(column(page, "Run")) == 50 and page.get_by_text("Page 1 of 3, 120 rows").is_visible()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    assert column(page, "Seed") == [str(seed) for seed in range(100, 120)]
    page.get_by_role("button", name="Seed").click()
    assert column(page, "Seed")[0] == "119"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(column(page, "Run")) == 120


def test_charts_fit_the_paper(opened: Callable[..., Any], contents: Contents) -> None:
    page = opened(f"runs/{some_run(contents, 'regmix')}.html", width=1400)
    settle(page)
    texts = "document.querySelector('.chart svg[role]').viewBox.baseVal.width"
    assert page.evaluate(texts) > 480
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(texts) == 480
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(texts) > 480


def some_run(contents: Contents, label: str) -> str:
    return next(run.record.run_id for run in contents.runs if run.spec.label == label)


def test_a_chart_tells_values_to_pointer_and_keyboard(
    opened: Callable[..., Any], contents: Contents
) -> None:
    page = opened(f"runs/{some_run(contents, 'regmix')}.html")
    settle(page)
    chart = page.locator("[data-chart=curves]")
    picture, tip = chart.locator("svg[role]"), chart.get_by_role("status")
    assert tip.inner_text() == ""
    picture.scroll_into_view_if_needed()
    place = picture.locator(".mark").first.bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2 + 1)
    assert set(tip.inner_text().splitlines()) == {
        "epoch 4",
        *("clean: 87.5 %", "FGSM: 70.0 %", "PGD-10: 60.0 %", "selected: 60.0 %"),
    }
    page.mouse.move(0, 0)
    assert tip.inner_text() == ""
    picture.focus()
    page.keyboard.press("ArrowRight")
    assert tip.inner_text().splitlines()[:2] == ["epoch 1", "clean: 50.0 %"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert tip.inner_text().splitlines()[:2] == ["epoch 2", "FGSM: 60.0 %"]


def test_a_chart_is_downloaded_as_what_it_draws(
    opened: Callable[..., Any], contents: Contents
) -> None:
    with served(contents.results) as server:
        name = f"compare.html#{some_run(contents, 'regmix')},{some_run(contents, '=cmd()')}"
        page = opened(name, root=server.url.rstrip("/"))
        settle(page)
        with page.expect_download() as waiting:
            page.locator("[data-chart=loss]").get_by_role("link", name="CSV").click()
        frame = pd.read_csv(waiting.value.path())
        page.close()
    one, other = frame["series"].unique()
    assert one.startswith("RegMix") and other.startswith("'=cmd()")
    assert list(frame["x"]) == [1, 2, 3, 4, 5, 6] * 2
    losses = [float(f"{2 / epoch:.5g}") for epoch in range(1, 7)]
    assert list(frame["y"]) == pytest.approx(losses * 2)


def test_an_entry_of_a_legend_hides_what_it_names(
    opened: Callable[..., Any], contents: Contents
) -> None:
    ids = [some_run(contents, label) for label in ("regmix", "pgd-at")]
    page = opened(f"compare.html#{','.join(ids)}")
    settle(page)
    chart = page.locator("[data-chart=attacks]")
    assert chart.locator(".line").count() == 2
    button = chart.get_by_role("button", name="regmix")
    button.press("Enter")
    assert chart.locator(".line").count() == 1
    assert button.get_attribute("aria-pressed") == "false"
    assert page.evaluate("document.activeElement.textContent") == button.inner_text()
    loss = "[data-chart=loss] .line"
    assert page.locator(loss).count() == 1
    other = opened(page.url[page.url.index("compare.html") :])
    settle(other)
    assert other.locator(loss).count() == 1
    button.press("Enter")
    assert chart.locator(".line").count() == 2 and "hide" not in page.url


def test_an_address_leads_to_the_very_view(opened: Callable[..., Any]) -> None:
    page = opened("index.html")
    choose(page, "Data", "digits, resnet8")
    page.get_by_label("Search").fill("a")
    page.get_by_role("button", name="Clean").click()
    page.locator("th[aria-sort=descending]:visible").wait_for()
    page.locator("[aria-label^='Choose TRADES']").check()
    shown = column(page, "Method")
    assert len(shown) > 1
    other = opened(page.url[page.url.index("comparisons/") :])
    settle(other)
    assert column(other, "Method") == shown
    assert other.get_by_role("combobox", name="Data").input_value() == "digits, resnet8"
    assert other.get_by_label("Search").input_value() == "a"
    assert other.locator("th[aria-sort=descending]:visible").inner_text().startswith("Clean")
    assert other.locator("[aria-label^='Choose TRADES']").is_checked()
    other.get_by_role("button", name="Clear").click()
    assert "row=" not in other.url and not other.get_by_text("runs chosen").is_visible()


def test_the_back_button_goes_back_a_choice(opened: Callable[..., Any]) -> None:
    page = opened("index.html")
    data = page.get_by_role("combobox", name="Data")
    first, before = data.input_value(), column(page, "Method")
    choose(page, "Data", "digits, resnet8")
    page.get_by_label("Search").fill("trades")
    assert len(column(page, "Method")) == 1
    page.go_back()
    assert data.input_value() == first != "digits, resnet8"
    assert column(page, "Method") == before and page.get_by_label("Search").input_value() == ""
    page.go_forward()
    assert data.input_value() == "digits, resnet8" and len(column(page, "Method")) == 1


def test_each_format_of_table_and_figure_is_downloaded_and_read(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    for name, right in {"pgd-at": 280, "trades": 300}.items():
        for seed in range(3):
            spec = make_spec(name, seed=seed)
            history = planted_history([0.3, 0.5])
            write_run(tmp_path, spec, autoattack=right + seed, reference="pgd-at", history=history)
    contents = Contents.of(tmp_path)
    with served(tmp_path) as server:
        page = opened("index.html", root=server.url.rstrip("/"))

        def fetched(name: str) -> bytes:
            with page.expect_download() as waiting:
                page.get_by_role("link", name=re.compile(name)).locator(
                    "visible=true"
                ).first.click()
            return Path(waiting.value.path()).read_bytes()

        stem = page.locator("[data-comparison]").get_attribute("id")
        table = contents.comparisons[stem]
        means = [row[[c.id for c in table.columns].index("clean_acc")].value for row in table.rows]
        frame = pd.read_csv(io.BytesIO(fetched("^Ranking: .* as CSV")))
        assert list(frame["clean_acc"]) == pytest.approx(means)
        read = json.loads(fetched("^Ranking: .* as JSON"))["tables"][stem]["rows"]
        assert [row["clean_acc"]["value"] for row in read] == means
        assert f"\\label{{tab:{stem}}}".encode() in fetched("^Ranking: .* as LaTeX")
        assert fetched("^Figure forest.* as PDF").startswith(b"%PDF-")
        assert fetched("^Figure forest.* as PNG").startswith(b"\x89PNG")
        drawn = pd.read_csv(io.BytesIO(fetched("^Figure forest.* as CSV")))
        assert len(drawn) > 1
        page.goto(f"{server.url}runs.html")
        runs = pd.read_csv(io.BytesIO(fetched("Accuracies of all runs as CSV")))
        assert set(runs["seed"]) >= {0, 1}
        page.goto(f"{server.url}runs/{contents.runs[0].record.run_id}.html")
        page.wait_for_selector(".chart svg[role]")
        picture = ElementTree.fromstring(fetched(" as SVG$"))
        texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert "validation accuracy (%)" in texts and not list(picture.iter("{*}script"))
        for _ in range(2):  # it is made anew each time
            chart = plt.imread(io.BytesIO(fetched("[^)] as PNG$")), format="png")
            assert chart.shape[1] == 2 * round(float(picture.attrib["width"])) and chart.std() > 0
        page.goto(f"{server.url}compare.html#c={stem}&row=pgd-at&row=trades")
        relation = contents.standings[stem].verdicts["trades"].relation
        said = f"TRADES is {relation} than PGD-AT under AutoAttack. 2 rows."
        page.locator("#status", has_text=said).wait_for()
        page.close()


def test_a_table_of_a_run_of_a_method_and_of_a_comparison_is_downloaded_as_it_is_shown(
    opened: Callable[..., Any], contents: Contents
) -> None:
    run = some_run(contents, "=cmd()")
    for name, table in {
        f"runs/{run}.html": f"accuracy-{run}",
        "methods/trades.html": "trades-results",
        _rows(contents): "compare-accuracies",
    }.items():
        page = opened(name)
        frame = page.locator(f".scroll:has([data-files='{table}'])")
        frame.locator("tbody tr").first.wait_for()
        head, *rows = [
            row.locator("th:not(.pick), td:not(.pick)").all_inner_texts()
            for row in frame.locator("tr").all()
        ]
        links = frame.locator("xpath=following-sibling::p[@class='files'][1]").get_by_role("link")
        texts = []
        for link in links.all():
            with page.expect_download() as waiting:
                link.click()
            texts.append(Path(waiting.value.path()).read_text("utf-8"))
        as_csv, as_json, as_latex = texts
        frames = pd.read_csv(io.StringIO(as_csv), dtype=str, keep_default_na=False)
        assert len(frames) == len(json.loads(as_json)) == len(rows)
        said = frames.columns[0 if head[0] else 1]
        assert said.split() == (head[0] or head[1]).split()
        first = [str(text).lstrip("'") for text in frames.iloc[:, 0]]
        assert [text.split() for text in first] == [row[0].split() for row in rows]
        assert as_latex.count("\\\\") == len(rows) + 1
        assert not re.search(r"(?<![\\$])[_#%]", as_latex)  # but for $_\infty$
        page.close()


def test_a_button_copies_a_command(opened: Callable[..., Any], contents: Contents) -> None:
    page = opened(f"runs/{some_run(contents, 'regmix')}.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy: Command").click()
    page.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("pre.command").inner_text()
    assert copied.startswith("regmix-bench run")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"0123456789ab,{json.dumps('<b>')}", "0 runs; 2 that"),
        ("%E0%A4%A,%", "0 runs; 2 that"),
        ("c=constructor&row=a&row=__proto__", "0 rows; 2 that"),
        ("c=../../harm&row=<img src=x>", "0 rows; 1 that"),
    ],
)
def test_a_comparison_of_what_is_not_there_says_so(
    browser: Any, pages: Path, address: str, said: str
) -> None:
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{pages.as_uri()}/compare.html#{address}")
    page.get_by_text(said).wait_for()
    assert errors == []
    page.close()


def test_text_is_written_for_latex_as_elsewhere(opened: Callable[..., Any]) -> None:
    page = opened("compare.html")
    letters = map(chr, (*range(0x20, 0x7F), *range(0xA0, 0x400), *range(0x2010, 0x2270)))
    texts = [*(f"x{letter}y" for letter in letters), "a--b'',, x", "=cmd()", "[x] β = 6", "日本"]
    written = page.evaluate("(texts) => texts.map((text) => files.latex([[text]]))", texts)
    assert [one.split("\n")[2].removesuffix(" \\\\") for one in written] == [*map(tex, texts)]


def test_rows_are_readable_without_scripts(browser: Any, pages: Path, contents: Contents) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{pages.as_uri()}/index.html")
    assert page.locator("table.board tbody tr:visible").count() == 8
    links = page.locator("ul.comparisons a:visible")
    assert links.count() == len(contents.blocks)
    assert not page.get_by_label("Search").is_visible()
    links.last.click()
    assert page.locator("table.board tbody tr:visible").count() > 0
    context.close()
