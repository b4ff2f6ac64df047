from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from support.tables import texts

from regmix_bench.errors import UserError
from regmix_bench.reporting.report import stale, write_report
from regmix_bench.reporting.tables import published
from regmix_bench.reporting.tables.published import Published
from regmix_bench.types import ThreatModel

TEXT = ("latex", "markdown", "csv")
ENTRY = {
    "label": "AT [theirs]",
    "dataset": "digits",
    "threat": {"norm": "Linf", "epsilon": "64/510"},
    "arch": "resnet",
    "clean": 87.14,
    "robust": {"AutoAttack": 44.04},
    "source": "Somebody 2018",
    "url": "https://example.org/1",
}


def put(results: Path, *entries: dict) -> Path:
    results.mkdir(exist_ok=True)
    path = results / published.FILE
    path.write_text(yaml.safe_dump(list(entries)))
    return path


@pytest.fixture
def results(record, save):
    grid = ("16/255", "32/255")
    return save(record("trades", eval_eps=grid), record("regmix", autoattack=0.65, eval_eps=grid))


def test_published_rows_stand_beside_ours_and_are_marked(results, tmp_path):
    put(results, ENTRY, ENTRY | {"label": "PGI", "robust": {"PGD-10": 55.26}, "clean": 81.71})
    out = tmp_path / "reports"
    write_report(results, out, TEXT, with_published=True)
    page = (out / "report.md").read_text()
    lines = page.splitlines()
    (theirs,) = [line for line in lines if line.startswith(r"| AT \[theirs\]\* |")]
    ours = lines[lines.index(theirs) - 1]
    assert ours.startswith("| regmix |")
    assert [cell.strip() for cell in theirs.split("|")[2:5]] == ["87.14", "–", "44.04"]
    assert theirs.count("|") == ours.count("|")
    (pgi,) = [line for line in lines if line.startswith(r"| PGI\* |")]
    assert [cell.strip() for cell in pgi.split("|")[2:5]] == ["81.71", "–", "–"]
    (note,) = [line for line in lines if line.startswith(r"- \* Not measured here")]
    names = r"AT \[theirs\] \[resnet\], PGI \[resnet, PGD-10 55.26\]"
    assert note.endswith(f": {names}: Somebody 2018, https://example.org/1.")
    # Published numbers are of the threat that the model was trained under.
    stem = "table-digits-smallcnn-412ab596-Linf-32-255"
    assert "theirs" in (out / f"{stem}.tex").read_text()
    assert "theirs" not in (out / f"{stem}-at-Linf-16-255.tex").read_text()
    assert "Published, not measured here" not in page
    frame = pd.read_csv(out / "published.csv")
    assert frame["percent"].to_list() == [87.14, 44.04, 81.71, 55.26]


def test_no_mark_of_best_goes_to_or_moves_for_a_published_number(results, tmp_path):
    write_report(results, tmp_path / "without", TEXT)
    put(results, ENTRY | {"robust": {"AutoAttack": 99.0}})
    write_report(results, tmp_path / "with", TEXT, with_published=True)
    page = (tmp_path / "with" / "report.md").read_text()
    for line in (tmp_path / "without" / "report.md").read_text().splitlines():
        assert line in page
    assert "| 99.00 |" in page and "**99.00**" not in page


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "cifar10"},
        {"threat": {"norm": "Linf", "epsilon": "8/255"}},
        {"threat": {"norm": "L2", "epsilon": "32/255"}},
    ],
)
def test_what_fits_no_table_has_one_of_its_own(results, tmp_path, other):
    entry = ENTRY | other
    put(results, entry, entry | {"label": "PGI", "robust": {"PGD-10": 55.26}})
    out = tmp_path / "reports"
    write_report(results, out, TEXT, with_published=True)
    threat = ThreatModel(**entry["threat"])
    stem = f"published-{entry['dataset']}-{threat.norm}-{threat.epsilon.slug}"
    page = (out / "report.md").read_text()
    before, _, chapter = page.partition("## Published, not measured here\n")
    assert "theirs" not in before
    assert "| Method | Arch | Clean | AutoAttack | PGD-10 |" in chapter
    assert r"| AT \[theirs\]\* | resnet | 87.14 | 44.04 | – |" in chapter
    assert r"| PGI\* | resnet | 87.14 | – | 55.26 |" in chapter
    assert r"\* Not measured here" in chapter
    assert "theirs" in (out / f"table-{stem}.tex").read_text()


def test_check_agrees_under_the_same_flag_alone(results, tmp_path):
    path = put(results, ENTRY)
    out = tmp_path / "reports"
    write_report(results, out, TEXT, with_published=True)
    assert stale(results, out, with_published=True) == []
    assert f"{out / 'published.csv'}: not part of this report" in stale(results, out)
    put(results, ENTRY | {"clean": 80.0})
    lines = stale(results, out, with_published=True)
    assert f"{path}: changed since the report was made" in lines
    assert any(line.startswith(f"{out / 'published.csv'}:2: ") for line in lines)
    write_report(results, out, TEXT)
    assert stale(results, out) == []
    assert not (out / "published.csv").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- [", "is not YAML"),
        ("[" * 100_000, "is not YAML"),
        ("label: x", "is not a list of published models"),
        ("- x", "is not a list of published models"),
        ("- {}", "entry 1.label: field required"),
        ({"clean": 852}, "entry 1.clean = '852': input should be less than or equal to 100"),
        ({"clean": "high"}, "entry 1.clean = 'high': input should be a valid number"),
        ({"clean": float("nan")}, "entry 1.clean = "),
        ({"robust": {}}, "entry 1.robust = "),
        ({"url": "file:///x"}, "entry 1.url = 'file:///x': string should match"),
        ({"sauce": "x"}, "unknown key of entry 1 'sauce': did you mean 'source'?"),
        ({"threat": {"norm": "Linf", "epsilon": "8/0"}}, "epsilon '8/0' is not a number"),
        ({"threat": {"norm": "linf", "epsilon": "8/255"}}, "did you mean 'Linf'?"),
        ({"threat": "Linf"}, "entry 1.threat = 'Linf'"),
    ],
)
def test_a_bad_file_is_one_line_and_nothing_is_written(results, tmp_path, text, message):
    path = results / published.FILE
    if isinstance(text, dict):
        put(results, ENTRY | text)
    elif text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as caught:
        write_report(results, tmp_path / "out", with_published=True)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_file_of_the_user_replaces_that_of_the_package(results):
    ours = published.load_published(results)
    put(results, ENTRY)
    (theirs,) = published.load_published(results)
    assert theirs.label == ENTRY["label"] not in {entry.label for entry in ours}
    (results / published.FILE).unlink()
    (results / published.FILE).mkdir()
    with pytest.raises(UserError, match="cannot read published numbers"):
        published.load_published(results)


def test_our_own_file_is_valid_and_names_its_sources(tmp_path):
    entries = published.load_published(tmp_path)
    assert len({(e.label, e.dataset, e.threat) for e in entries}) == len(entries)
    assert {e.threat for e in entries if e.label == "trades (Zhang 2019)"} == {
        ThreatModel("Linf", "0.031")
    }
    here = published.fitting(entries, "cifar10", ThreatModel("Linf", "8/255"))
    archs = {entry.clean: entry.arch for entry in here if entry.clean is not None}
    assert archs[79.84] == archs[83.34] == "PreActResNet-18"
    mair = [entry for entry in here if "(MAIR)" in entry.label]
    assert {(entry.arch, entry.extra_data) for entry in mair} == {("ResNet-18", False)}
    assert len(mair) == 6
    # Whose table it is stands beside a number, and not whose method it is.
    prior_guided = [entry for entry in here if entry.label.startswith("fgsm-pg")]
    assert [entry.robust["PGD-10"] for entry in prior_guided] == [55.26, 56.14]
    assert all("table of Zhao et al. 2026" in entry.source for entry in prior_guided)


def test_half_known_entries_leave_places_empty():
    entry = Published.model_validate(
        {key: ENTRY[key] for key in ("label", "dataset", "threat", "robust", "source")}
    )
    ((_, table),) = published.alone([entry]).items()
    assert texts(table)[0] == ["AT [theirs]", "–", "–", "44.04"]
