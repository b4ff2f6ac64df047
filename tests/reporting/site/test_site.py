"""The files of the site, read without a browser."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files as resources
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote, urlsplit

import matplotlib.pyplot as plt
import numpy as np
import pytest
from support.harness import cli
from support.sites import rankings, site_files
from support.synthetic import make_eval_spec, make_spec, write_run

from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.records import paths
from regmix_bench.records.views import read_views
from regmix_bench.reporting import site
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.looks import looks, luminance
from regmix_bench.reporting.formats.cells import text as cell_text
from regmix_bench.reporting.site.command import command
from regmix_bench.reporting.site.definitions import repository
from regmix_bench.reporting.site.pictures import SitePictures
from regmix_bench.reporting.site.text import file_name, on_dark, passages, script
from regmix_bench.specs import MethodSpec, Recipe, RunSpec, Scoring
from regmix_bench.types import ThreatModel

RESULTS = Path(__file__).parents[3] / "results" / "shipped"
CODE = repository("regmix-bench") or "https://arxiv.org/abs/"
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """Links, ids, inline scripts and the text of table rows; complains of tags left open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.attributes: set[str] = set()
        self.inline: list[str] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(path.read_text("utf-8"))
        assert self.open == [], path

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.attributes |= given.keys()
        self.links += [given[name] or "" for name in ("href", "src") if name in given]
        if given.get("id"):
            self.ids.add(given["id"] or "")
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script" and "src" not in given:
            self.inline.append(given.get("type") or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def parsed(pages: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(pages.rglob("*.html"))}


def test_pages_of_runs_and_methods_begin_with_what_was_found(
    pages: Path, contents: Contents
) -> None:
    for run in contents.runs:
        if run.spec.label != "trades" or run.spec.arch != "smallcnn":
            continue
        text = (pages / "runs" / f"{run.record.run_id}.html").read_text("utf-8")
        held = 100 * (290 + run.spec.seed) / 360
        lead = text.partition("</h1>")[2].partition("<h2")[0]
        assert re.search(rf"{held:.1f} % \[.*\] of 360 test images hold under AutoAttack", lead)
    text = (pages / "methods" / "trades.html").read_text("utf-8")
    lead = text.partition("</h1>")[2].partition("<h2")[0]
    assert re.search(r"rank \d of \d with <strong>\d\d\.\d %</strong> under AutoAttack", lead)
    assert 'href="#results"' in lead and 'id="results"' in text


def test_every_kind_of_page_is_there(pages: Path, contents: Contents) -> None:
    assert {path.name for path in pages.glob("*.html")} == {
        "index.html",
        "runs.html",
        "compare.html",
        "methods.html",
        "tables.html",
    }
    ids = {run.record.run_id for run in contents.runs}
    assert {path.stem for path in (pages / "runs").iterdir()} == ids
    stems = {block.stem for block in contents.blocks}
    assert {path.stem for path in (pages / "comparisons").iterdir()} == stems
    assert {path.stem for path in (pages / "data").iterdir()} == ids | stems | {"comparisons"}
    methods = {run.spec.method.name for run in contents.runs}
    assert len(list((pages / "methods").iterdir())) == len(methods)


def test_every_link_leads_to_a_file_and_every_fragment_to_an_element(
    parsed: dict[Path, Page],
) -> None:
    seen = 0
    for path, page in parsed.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme == "data" or link.startswith(("https://arxiv.org/abs/", CODE)):
                continue
            assert not url.scheme and not url.netloc, (path, link)
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            assert target.is_file(), (path, link)
            if url.fragment and target.name != "compare.html":
                assert unquote(url.fragment) in parsed[target].ids, (path, link)
            seen += 1
    assert seen > 500


def test_pages_hold_no_script_of_their_own(parsed: dict[Path, Page]) -> None:
    for path, page in parsed.items():
        assert page.inline == [], path
        assert not [name for name in page.attributes if name.startswith("on")], path
        assert b"</head>" in path.read_bytes()


def test_a_ranking_says_what_its_table_says(pages: Path, contents: Contents) -> None:
    files = {
        path.relative_to(pages).as_posix(): path.read_bytes() for path in pages.rglob("*.html")
    }
    shown = rankings(files)
    assert shown.keys() == {block.stem for block in contents.blocks}
    rows = 0
    for block in contents.blocks:
        table = contents.comparisons[block.stem]
        ids = [column.id for column in table.columns]
        for row, cells in zip(block.rows, table.rows, strict=True):
            name = contents.looks[row.label].name
            if len(name) > 100 or "<" in name:
                continue
            found = shown[block.stem][name]
            for id in ("clean_acc", "pgd_acc", "autoattack_acc"):
                assert cell_text(cells[ids.index(id)], "mean")[0] in found
            assert all(f"runs/{run.record.run_id}.html" in found for run, _ in row.scores)
            rows += 1
    assert rows > 15


def test_every_page_says_what_it_is(pages: Path, contents: Contents) -> None:
    said, shown = [], set()
    for path in pages.rglob("*.html"):
        head = path.read_text("utf-8").partition("</head>")[0]
        title = re.search("<title>(.+?)</title>", head)
        description = re.search('<meta name="description" content="(.+?)">', head)
        assert title and description and 'rel="icon"' in head, path
        said.append(title[1])
        for image in re.findall('og:image" content="(.+?)"', head):
            assert (pages / image.removeprefix(f"{contents.site_url}/")).is_file(), path
            shown.add(image)
    assert len(set(said)) > len(said) / 3 and len(shown) > 2


def test_two_builds_are_identical(contents: Contents, pages: Path) -> None:
    again = Contents.of(contents.results, site_url=contents.site_url)
    built = dict(site_files(again))
    assert {path.relative_to(pages).as_posix() for path in pages.rglob("*") if path.is_file()} == (
        built.keys()
    )
    assert all((pages / name).read_bytes() == content for name, content in built.items())


def test_building_loads_no_torch(contents: Contents) -> None:
    code = f"""
import sys
from pathlib import Path
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.site import undrawn_files
from regmix_bench.reporting.site.pictures import SitePictures
contents = Contents.of(Path({str(contents.results)!r}))
for _ in undrawn_files(contents, SitePictures.of(contents)): pass
sys.exit("torch._C" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_hostile_names_stay_in_their_folder(pages: Path) -> None:
    names = [path.relative_to(pages).as_posix() for path in pages.rglob("*")]
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]{1,90}", name) for name in names)
    assert all(".." not in name for name in names)


def test_hostile_text_is_escaped_and_cut(pages: Path) -> None:
    for path in (*pages.rglob("*.html"), *pages.glob("data/*.js")):
        text = path.read_text("utf-8")
        assert "<script>window" not in text and "<img src=x" not in text
        # The page of a run alone gives its command and its error in full.
        assert "long" * 400 not in text or path.parent.name == "runs"


def test_an_empty_folder_gets_a_page_that_says_what_to_run(tmp_path: Path) -> None:
    for name, content in site.empty_site():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    page = Page(tmp_path / "index.html")
    assert "regmix-bench run" in (tmp_path / "index.html").read_text()
    links = [link for link in page.links if not link.startswith(("data:", "#"))]
    assert links and all((tmp_path / link).is_file() for link in links)


def test_scores_of_given_models_alone_lead_from_the_first_page_to_their_table(
    tmp_path: Path,
) -> None:
    write_run(tmp_path, make_eval_spec("given"))
    files = dict(site_files(Contents.of(tmp_path)))
    assert b'no methods are ranked. The <a href="tables.html">' in files["index.html"]
    assert b"given" in files["tables.html"]


def test_the_table_of_all_columns_names_methods(pages: Path, contents: Contents) -> None:
    labels = {run.spec.label for run in contents.runs}
    names = {look.name for look in contents.looks.values()}
    first = re.compile(r"<tr>\s*<th scope=\"row\">([^<]*)")
    shown = set(first.findall((pages / "index.html").read_text("utf-8")))
    assert shown & names and not shown & (labels - names)


def test_a_method_page_holds_its_formula_and_its_parameters(pages: Path) -> None:
    text = (pages / "methods/regmix.html").read_text("utf-8")
    assert "L_AGR = γ·KL(p(x) ‖ p(x+δ_final))" in text
    assert re.search(r"<h1>.*RegMix <code>regmix</code></h1>", text)
    assert ">arXiv:2510.05317</a>, as <code>liu2025regmix</code>." in text
    assert "@misc{liu2025regmix," in text
    for reading in ("As to normalisation", "stored prior of FGSM-PGI", "average of weights"):
        assert reading in text
    assert "<td>Epochs between two resets of the prior</td>" in text
    assert "Smoothed labels are seen by the attack and the loss; its authors&#39; labels" in text
    assert "<code>momentum_decay</code></th><td>0.3</td><td>number, ≥ 0, &lt; 1</td>" in text


def test_a_method_that_is_not_installed_says_so(pages: Path) -> None:
    text = (pages / "methods/elsewhere.html").read_text("utf-8")
    assert "Not installed here" in text
    assert "<code>beta</code></th><td>–</td><td>–</td><td>6.0</td>" in text


def test_failed_runs_are_mentioned_and_explained(pages: Path, contents: Contents) -> None:
    failed = [run for run in contents.runs if run.record.status == "error"]
    index = (pages / "index.html").read_text("utf-8")
    assert '<h2 id="failed">Failed runs</h2>' in index
    for run in failed:
        assert f"runs/{run.record.run_id}.html" in index
        assert "<h2>Failed</h2>" in (pages / f"runs/{run.record.run_id}.html").read_text("utf-8")


def test_the_data_of_a_run_is_that_of_its_record(pages: Path, contents: Contents) -> None:
    run = next(run for run in contents.runs if run.record.history)
    text = (pages / f"data/{run.record.run_id}.js").read_text("utf-8")
    data = json.loads(text[text.index(" = {") + 3 : text.rindex(";")])
    assert data["pgd"] == [round(100 * log.val_pgd_acc, 2) for log in run.record.history]
    assert data["raw"] == []  # without an average, which would stand beside it
    (attacked,) = [a for a in data["attacks"] if a["where"] == "selected, L∞ 32/255"][:1]
    assert attacked["names"] == ["clean", "apgd-ce", "apgd-t", "square"]


def test_the_images_of_a_run_are_those_that_it_was_shown(pages: Path, contents: Contents) -> None:
    looked = next(run for run in contents.runs if run.record.views_digest)
    views = read_views(paths.views_path(looked.path), looked.record.views_digest or "")
    strip = plt.imread(pages / f"images/{looked.record.run_id}-0.png")
    assert strip.shape[:2] == (32, 3 * 32 + 2)
    clean, added, adversarial = strip[:, :32, :3], strip[:, 33:65, :3], strip[:, 66:, :3]
    assert clean == pytest.approx(views.image[0].transpose(1, 2, 0), abs=1 / 255)
    assert set(np.unique(added)) == {0.0, 1.0}  # every pixel is moved by ε, magnified to the full
    moved = np.clip(views.image[0] + views.perturbation[0], 0, 1)
    assert adversarial == pytest.approx(moved.transpose(1, 2, 0), abs=1 / 255)
    text = (pages / f"runs/{looked.record.run_id}.html").read_text("utf-8")
    assert "Class 1: predicted 1, under attack 1<" in text
    assert 'Class 2: predicted 2, under attack <strong class="wrong">9 (wrong)</strong>' in text
    without = next(run for run in contents.runs if not run.record.views_digest).record
    assert not list(pages.glob(f"images/{without.run_id}*"))


def varied() -> list[RunSpec]:
    """One specification of each recorded row, and one in which everything is unusual."""
    groups = {run.spec.group_id: run.spec for run in load_runs(RESULTS)}
    odd = make_spec(
        method=MethodSpec(
            name="trades",
            version=1,
            params={
                **{"steps": 7, "step_ratio": 0.25, "attack_bn": "eval"},
                **{"beta": 2.5},
            },
            label="trades[steps=7,beta=2.5]",
        ),
        train_threat=ThreatModel("L2", "0.5"),
        eval_threats=(ThreatModel("L2", "0.25"), ThreatModel("L2", "1")),
        pgd_threats=(ThreatModel("L2", "2"),),
        recipe=Recipe(epochs=3, milestones=(0.5, 0.75), gradient_clip=1.0, nesterov=True),
        scoring=Scoring(
            autoattack_version="custom", attacks=("apgd-ce", "square"), autoattack_seed=3
        ),
        evaluate="both",
        train_examples=500,
        eval_examples=50,
        seed=11,
    )
    screened = make_spec(method=odd.method, scoring=Scoring(autoattack_version="rand", screen=True))
    coarse = make_spec(method=odd.method, scoring=Scoring(search_precision="bf16"))
    return [*groups.values(), odd, screened, coarse]


def test_captions_name_the_attacks_of_the_runs_and_not_autoattack(tmp_path: Path) -> None:
    def captions() -> dict[str, str]:
        contents = Contents.of(tmp_path)
        files = dict(site.undrawn_files(contents, SitePictures.of(contents)))
        pages = (name for name in files if name.startswith(("runs/", "compare.html")))
        return {
            name: match[0]
            for name in pages
            if (match := re.search("Accuracy left after [^,<]*", files[name].decode()))
        }

    after = {"after_attack": {"quick-apgd": 300 / 360}}
    quick = Scoring(autoattack_version="custom", attacks=("quick-apgd",))
    write_run(tmp_path, make_spec(scoring=quick), scored=after)
    assert set(captions().values()) == {"Accuracy left after each attack of quick-apgd"}
    write_run(tmp_path, plain := make_spec(), scored=after)
    found = captions()
    assert found["compare.html"] == "Accuracy left after each attack"
    assert found[f"runs/{plain.run_id}.html"] == "Accuracy left after each attack of AutoAttack"


@pytest.mark.parametrize("spec", varied(), ids=lambda spec: spec.run_id)
def test_the_command_plans_the_very_run(spec: RunSpec, tmp_path: Path) -> None:
    program, *arguments = shlex.split(command(spec, None))
    assert program == "regmix-bench"
    done = cli(*arguments, "--dry-run", "--results", tmp_path)
    assert done.status == 0, done
    assert done.out.startswith("1 run:") and spec.run_id in done.out


@pytest.mark.parametrize("parameters", ["", "[scale=2.0]"])
def test_a_command_says_that_a_method_is_of_a_file(parameters: str) -> None:
    method = MethodSpec(name="x", version=1, params={}, label=f"x{parameters}", code="a" * 12)
    typed = shlex.split(command(make_spec(method=method), "x"))
    assert typed[3] == f"FILE.py:CLASS{parameters}"


def test_a_command_cannot_be_broken_out_of() -> None:
    spec = make_spec(method=MethodSpec(name="x", version=1, params={}, label="x'; rm -rf ~; '"))
    assert shlex.split(command(spec, None))[3] == "x'; rm -rf ~; '"


@pytest.mark.parametrize("text", ["", "..", "a/b", "A", "con\x00", "x" * 10_000, "é", "-x"])
def test_a_file_name_is_one_harmless_component(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,59}", file_name(text))
    assert file_name(text) != file_name(f"{text}!")


def test_a_script_cannot_be_ended_from_inside() -> None:
    text = "</script><!-- & \u2028"
    assert not set("<>&\u2028") & set(script([text]))
    assert json.loads(script([text])) == [text]


def test_a_docstring_becomes_prose_and_formulas() -> None:
    found = passages("""First ``a<b`` of :class:`~x.Y`::

        L = <p>

        M = 1

    Last.
    """)
    assert [(passage.kind, str(passage.text)) for passage in found] == [
        ("prose", "First <code>a&lt;b</code> of <code>x.Y</code>:"),
        ("formula", "L = &lt;p&gt;"),
        ("formula", "M = 1"),
        ("prose", "Last."),
    ]


def test_colours_are_seen_and_told_apart_on_dark_pages() -> None:
    css = resources("regmix_bench.reporting.site").joinpath("static", "site.css").read_text()
    papers = [rgb(match) for match in re.findall(r"--paper: (#\w{6});", css)]
    (dark,) = papers
    groups = [group for cohort in sort_into_cohorts(load_runs(RESULTS)) for group in cohort.groups]
    light = sorted({look.colour for look in looks(groups).values()})
    assert len(light) >= 11
    shown = [rgb(on_dark(colour)) for colour in light]
    assert on_dark("#000000") == "#ffffff" and on_dark("#56B4E9") == "#56b4e9"
    for colour in shown:
        assert (luminance(colour) + 0.05) / (luminance(dark) + 0.05) >= 3
    for one, other in combinations(range(len(light)), 2):
        apart = np.linalg.norm(rgb(light[one]) - rgb(light[other]))
        assert np.linalg.norm(shown[one] - shown[other]) > min(0.18, 0.8 * apart)


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])


def test_every_installed_method_has_a_formula(pages: Path) -> None:
    for name in ("standard", "pgd-at", "trades", "regmix"):
        text = (pages / f"methods/{name}.html").read_text("utf-8")
        assert re.search(r'<math [^>]*alttext="L = CE', text), name


def test_the_index_of_methods_has_formulas_papers_and_code(pages: Path) -> None:
    text = (pages / "methods.html").read_text("utf-8")
    (row,) = re.findall(r"<tr>(?:(?!</tr>).)*TRADES</a>.*?</tr>", text, re.DOTALL)
    assert 'href="methods/trades.html"' in row and "<msub>" not in row and "<mi>KL</mi>" in row
    assert 'href="https://arxiv.org/abs/1901.08573"' in row and "regmix_baselines.trades" in row
    assert "@misc{liu2025regmix," in text and "@misc{regmix-bench," in text


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        (["Homepage, https://a.org", "Source Code, https://b.org/x"], "https://b.org/x"),
        (["repository, javascript:harm()"], ""),
        ([], ""),
    ],
)
def test_code_is_linked_where_a_package_says_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, urls: list[str], found: str
) -> None:
    lines = ["Metadata-Version: 2.1", "Name: planted", *(f"Project-URL: {url}" for url in urls)]
    (tmp_path / "planted-1.0.dist-info").mkdir()
    (tmp_path / "planted-1.0.dist-info/METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert repository("planted") == found and repository("no-such-package") == ""


def test_signs_are_explained_below_the_ranking_that_has_them(pages: Path) -> None:
    text = (pages / "index.html").read_text("utf-8")
    assert "†&nbsp;scoring raised a warning" in text and "‡&nbsp;training overfitted" in text
    assert "§&nbsp;" not in text
