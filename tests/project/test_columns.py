"""An accuracy that is added to the one list stands everywhere, without another change."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.synthetic import make_eval_spec, make_spec, unmeasured, write_run

# Plants an accuracy before anything has read the list, then writes and prints all that shows any.
PLANTED = """
import sys
from pathlib import Path

from regmix_bench.records import accuracies

planted = accuracies.Accuracy("planted_acc", "planted", lambda _: "Planted", lambda _: 0.4321)
clean, *others = accuracies.ACCURACIES
accuracies.ACCURACIES = (clean, planted, *others)

from regmix_bench.loading.model_card import model_card
from regmix_bench.cli import main
from regmix_bench.cli.printing import score_lines
from regmix_bench.loading.folders import ExportConfig
from regmix_bench.records.frame import load_results
from regmix_bench.records.store import load_record
from regmix_bench.reporting.report import write_report

results, run, out = map(Path, sys.argv[1:])
write_report(results, out, ("latex", "markdown", "csv", "json", "html"))
record = load_record(run)
config = ExportConfig(
    run_id=record.run_id, checkpoint="selected", epoch=7, label="trades", arch="smallcnn",
    image_shape=(1, 8, 8), num_classes=10, dataset="digits", data_digest=None,
    threat=record.spec.train_threat, weights_sha256="", graph_sha256="",
)
(out / "card.md").write_text(model_card(record, config, ""))
(out / "frame.csv").write_text(load_results(results).to_csv())
(out / "score.txt").write_text("\\n".join(score_lines(record.evaluations)))
sys.argv = ["regmix-bench", "list", "runs", "--results", str(results)]
main()
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All that shows accuracies, by the name of its file, of a run and a given model."""
    folder = tmp_path_factory.mktemp("planted")
    run = write_run(folder / "results", make_spec())
    write_run(folder / "results", make_eval_spec(), checkpoint="given")
    out = folder / "reports"
    done = subprocess.run(
        [sys.executable, "-c", PLANTED, folder / "results", run, out],
        env=unmeasured(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    texts = {name: path.read_text("utf-8", "replace") for name, path in files.items()}
    return texts | {"list runs": done.stdout}


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("table-digits-smallcnn-4a2cf431-Linf-32-255.tex", "Planted", "43.2"),
        ("table-evaluated-digits-3a52097b-Linf-32-255.tex", "Planted", "43.2"),
        ("report.md", "| Planted |", "| 43.2 "),
        ("tables.csv", "planted_acc", "0.4321"),
        ("models.csv", "planted_acc", "0.4321"),
        ("evaluated.csv", "planted_acc", "0.4321"),
        ("frame.csv", "planted_acc", "0.4321"),
        ("site/index.html", "Planted", ">43.2"),
        ("site/runs.html", "Planted", ">43.2"),
        ("card.md", "| Planted |", r"| 43.2 \["),
        ("score.txt", "planted 43.2%", ""),
        ("list runs", "planted", "43.2%"),
    ],
)
def test_it_stands_here(written, name, header, value):
    assert header in written[name] and value in written[name]


def test_it_stands_after_the_one_it_follows_and_on_the_pages_of_runs(written):
    (table, given) = json.loads(written["tables.json"])["tables"].values()
    for ids in ([column["id"] for column in one["columns"]] for one in (table, given)):
        assert ids[ids.index("clean_acc") + 1] == "planted_acc"
    (page,) = (text for name, text in written.items() if name.startswith("site/runs/"))
    assert "Planted" in page and ">43.2" in page
    heads = written["site/index.html"].split("<thead>")[1].split("</thead>")[0]
    assert heads.index("Clean") < heads.index("Planted") < heads.index("PGD-20")
