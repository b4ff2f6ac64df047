from __future__ import annotations

import re
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from support.histories import planted_history
from support.sites import site_files
from support.synthetic import forget_outcomes, make_eval_spec, make_record, make_spec, write_run

from regmix_bench.analysis.blocks import blocks_of
from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
from regmix_bench.api.report import report
from regmix_bench.errors import UserError
from regmix_bench.methods import METHODS
from regmix_bench.records import paths, store
from regmix_bench.records.schema import TransferRecord, TransferSide
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.curves import curves_frame
from regmix_bench.reporting.figures.looks import looks
from regmix_bench.reporting.figures.robustness import robustness_frame
from regmix_bench.reporting.figures.venues import style_for
from regmix_bench.reporting.report import stale, write_report
from regmix_bench.reporting.report_files import FORMATS
from regmix_bench.sheets.own import study_sheet
from regmix_bench.sheets.reader import read_sheet
from regmix_bench.specs import Recipe, Scoring
from regmix_bench.types import ThreatModel

TEXT = ("latex", "markdown", "csv")


@pytest.fixture
def results(record, save):
    grid = ("16/255", "32/255")
    caught = planted_history((0.4, 0.1, 0.0, 0.0), (0.5, 0.7, 0.8, 0.8))
    return save(
        record("trades", seed=0, eval_eps=grid),
        record("trades", seed=1, eval_eps=grid, pgd=0.75),
        record("fgsm-rs", seed=0, eval_eps=grid, autoattack=0.65, history=caught),
        record("mart", seed=0, eval_eps=grid, error="loss is not finite"),
        outputs=True,
    )


def texts(folder):
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.suffix not in (".png", ".pdf")
    }


def test_all_formats_are_written_drawn_and_fresh(results, tmp_path):
    out = tmp_path / "reports"
    written = write_report(results, out)
    assert sorted(written) == sorted(path for path in out.rglob("*") if path.is_file())
    stems = {
        "tradeoff-digits-smallcnn-412ab596",
        "curves-digits-smallcnn-412ab596-Linf-32-255",
        "tsne-digits-smallcnn-412ab596-Linf-32-255",
    }
    for stem in stems:
        picture = matplotlib.image.imread(out / f"{stem}.png")
        inked = (picture[..., :3] < 0.95).any(axis=2)
        assert min(picture.shape[:2]) > 400
        assert inked.mean() > 0.005
        for half in np.array_split(inked, 2, axis=1):
            assert half.any()
        assert (out / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
        assert b"CreationDate" not in (out / f"{stem}.pdf").read_bytes()
        assert b"/Type3" not in (out / f"{stem}.pdf").read_bytes()
        assert len(pd.read_csv(out / f"{stem}.csv")) >= 2
        assert f"]({stem}.png)" in (out / "report.md").read_text()
    assert (out / "table-digits-smallcnn-412ab596-Linf-32-255.tex").exists()
    assert (out / "table-digits-smallcnn-412ab596-Linf-32-255-at-Linf-16-255.tex").exists()
    assert stale(results, out) == []
    (out / "tsne-digits-smallcnn-412ab596-Linf-32-255.png").write_bytes(b"drawn with another font")
    assert stale(results, out) == []


def test_a_page_that_is_changed_lost_or_not_ours_is_stale(results, tmp_path):
    out = tmp_path / "reports"
    write_report(results, out, ["html"])
    assert stale(results, out) == []
    index = out / "site" / "index.html"
    index.write_text(index.read_text().replace("62.5", "63.5", 1))
    (out / "site" / "assets" / "site.css").unlink()
    (out / "site" / "runs" / "more.html").write_text("")
    assert stale(results, out) == [
        f"{out / 'site' / 'assets' / 'site.css'}: missing",
        f"{out / 'site' / 'runs' / 'more.html'}: not part of this report",
        f"{index}: changed",
    ]
    write_report(results, out, ["html"])
    (out / "site" / "runs" / "more.html").unlink()
    assert stale(results, out) == []
    drawn = index.read_text()
    assert 'cy="8"' in drawn
    index.write_text(drawn.replace('cy="8"', 'cy="7"'))
    assert stale(results, out) == []  # as of every picture


def test_a_site_of_no_records_says_what_to_run(tmp_path):
    (tmp_path / "results").mkdir()
    out = tmp_path / "reports"
    written = write_report(tmp_path / "results", out, ["html"])
    assert out / "site" / "index.html" in written
    assert "regmix-bench run" in (out / "site" / "index.html").read_text()
    with pytest.raises(UserError, match="no records"):
        write_report(tmp_path / "results", out, TEXT)


def test_text_is_the_same_on_every_run(results, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    write_report(results, first, TEXT)
    write_report(results, second, TEXT)
    assert texts(first) == texts(second)
    write_report(results, second, TEXT)
    assert texts(first) == texts(second)


def test_figures_draw_the_numbers_of_the_records(results):
    cohorts = sort_into_cohorts(load_runs(results))
    frame = curves_frame(cohorts[0]).set_index(["label", "seed", "epoch"])
    for path in store.record_files(results):
        record = store.load_record(path)
        for log in record.history:
            row = frame.loc[(record.spec.method.label, record.spec.seed, log.epoch)]
            assert row["val_pgd_acc"] == pytest.approx(log.val_pgd_acc)
            assert row["selected"] == (log.epoch == record.selected_epoch)
    both = frame.loc["trades"]["val_pgd_acc"].groupby("epoch").mean()
    means = frame.loc["trades"]["val_pgd_acc_mean"].groupby("epoch").first()
    assert means.to_list() == pytest.approx(both.to_list())
    robust = robustness_frame(b for cohort in cohorts for b in blocks_of(cohort))
    single = robust[robust["label"] == "fgsm-rs"].set_index("eval_epsilon")["mean"]
    assert single.to_dict() == pytest.approx({"0": 0.9, "16/255": 0.65, "32/255": 0.55})


@pytest.mark.parametrize(
    "name", ["table-digits-smallcnn-412ab596-Linf-32-255.tex", "report.md", "tables.csv"]
)
def test_one_changed_digit_is_stale(results, tmp_path, name):
    out = tmp_path / "reports"
    write_report(results, out, TEXT)
    text = (out / name).read_text()
    needle = "0.65" if name == "tables.csv" else "62.5"
    at = text.index(needle)
    (out / name).write_text(text[:at] + "9" + text[at + 1 :])
    (line,) = stale(results, out)
    assert line.startswith(f"{out / name}:{text[:at].count(chr(10)) + 1}: ")


def test_changed_new_and_lost_inputs_are_stale(results, tmp_path, record):
    out = tmp_path / "reports"
    write_report(results, out, ["latex"])
    trades, *_ = (p for p in store.record_files(results) if p.name.startswith("trades"))
    trades.write_text(trades.read_text() + " ")
    assert stale(results, out) == [f"{trades}: changed since the report was made"]
    new = store.save_record(results, record("pgd-at", eval_eps=("16/255", "32/255")))
    paths.outputs_path(trades).unlink()
    lines = stale(results, out)
    assert f"{new}: new since the report was made" in lines
    assert f"{paths.outputs_path(trades)}: gone since the report was made" in lines
    assert any(".tex:" in line for line in lines)


def test_missing_and_foreign_files_are_stale_but_notes_are_not(results, tmp_path):
    out = tmp_path / "reports"
    write_report(results, out, ["latex", "csv"])
    (out / "README.md").write_text("about this folder")
    (out / "tables.csv").unlink()
    (out / "table-of-old.tex").write_text("old")
    assert stale(results, out) == [
        f"{out / 'tables.csv'}: missing",
        f"{out / 'table-of-old.tex'}: not part of this report",
    ]


def test_no_report_is_stale(results, tmp_path):
    (line,) = stale(results, tmp_path / "nothing")
    assert "no report here" in line


def test_formats_written_apart_keep_each_other(results, tmp_path):
    out = tmp_path / "reports"
    write_report(results, out, ["csv"])
    write_report(results, out, ["latex"])
    assert (out / "tables.csv").exists()
    assert stale(results, out) == []


def test_a_table_whose_runs_are_gone_is_removed(results, tmp_path, record):
    extra = store.save_record(results, record("trades", eps="48/255"))
    out = tmp_path / "reports"
    write_report(results, out, ["latex"])
    assert (out / "table-digits-smallcnn-412ab596-Linf-48-255.tex").exists()
    extra.unlink()
    write_report(results, out, ["latex"])
    assert not (out / "table-digits-smallcnn-412ab596-Linf-48-255.tex").exists()
    assert stale(results, out) == []


def names_in(results):
    """Names of files without their endings, which are LaTeX's labels too, and of all addresses."""
    contents = Contents.of(results)
    pages = dict(site_files(contents))
    compared = b"".join(text for name, text in pages.items() if name.startswith("comparisons/"))
    places = re.findall(r'<[^>]+ id="([^"]+)"', compared.decode())
    return {*contents.tables, *(p.stem for p in contents.gallery.pictures), *pages, *places}


L2 = ThreatModel("L2", "0.5")


@pytest.mark.parametrize(
    "other",
    [
        {"epsilon": "48/255"},
        {"label": "fgsm-rs", "epsilon": "64/510"},
        {"train_threat": L2, "eval_threats": (L2,)},
        {"arch": "resnet8"},
        {"dataset": "cifar10"},
        {"recipe": Recipe(epochs=5)},
        {"scoring": Scoring(autoattack_seed=1)},
        {"eval_examples": 100},
        {"train_examples": 100},
        {"data_digest": "e" * 64},
        {"failed": True},
        {"eval_threats": (ThreatModel("Linf", "64/510"), ThreatModel("Linf", "8/255"))},
    ],
    ids=lambda other: ",".join(other),
)
@pytest.mark.parametrize("method", ["mart", "trades"])
def test_no_name_changes_because_another_run_is_there(tmp_path, other, method):
    results = tmp_path / "results"
    write_run(results, make_spec("trades"), num_classes=10)
    write_run(results, make_eval_spec("net"), checkpoint="given")
    before = names_in(results)
    changed = {"label": method, "seed": 7} | other
    failed, data = changed.pop("failed", False), changed.pop("data_digest", "d" * 64)
    if failed:
        store.save_record(results, make_record(make_spec(**changed), status="error", error="no"))
    else:
        write_run(results, make_spec(**changed), data_digest=data)
    given = {key: other[key] for key in ("dataset", "eval_examples", "scoring") if key in other}
    write_run(results, make_eval_spec("more", **given), checkpoint="given", data_digest=data)
    assert before <= names_in(results)


def test_transfers_have_their_chapter(results, tmp_path):
    runs = [store.load_run(path) for path in store.record_files(results)][:3]
    sides = tuple(
        TransferSide(
            run_id=run.run_id,
            label=run.spec.label,
            arch=run.spec.arch,
            seed=run.spec.seed,
            sha256="0" * 64,
        )
        for run in runs
    )
    moved = TransferRecord(
        run_id="abcdef012345",
        dataset="digits",
        data_digest="d" * 12,
        eval_examples=None,
        n_examples=360,
        threat=ThreatModel("Linf", "32/255"),
        attack="pgd-20",
        seed=0,
        runs=sides,
        clean_acc=(0.9, 0.91, 0.92),
        accuracy=((0.511, 0.7, 0.7), (0.7, 0.522, 0.7), (0.7, 0.7, 0.533)),
    )
    path = store.save_record(results, moved)
    out = tmp_path / "reports"
    write_report(results, out)
    stem = "transfer-digits-Linf-32-255-abcdef012345"
    page = (out / "report.md").read_text()
    _, _, chapter = page.partition("## Transfer\n")
    assert "51.1" in chapter and f"]({stem}.png)" in chapter
    assert (out / f"table-{stem}.tex").exists() and (out / f"{stem}.pdf").exists()
    assert stale(results, out) == []
    path.write_text(path.read_text() + " ")
    assert stale(results, out) == [f"{path}: changed since the report was made"]
    path.unlink()
    write_report(results, out)
    assert not list(out.glob("*transfer*")) and "## Transfer" not in (out / "report.md").read_text()
    assert stale(results, out) == []


def test_verdicts_are_written_and_their_outcomes_are_inputs(tmp_path):
    results, out = tmp_path / "results", tmp_path / "reports"
    for seed in (0, 1):
        write_run(results, make_spec("pgd-at", seed=seed), autoattack=300 + seed)
        path = write_run(results, make_spec("trades", seed=seed), autoattack=200 - seed)
    write_report(results, out, TEXT, reference="pgd-at")
    assert (out / "models.csv").exists()
    assert "trades" in (out / "verdicts.csv").read_text()
    assert stale(results, out, reference="pgd-at") == []
    assert any("verdicts.csv" in line for line in stale(results, out, reference="trades"))
    outcomes = paths.outcomes_path(path, "selected")
    forget_outcomes(path)
    lines = stale(results, out, reference="pgd-at")
    assert f"{outcomes}: gone since the report was made" in lines


def test_an_unknown_reference_is_refused_in_any_format(results, tmp_path):
    for name in FORMATS:
        with pytest.raises(UserError, match="did you mean 'trades'"):
            write_report(results, tmp_path / "out", [name], reference="tradse")
    assert not (tmp_path / "out").exists()


def test_a_manifest_that_may_not_be_read_is_one_line(results, tmp_path, refuse_reading):
    out = tmp_path / "reports"
    write_report(results, out, ["csv"])
    refuse_reading(out / "manifest.csv")
    for call in (write_report, stale):
        with pytest.raises(UserError, match=r"cannot read .*manifest\.csv: Permission denied"):
            call(results, out)


def test_nothing_is_written_on_bad_input(results, tmp_path):
    out = tmp_path / "reports"
    with pytest.raises(UserError, match="did you mean 'latex'"):
        write_report(results, out, ["latx"])
    with pytest.raises(UserError, match="regmix-bench run"):
        write_report(tmp_path / "empty", out)
    assert not out.exists()


def test_a_report_of_failures_alone(record, save, tmp_path):
    results = save(record("mart", error="loss is not finite"))
    out = tmp_path / "reports"
    write_report(results, out, FORMATS)
    assert "Failed: mart, seed 0: loss is not finite" in (out / "report.md").read_text()
    assert pd.read_csv(out / "failed-runs.csv")["label"].to_list() == ["mart"]
    assert stale(results, out) == []


def test_a_method_looks_the_same_in_every_company(record, save):
    alone = save(record("regmix"), record("my-own"))
    few = looks([g for c in sort_into_cohorts(load_runs(alone)) for g in c.groups])
    crowd = save(*(record(name) for name in METHODS.names()))
    many = looks([g for c in sort_into_cohorts(load_runs(crowd)) for g in c.groups])
    assert {name: many[name] for name in few} == few
    assert len({(look.colour, look.marker) for look in many.values()}) == len(METHODS.names()) + 1


def test_importing_the_package_loads_no_plotting_library():
    code = (
        "import sys, regmix_bench.reporting;"
        "sys.exit(bool({'torch', 'matplotlib', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_making_a_report_loads_no_torch(results, tmp_path):
    code = (
        "import sys; from pathlib import Path;"
        "from regmix_bench.reporting.report import write_report;"
        "from regmix_bench.reporting.report_files import FORMATS;"
        f"write_report(Path({str(results)!r}), Path({str(tmp_path / 'out')!r}), FORMATS);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_sheet_of_the_runs_is_written_and_read_by_verify(results, tmp_path):
    out = tmp_path / "reports"
    write_report(results, out, ("yaml",))
    content = (out / "study.yaml").read_bytes()
    sheet = read_sheet(out / "study.yaml")
    assert sheet == study_sheet(results, load_runs(results))
    (table,) = sheet.tables.values()
    assert [row.method for row in table.rows] == ["trades", "fgsm-rs"]
    write_report(results, out, ("yaml",))
    assert (out / "study.yaml").read_bytes() == content
    assert stale(results, out) == []
    (results / "notes.yaml").write_text("shared: {tuned_on: authors}")
    lines = stale(results, out)
    assert any("notes.yaml: new" in line for line in lines)
    assert any("study.yaml" in line for line in lines)


def test_the_sheet_of_some_runs_takes_the_notes_of_these(results, tmp_path):
    whole = study_sheet(results, load_runs(results))
    (name,) = whole.tables
    rows = "[{method: trades, tuned_on: authors}, {method: fgsm-rs, tuned_on: test}]"
    (results / "notes.yaml").write_text(f"tables: {{{name}: {{rows: {rows}}}}}")
    only = {run.record.run_id for run in load_runs(results) if run.spec.label == "trades"}
    write_report(results, tmp_path, ("yaml",), only=only)
    (table,) = read_sheet(tmp_path / "study.yaml").tables.values()
    assert [(row.method, row.tuned_on) for row in table.rows] == [("trades", "authors")]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"style": "nature"}, "unknown style 'nature'"),
        ({"width": "0in"}, "--width '0in' is not between 3 and 20 inches"),
        ({"width": "-3.25in"}, "--width '-3.25in' is not between"),
        ({"width": "3.25"}, "--width '3.25' is no length"),
        ({"site_url": "example.org"}, "--site-url 'example.org' is no address"),
        ({"site_url": 'https://e.org/">'}, "is no address such as https://example.org/regmix"),
        ({"width": "9000cm"}, "--width '9000cm' is not between"),
        ({"font": "No Such Font"}, "unknown font 'No Such Font'"),
        ({"methods": "trades,tradez"}, "unknown method 'tradez': did you mean 'trades'?"),
        ({"methods": "trades,"}, "--methods 'trades,' has an empty place"),
    ],
)
def test_what_nothing_can_be_drawn_for_is_refused_before_anything_is_written(
    results, tmp_path, option, said
):
    with pytest.raises(UserError, match=re.escape(said)):
        report(results=results, out=tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


def test_figures_of_chosen_methods_are_drawn_as_wide_as_they_are_meant(results, tmp_path):
    out = tmp_path / "out"
    report(results=results, out=out, format="figures", methods="trades", style="icml")
    (picture,) = out.glob("tradeoff-*.png")
    assert matplotlib.image.imread(picture).shape[1] == 650  # 200 dots an inch
    assert set(pd.read_csv(picture.with_suffix(".csv"))["label"]) == {"trades"}
    lines = stale(results, out, methods=["trades"])
    assert lines == []
    assert any("tradeoff-" in line for line in stale(results, out))


def drawn_again(results, out, **choices):
    """Write the figures once more; returns the pictures that were drawn."""
    lines = []
    write_report(results, out, ["figures"], say=lines.append, **choices)
    return {line.partition("] ")[2] for line in lines if line.startswith("[")}


def test_a_second_report_draws_what_has_changed_alone_and_says_so(results, tmp_path, record):
    out, lines = tmp_path / "out", []
    write_report(results, out, ["figures"], say=lines.append)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    pictures = {name.removesuffix(".png") for name in first if name.endswith(".png")}
    assert f"drawing {len(pictures)} of {len(pictures)} pictures; 0 are as they were" in lines
    assert drawn_again(results, out) == set()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first

    # A file that is changed or lost is made anew, and so is what another record changes.
    one, two = sorted(pictures)[:2]
    (out / f"{one}.png").write_bytes(b"scribbled over")
    (out / f"{two}.pdf").unlink()
    assert drawn_again(results, out) == {one, two}
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    store.save_record(results, record("trades", eps="48/255"))
    again = drawn_again(results, out)
    assert any("Linf-48-255" in stem for stem in again)
    assert not any("Linf-32-255" in stem for stem in again)


def test_a_picture_for_another_style_is_drawn_anew(results, tmp_path):
    write_report(results, tmp_path / "out", ["figures"])
    pictures = {path.stem for path in (tmp_path / "out").glob("*.png")}
    assert drawn_again(results, tmp_path / "out", style=style_for("icml")) == pictures
