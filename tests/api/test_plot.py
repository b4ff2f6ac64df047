from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest
from support.synthetic import make_spec, unmeasured, write_run

from regmix_bench import UserError, load_record, load_results, plot
from regmix_bench.records.sequence import Records


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for label, right in (("pgd-at", 290), ("trades", 300), ("mart", 310)):
        for seed in range(3):
            write_run(
                folder,
                make_spec(label, seed=seed),
                autoattack=right + 3 * seed,
                reference="pgd-at",
            )
    return folder


def test_pictures_are_figures_of_what_is_given_and_change_no_setting(results: Path) -> None:
    before = dict(matplotlib.rcParams)
    (stem,) = pictures = plot(results, "forest")
    assert stem.startswith("forest-digits-smallcnn-") and dict(matplotlib.rcParams) == before
    assert isinstance(pictures[stem], matplotlib.figure.Figure)
    frame = load_results(results)
    records = [load_record(results / name) for name in frame["record"]]
    for given in (frame, records, records[0], frame["run_id"]):
        shown = plot(given, "tradeoff,strip", results=results)
        assert {name.partition("-")[0] for name in shown} <= {"tradeoff", "strip"} and shown
    there = Records([results / name for name in frame["record"]])
    assert plot(there, "strip").keys() == plot(results, "strip").keys()
    page = pictures._repr_html_()
    assert page.count('src="data:image/png;base64,') == 1 and "<figcaption>" in page


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda folder: plot(folder, "fores"), "unknown figure 'fores': did you mean 'forest'"),
        (lambda folder: plot(folder, style="icl"), "unknown style 'icl'"),
        (lambda folder: plot(folder, methods="trade"), "unknown method 'trade'"),
        (lambda folder: plot(folder / "none"), "no records in"),
        (lambda folder: plot(["3f2a"], results=folder), "none of the 1 runs"),
        (lambda folder: plot([3]), "3 is neither a record nor a run_id"),
        (lambda folder: plot(3), "3 is neither a record nor a run_id"),
        (lambda folder: plot(load_results(folder)[["seed"]]), "no column run_id"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    results: Path, draw: Callable[[Path], object], said: str
) -> None:
    with pytest.raises(UserError, match=said) as refused:
        draw(results)
    assert "\n" not in str(refused.value)


def test_a_process_without_a_display_draws(results: Path) -> None:
    code = "import sys, regmix_bench; print(*regmix_bench.plot(sys.argv[1]))"
    environment = {k: v for k, v in unmeasured().items() if k not in ("DISPLAY", "MPLBACKEND")}
    done = subprocess.run(
        [sys.executable, "-c", code, results],
        env=environment | {"MPLBACKEND": "TkAgg"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and done.stdout.startswith("forest-"), done.stderr
