"""The pictures of a report: our own in their order, then those of strangers, whatever they do."""

from __future__ import annotations

from importlib.metadata import version

import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.harness import answer, start
from support.synthetic import make_spec, write_run

from regmix_bench.errors import UserError
from regmix_bench.records import paths, store
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures import BUILT_IN, FIGURES, figure_names, gallery
from regmix_bench.reporting.figures.gallery import render_all, rendered
from regmix_bench.reporting.figures.protocol import ReportFigure
from regmix_bench.reporting.report import stale, write_report


class SeedCounts(ReportFigure):
    """Seeds behind each row."""

    name = "seed-counts"

    @classmethod
    def of(cls, contents):
        for cohort in contents.cohorts:
            frame = pd.DataFrame({"label": g.label, "seeds": len(g.runs)} for g in cohort.groups)
            yield cls(subject=cohort.stem, frame=frame, caption="How many seeds each row has.")

    def draw(self, style):
        figure = Figure(figsize=(2, 1))
        figure.subplots().bar(self.frame["label"], self.frame["seeds"])
        return figure


class Overall(SeedCounts):
    """One number of the whole report."""

    name = "overall"

    @classmethod
    def of(cls, contents):
        frame = pd.DataFrame({"runs": [len(contents.runs)]})
        yield cls(subject="all", frame=frame, caption="Runs in all.")

    def draw(self, style):
        return Figure(figsize=(1, 1))


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(FIGURES, "registered", {})


@pytest.fixture
def results(tmp_path):
    write_run(tmp_path / "results", make_spec("trades"))
    write_run(tmp_path / "results", make_spec("trades", seed=1))
    return tmp_path / "results"


def test_a_stranger_s_figure_is_drawn_listed_and_captioned_without_an_option(results, tmp_path):
    FIGURES.register("seed-counts", SeedCounts)
    FIGURES.register("overall", Overall)
    assert figure_names() == [*BUILT_IN, "overall", "seed-counts"]
    out = tmp_path / "out"
    written = {path.name for path in write_report(results, out)}
    stem = "seed-counts-digits-smallcnn-4a2cf431-Linf-32-255"
    assert {f"{stem}.png", f"{stem}.pdf", f"{stem}.csv", "overall-all.png"} <= written
    assert (out / f"{stem}.csv").read_text() == "label,seeds\ntrades,2\n"
    page = (out / "report.md").read_text("utf-8")
    setting, further = page.split("## Further figures")
    assert f"![{stem}]({stem}.png)\n\nHow many seeds each row has." in setting
    assert "Runs in all." in further
    assert stale(results, out) == []


def test_files_of_a_stranger_s_figure_go_with_it(results, tmp_path, monkeypatch):
    FIGURES.register("overall", Overall)
    out = tmp_path / "out"
    write_report(results, out, ["figures"])
    (out / "overall-notes.txt").write_text("mine")
    monkeypatch.setattr(FIGURES, "registered", {})
    assert any("overall-all.png: not part" in line for line in stale(results, out))
    write_report(results, out, ["figures"])
    assert [path.name for path in out.glob("overall-*")] == ["overall-notes.txt"]


def raises(*_):
    raise RuntimeError("two\nlines")


BROKEN = {
    "of": {"of": classmethod(raises)},
    "draw": {"draw": raises},
    "no figure": {"draw": lambda self, style: None},
    "no frame": {"of": classmethod(lambda cls, c: [cls(subject="x", frame=None, caption="")])},
    "no caption": {
        "of": classmethod(lambda cls, c: [cls(subject="x", frame=pd.DataFrame(), caption=None)])
    },
    "a path": {
        "of": classmethod(lambda cls, c: [cls(subject="../x", frame=pd.DataFrame(), caption="")])
    },
    "twice": {"of": classmethod(lambda cls, c: [*Overall.of.__func__(cls, c)] * 2)},
    "another's name": {"name": "tradeoff"},
    "suffixes": {"suffixes": (".png", ".pdf", ".svg")},
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_stranger_s_figure_that_fails_costs_itself_alone_and_one_line(
    results, tmp_path, caplog, fault
):
    broken = type("Broken", (Overall,), {"name": "broken", **BROKEN[fault]})
    FIGURES.register("broken", broken)
    FIGURES.register("seed-counts", SeedCounts)
    out = tmp_path / "out"
    write_report(results, out, ["figures", "markdown"])
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("figure 'broken' is left out: ") and "\n" not in line
    assert not list(out.glob("broken*")) and not list(out.parent.glob("x*"))
    assert list(out.glob("seed-counts-*.png")) and list(out.glob("tradeoff-*.png"))
    assert "broken" not in (out / "report.md").read_text("utf-8")
    assert stale(results, out) == []


def test_a_figure_that_cannot_be_loaded_or_is_offered_twice_costs_itself_alone(results, tmp_path):
    info = tmp_path / "strange" / "strange-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    offers = "nowhere = no_such_module:Figure\ntradeoff = no_such_module:Figure\n"
    (info / "entry_points.txt").write_text(f"[regmix_bench.figures]\n{offers}")
    out = tmp_path / "out"
    command = ["report", "--format", "figures", "--results", results, "--out", out]
    done = answer(start(*command, env={"PYTHONPATH": str(info.parent)}))
    assert done.status == 0, done
    twice, nowhere = done.errors.splitlines()
    ours = f"regmix-bench {version('regmix-bench')}"
    assert twice.startswith(f"figure 'tradeoff' is offered twice, by {ours} and strange")
    assert nowhere.startswith("figure 'nowhere' of strange 1.0 cannot be loaded: ModuleNotFoundErr")
    assert not list(out.glob("tradeoff-*")) and list(out.glob("classes-*.png"))


def test_our_own_figures_refuse_what_is_damaged(results):
    path = store.record_files(results)[0]
    paths.outputs_path(path).write_bytes(b"not parquet")
    with pytest.raises(UserError, match="does not hold recorded outputs"):
        _ = Contents.of(results).gallery


@pytest.mark.parametrize("pictures", [1, 8])
def test_pictures_drawn_by_processes_are_those_drawn_here_in_their_order(monkeypatch, pictures):
    monkeypatch.setattr(gallery.joblib, "cpu_count", lambda: 2)
    frames = (pd.DataFrame({"label": ["a"], "seeds": [k]}) for k in range(pictures))
    found = [SeedCounts(subject=f"p{k}", frame=f, caption="") for k, f in enumerate(frames)]
    assert list(render_all(found)) == [rendered(picture) for picture in found]


def test_every_built_in_figure_says_in_a_line_what_it_shows():
    for name in BUILT_IN:
        assert FIGURES[name].name == name
        assert FIGURES[name].__doc__.partition("\n")[0].endswith(".")
